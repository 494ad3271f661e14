package redisstate

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/redistest"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/statetest"
)

// The suite on a Cluster of three nodes: every script keeps to one slot.
func TestCluster(t *testing.T) {
	var nodes []string
	var servers []*redistest.Server
	for range 3 {
		port := redistest.FreeClusterPort(t)
		node := redistest.StartOn(t, port, "--cluster-enabled", "yes", "--cluster-node-timeout", "15000")
		nodes, servers = append(nodes, node.Addr()), append(servers, node)
	}
	out, err := exec.Command("redis-cli", append(append([]string{"--cluster", "create"}, nodes...), "--cluster-yes")...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, node := range servers {
		eventually(t, node.ClusterReady)
	}
	url := fmt.Sprintf("redis://%s?cluster=true&addr=%s&addr=%s", nodes[0], nodes[1], nodes[2])
	eventually(t, func() bool { return opened(t, url).Ping(t.Context()) == nil })
	statetest.Run(t, func(t *testing.T) state.Store { return opened(t, url) })
	statetest.RunCatalog(t, func(t *testing.T) state.Store { return emptied(t, url, servers...) })
	fleetAndHints(t, url)
	nodeAway(t, opened(t, url), servers)
}

// nodeAway freezes one node of a Cluster. Whose limits are on another one is served as before, and nobody is refused.
func nodeAway(t *testing.T, s *Store, nodes []*redistest.Server) {
	t.Helper()
	spend := func(subject string) error {
		v, err := s.Spend(t.Context(), subject, "", []state.Charge{{Limit: "requests/total", Cost: 1,
			Quota: state.Quota{Limit: 1 << 40, Period: proxy.Total}}})
		if err == nil && !v.OK {
			t.Errorf("%s is refused: %+v", subject, v)
		}
		return err
	}
	var there, elsewhere string
	for i := 0; there == "" || elsewhere == ""; i++ {
		subject := fmt.Sprint("c:away", i)
		node, err := s.hot.(*redis.ClusterClient).MasterForKey(t.Context(), s.keys.limits(subject))
		if err != nil || spend(subject) != nil {
			t.Fatal("a Cluster that is whole does not answer", err)
		}
		if node.Options().Addr == nodes[0].Addr() {
			there = subject
		} else {
			elsewhere = subject
		}
	}
	thaw := freeze(s, nodes[0])
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if err := spend(there); !errors.Is(err, state.ErrUnavailable) {
				t.Errorf("a frozen node: %v", err)
			}
		})
	}
	given := make(chan struct{}) // closed when all have given up
	go func() {
		defer close(given)
		all.Wait()
	}()
	for after := 0; after < 50; {
		if err := spend(elsewhere); err != nil {
			t.Errorf("another node: %v", err)
			break
		}
		select {
		case <-given:
			after++
		default:
		}
	}
	<-given
	thaw()
	eventually(t, func() bool { return spend(there) == nil })
}

// The suite behind three Sentinels, and a failover: how long nobody answers is printed.
func TestSentinel(t *testing.T) {
	primary := redistest.Start(t)
	_, port, _ := strings.Cut(primary.Addr(), ":")
	replica := redistest.Start(t, "--replicaof", "127.0.0.1", port)
	eventually(t, func() bool { return replica.InfoHas("replication", "master_link_status:up") })
	var sentinels []string
	for range 3 {
		sentinels = append(sentinels, redistest.StartSentinel(t, "mymaster", primary.Addr()).Addr())
	}
	url := fmt.Sprintf("redis://%s?master_name=mymaster&addr=%s&addr=%s", sentinels[0], sentinels[1], sentinels[2])
	eventually(t, func() bool { return opened(t, url).Ping(t.Context()) == nil })
	statetest.Run(t, func(t *testing.T) state.Store { return opened(t, url) })
	statetest.RunCatalog(t, func(t *testing.T) state.Store { return emptied(t, url, primary) })
	fleetAndHints(t, url)

	s := opened(t, url)
	spend := func() error {
		_, err := s.Spend(t.Context(), "c:one", "", []state.Charge{rate})
		return err
	}
	if err := spend(); err != nil {
		t.Fatal(err)
	}
	primary.Kill()
	gone := time.Now()
	for end := gone.Add(2 * time.Minute); ; {
		err := spend()
		if err == nil {
			break
		}
		if !errors.Is(err, state.ErrUnavailable) {
			t.Fatalf("during the failover: %v", err)
		}
		if time.Now().After(end) {
			t.Fatalf("no answer two minutes after the primary was killed: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("answered again %v after the primary was killed", time.Since(gone).Round(time.Millisecond))
}

package chaos

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"openai-api-proxy/pkg/redistest"
)

// master is the name under which Sentinel knows the primary.
const master = "mymaster"

// guarded is a primary with a replica behind three Sentinels.
type guarded struct {
	primary, replica *redistest.Server
	sentinels        []string
}

func startGuarded(t *testing.T, options ...string) *guarded {
	t.Helper()
	g := &guarded{primary: redistest.StartOn(t, stablePort(t), options...)}
	_, port, _ := strings.Cut(g.primary.Addr(), ":")
	g.replica = redistest.StartOn(t, stablePort(t), "--replicaof", "127.0.0.1", port)
	g.wait(t, "replica", func() bool { return g.replica.InfoHas("replication", "master_link_status:up") })
	for range 3 {
		g.sentinels = append(g.sentinels, redistest.StartSentinel(t, master, g.primary.Addr()).Addr())
	}
	s := redis.NewSentinelClient(&redis.Options{Addr: g.sentinels[0]})
	defer s.Close()
	g.wait(t, "Sentinels that know one another and the replica", func() bool {
		others, err := s.Sentinels(t.Context(), master).Result()
		known, err2 := s.Replicas(t.Context(), master).Result()
		return err == nil && err2 == nil && len(others) == 2 && len(known) == 1
	})
	return g
}

func (g *guarded) wait(t *testing.T, what string, holds func() bool) {
	t.Helper()
	if !within(30*time.Second, holds) {
		t.Fatalf("no %s in 30 s", what)
	}
}

func (g *guarded) url() string {
	return fmt.Sprintf("redis://%s?master_name=%s&addr=%s&addr=%s", g.sentinels[0], master, g.sentinels[1], g.sentinels[2])
}

func (g *guarded) where() redis.UniversalOptions {
	return redis.UniversalOptions{Addrs: g.sentinels, MasterName: master}
}

// promoted reports whether the replica has become a primary.
func (g *guarded) promoted() bool { return g.replica.InfoHas("replication", "role:master") }

// failover is one way in which a primary behind Sentinel is replaced.
type failover struct {
	how    string
	frozen bool          // and not killed; it goes on when another one is promoted
	after  time.Duration // the promotion
	fenced bool          // it takes no writes without a replica: min-replicas-to-write 1
}

// failovers are all of them. A zombie goes on as soon as another one was promoted, when nobody has told it yet that it is a primary no
// more. What that loses is said; a failover of Redis promises no less.
var failovers = []failover{
	{how: "killed"},
	{how: "frozen", frozen: true, after: 2 * time.Second},
	{how: "zombie", frozen: true},
	{how: "fenced zombie", frozen: true, fenced: true},
}

// run makes the failover under load.
func (f failover) run(t *testing.T, found *report) {
	var options []string
	if f.fenced {
		options = []string{"--min-replicas-to-write", "1", "--min-replicas-max-lag", "1"}
	}
	g := startGuarded(t, options...)
	x := startTrial(t, found, g.url(), g.where())
	begin := time.Now()
	if f.frozen {
		g.primary.Freeze()
	} else {
		g.primary.Kill()
	}
	g.wait(t, "promotion", g.promoted)
	x.print("promoted after %v", time.Since(begin).Round(time.Millisecond))
	if f.frozen {
		time.Sleep(f.after)
		g.primary.Thaw()
	}
	time.Sleep(3 * time.Second)
	r := x.end("failover, primary " + f.how)
	x.check(r.failed == 0, "%d calls without a limit failed", r.failed)
	x.check(r.doubled == 0, "%d rows are doubled", r.doubled)
	x.check(r.gap < 10*time.Second, "strict clients were not admitted for %v", r.gap)
}

func TestFailover(t *testing.T) {
	if !*ha {
		t.Skip("it wants the machine for itself: make ha")
	}
	var found report
	for _, f := range failovers {
		t.Run(f.how, func(t *testing.T) { f.run(t, &found) })
	}
	found.print(t)
}

// TestSlotMove moves the slots of all strict clients to another node of a Cluster under load: nothing is lost.
func TestSlotMove(t *testing.T) {
	if !*ha {
		t.Skip("it wants the machine for itself: make ha")
	}
	var nodes []string
	for range 3 {
		port := redistest.FreeClusterPort(t)
		node := redistest.StartOn(t, port, "--cluster-enabled", "yes", "--cluster-node-timeout", "15000")
		nodes = append(nodes, node.Addr())
	}
	out, err := exec.Command("redis-cli", append(append([]string{"--cluster", "create"}, nodes...), "--cluster-yes")...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	where := redis.UniversalOptions{Addrs: nodes, IsClusterMode: true}
	url := fmt.Sprintf("redis://%s?cluster=true&addr=%s&addr=%s", nodes[0], nodes[1], nodes[2])
	db := redis.NewClusterClient(&redis.ClusterOptions{Addrs: nodes})
	defer db.Close()
	if !within(20*time.Second, func() bool { return db.Set(t.Context(), "ready", 1, 0).Err() == nil }) {
		t.Fatal("the Cluster does not answer")
	}
	var found report
	x := startTrial(t, &found, url, where)
	for i := range strictClients {
		key := fmt.Sprintf("oap:{c:strict-%d}", i)
		begin := time.Now()
		n, err := moveSlot(t, nodes, key)
		if err != nil {
			t.Fatal(err)
		}
		x.print("moved the slot of %s with %d keys in %v", key, n, time.Since(begin).Round(time.Millisecond))
		time.Sleep(500 * time.Millisecond)
	}
	r := x.end("slots of all strict clients moved")
	found.print(t)
	x.check(r.failed == 0 && r.uncounted == 0 && r.unknown == 0 && r.lost == 0 && r.doubled == 0, "something was lost")
	x.check(r.billed == r.counted, "%d tokens were billed and %d counted", r.billed, r.counted)
}

// moveSlot moves the slot of a key to another node, a key at a time, as redis-cli would.
func moveSlot(t *testing.T, nodes []string, key string) (keys int, err error) {
	ctx := t.Context()
	slot, from, to, err := placesOf(t, nodes, key)
	if err != nil {
		return 0, err
	}
	defer from.Close()
	defer to.Close()
	host, port, _ := strings.Cut(to.Options().Addr, ":")
	fromID, toID := from.Do(ctx, "CLUSTER", "MYID").Val(), to.Do(ctx, "CLUSTER", "MYID").Val()
	steps := []*redis.Cmd{to.Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", fromID), from.Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", toID)}
	for {
		names, err := from.ClusterGetKeysInSlot(ctx, slot, 1).Result()
		if err != nil {
			return keys, err
		}
		if len(names) == 0 {
			break
		}
		steps = append(steps, from.Do(ctx, "MIGRATE", host, port, names[0], 0, 1000))
		keys++
		time.Sleep(20 * time.Millisecond)
	}
	for _, node := range []*redis.Client{to, from} {
		steps = append(steps, node.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", toID))
	}
	for _, s := range steps {
		if s.Err() != nil {
			return keys, fmt.Errorf("%v: %w", s.Args(), s.Err())
		}
	}
	return keys, nil
}

// placesOf is the slot of a key, the node that has it and one that has not.
func placesOf(t *testing.T, nodes []string, key string) (slot int, from, to *redis.Client, err error) {
	for _, addr := range nodes {
		node := redis.NewClient(&redis.Options{Addr: addr})
		slot = int(node.ClusterKeySlot(t.Context(), key).Val())
		err := node.Exists(t.Context(), key).Err() // one that has it does not point elsewhere
		switch {
		case err == nil && from == nil:
			from = node
		case err != nil && to == nil:
			to = node
		default:
			node.Close()
		}
	}
	if from == nil || to == nil {
		return 0, nil, nil, fmt.Errorf("the slot of %s is nowhere", key)
	}
	return slot, from, to, nil
}

// TestFull lets Redis run out of memory under load: what is admitted is settled, nothing else is, and nothing is lost.
func TestFull(t *testing.T) {
	if !*ha {
		t.Skip("it wants the machine for itself: make ha")
	}
	server := redistest.StartOn(t, stablePort(t), "--maxmemory-policy", "noeviction")
	var found report
	x := startTrial(t, &found, server.URL(), redis.UniversalOptions{Addrs: []string{server.Addr()}})
	for _, most := range []string{"1mb", "0"} {
		if err := server.Do("CONFIG", "SET", "maxmemory", most); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
	}
	r := x.end("Redis out of memory for 2 s")
	found.print(t)
	x.check(r.failed == 0 && r.uncounted == 0 && r.unknown == 0 && r.lost == 0 && r.doubled == 0, "something was lost")
	x.check(r.billed == r.counted, "%d tokens were billed and %d counted", r.billed, r.counted)
}

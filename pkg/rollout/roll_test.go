package rollout

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"testing"
	"time"

	"openai-api-proxy/pkg/redistest"
)

const (
	adminToken  = "sk-test-roll-admin-000000000001"
	clientToken = "sk-test-roll-client-00000000001"
)

// size is how hard the update is made.
type size struct {
	rolls, streams int
	events         int           // at most; half as many at least
	every          time.Duration // between two of them
}

// TestRoll is the promise of a rolling update.
func TestRoll(t *testing.T) {
	n := size{rolls: 1, streams: 100, events: 12, every: 150 * time.Millisecond}
	if os.Getenv("ROLL") == "full" {
		n = size{rolls: 5, streams: 1000, events: 24, every: 500 * time.Millisecond}
	}
	up := startOrigin(t)
	replicas := startFleet(t, up)
	cert, key, trust := certificate(t)
	fronts := []*front{startNginx(t, cert, key, replicas), startCaddy(t, cert, key, replicas)}
	if !until(10*time.Second, func() bool { return ready(fronts, trust) }) {
		t.Fatal("the fronts find no replica")
	}
	crowd := newCrowd(t, trust)
	for _, f := range fronts {
		crowd.flows(t, f, up)
		crowd.talks(t, f, trust)
	}
	for i := range n.streams {
		crowd.loop(fronts[i%len(fronts)], time.Duration(i)*5*time.Millisecond, func() question {
			return question{events: n.events/2 + rand.IntN(n.events/2), every: n.every}
		})
	}
	for i := range 4 {
		crowd.loop(fronts[i%len(fronts)], 0, func() question { time.Sleep(20 * time.Millisecond); return question{} })
	}
	for range n.rolls {
		for i, r := range replicas {
			// A stream that has ended begins anew at once, so a few may be between two.
			if !until(time.Minute, func() bool { return crowd.open.Load() >= int64(n.streams*19/20) }) {
				t.Fatalf("only %d streams are open", crowd.open.Load())
			}
			roll(t, i, r, fronts)
		}
	}
	crowd.end()
	crowd.report(t)
	sent := crowd.sent.Load()
	if asked := up.asked.Load(); asked != sent {
		t.Errorf("%d requests were sent, %d reached the upstream", sent, asked)
	}
	var counted int64
	if !until(10*time.Second, func() bool { counted = ledger(replicas[0]); return counted == sent }) {
		t.Errorf("%d requests were sent, the ledger has %d", sent, counted)
	}
}

// startFleet runs three replicas that share a Redis.
func startFleet(t *testing.T, up *origin) []*replica {
	t.Helper()
	redis, binary := redistest.Start(t), build(t)
	env := []string{"OPENAI_BASE_URL=" + up.url, "REDIS_URL=" + redis.URL(), "REQUIRE_REDIS=true", "ADMIN_TOKEN=" + adminToken,
		"TRUSTED_PROXIES=127.0.0.1", "DRAIN_DELAY=2s", "DRAIN_TIMEOUT=600s", "LOG_FORMAT=json",
		`OPENAI_API_KEYS=[{"id":"a","key":"sk-test-roll-a-00000001"},{"id":"b","key":"sk-test-roll-b-00000001"}]`,
		fmt.Sprintf(`CLIENT_TOKENS=[{"id":"roll","token":%q}]`, clientToken)}
	replicas := make([]*replica, 3)
	for i := range replicas {
		replicas[i] = &replica{binary: binary, addr: "127.0.0.1:" + redistest.FreePort(t), env: env}
		replicas[i].launch(t)
	}
	return replicas
}

// roll replaces one replica.
func roll(t *testing.T, i int, r *replica, fronts []*front) {
	t.Helper()
	tell := func(left int) {
		for _, f := range fronts {
			if f.leaving != nil {
				f.leaving(left)
			}
		}
	}
	tell(i)
	r.stop(t)
	r.launch(t)
	tell(-1)
	time.Sleep(time.Second) // and Caddy has seen that it is back; two must not be away at once
}

// ledger is how many requests the fleet has counted.
func ledger(r *replica) int64 {
	req, _ := http.NewRequest("GET", "http://"+r.addr+"/api/stats", nil)
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	var stats struct{ Totals struct{ Requests int64 } }
	json.NewDecoder(resp.Body).Decode(&stats)
	return stats.Totals.Requests
}

func ready(fronts []*front, trust *x509.CertPool) bool {
	for _, f := range fronts {
		resp, err := caller(trust).Get(f.url + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return false
		}
	}
	return true
}

// caller makes a connection for each request: nginx closes idle ones when it is reloaded, and a request on its way there
// would be lost between the caller and nginx, which is no business of the proxy.
func caller(trust *x509.CertPool) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust, ClientSessionCache: tls.NewLRUClientSessionCache(64)},
		DisableKeepAlives: true}}
}

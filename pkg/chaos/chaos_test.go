package chaos

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/redistest"
)

var (
	long    = flag.Duration("chaos.for", 0, "how long the storm lasts; 0: there is none")
	seed    = flag.Uint64("chaos.seed", 0, "repeats a storm; 0: a new one")
	kills   = flag.Bool("chaos.kills", true, "replicas are killed")
	outages = flag.Bool("chaos.outages", true, "Redis is frozen and killed")
	journal = flag.Bool("chaos.journal", false, "no row may be lost by a kill, also if no journal is found")
	ha      = flag.Bool("chaos.ha", false, "failovers, slots that move and a Redis that is full")
	raced   = flag.Bool("chaos.race", false, "the proxy is built with the race detector")
)

func TestMain(m *testing.M) {
	flag.Parse()
	redis.SetLogger(silence{})
	dir, err := os.MkdirTemp("", "chaos")
	if err != nil {
		panic(err)
	}
	built.dir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// silence keeps the Redis library from telling of every failover that is made here on purpose.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// replicas is how many there are.
const replicas = 4

func TestChaos(t *testing.T) {
	if *long == 0 {
		t.Skip("a storm wants the machine for itself: make chaos")
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d: go test ./pkg/chaos -run TestChaos -v -chaos.for=%v -chaos.seed=%d -chaos.kills=%v -chaos.outages=%v",
		*seed, *long, *seed, *kills, *outages)
	server := durable(t)
	upstream, clients := startUpstream(t), crowd(*long)
	f := startFleet(t, replicas, "REDIS_URL="+server.URL(), "OPENAI_BASE_URL="+upstream.url, "CONFIG_FILE="+writeConfig(t, clients))
	v := newVerdict(t, clients, redis.UniversalOptions{Addrs: []string{server.Addr()}})
	s := &storm{fleet: f, redis: server, upstream: upstream, log: t.Logf}

	tr, w, begin := newTraffic(f, clients, *seed), watch(f), time.Now()
	tr.start()
	s.rage(schedule(*seed, *long, replicas))
	over := time.Now()
	probes := v.checkRecovery(tr, over)
	time.Sleep(time.Second)
	calls := append(tr.end(), probes...)
	w.end()
	quiet := time.Now()
	v.check(within(10*time.Second, func() bool { return upstream.running() == 0 }), "the upstream still answers somebody")

	for _, err := range s.failed {
		v.fail("%v", err)
	}
	v.printTraffic(calls, quiet.Sub(begin))
	v.checkLimits(s, calls, w.calms(span{begin, quiet}, s.outages))
	l, err := settledLedger(f[0])
	if err != nil {
		t.Fatal(err)
	}
	v.checkLedger(s, calls, l)
	upstream.Configure(func(set *mockopenai.Settings) { set.LatencyMS, set.JitterMS = 0, 0 })
	v.printHot(tr, server) // while the slots of replicas that were killed run out
	v.checkReserved(f, calls, quiet)
	for _, line := range f.faults() {
		v.fail("in a log: %.500s", line)
	}
	v.print("strict    %d tokens beyond the quotas", v.overshoot)
}

// durable is a Redis that loses nothing when it is killed: what it answered was written. That it is on disk only the machine's
// own end would show, so nothing waits for that.
func durable(t *testing.T) *redistest.Server {
	return redistest.StartOn(t, stablePort(t), "--dir", t.TempDir(), "--appendonly", "yes", "--appendfsync", "no")
}

// recovery is how soon after a fault of Redis everything must be as it was.
const recovery = 2 * time.Second

// checkRecovery calls every replica, as a client without limits and as one with a strict quota, until both are served: within
// two seconds after the last fault.
func (v *verdict) checkRecovery(tr *traffic, over time.Time) []*call {
	var mu sync.Mutex // guards probes and last
	var probes []*call
	last := over
	var done sync.WaitGroup
	for i := range tr.fleet {
		for _, id := range []string{"free", "probe"} {
			done.Go(func() {
				n := 0
				served := within(recovery, func() bool {
					n++
					c := tr.call(clientOf(v.clients, id), fmt.Sprintf("%s/recovery-%d/%d", id, i, n), i, ask{leaveAfter: -1})
					mu.Lock()
					defer mu.Unlock()
					if probes = append(probes, c); c.ended.After(last) {
						last = c.ended
					}
					return c.status == 200 && c.end == whole
				})
				v.check(served, "replica %d does not serve %s 2 s after the last fault", i, id)
			})
		}
	}
	done.Wait()
	v.print("recovered %v after the last fault, on every replica", last.Sub(over).Round(time.Millisecond))
	return probes
}

// printTraffic says how calls ended.
func (v *verdict) printTraffic(calls []*call, took time.Duration) {
	ends := map[string]int{}
	for _, c := range calls {
		name := c.end.String()
		if c.status != 0 && c.status != 200 {
			name += fmt.Sprintf(" %d %s", c.status, c.code)
		}
		ends[name]++
	}
	v.print("traffic   %d calls, %.0f a second", len(calls), float64(len(calls))/took.Seconds())
	for _, name := range slices.Sorted(maps.Keys(ends)) {
		v.print("          %7d %s", ends[name], name)
	}
}

// printHot says what a request of a hot client costs Redis, and how many are served a second, in the calm after the storm.
func (v *verdict) printHot(tr *traffic, server *redistest.Server) {
	for _, id := range []string{"hot", "probe"} {
		c := clientOf(v.clients, id)
		calls := func(d time.Duration) (n int64) {
			var served atomic.Int64
			var done sync.WaitGroup
			for end, i := time.Now().Add(d), 0; i < 32; i++ {
				done.Go(func() {
					for time.Now().Before(end) {
						if tr.call(c, id+"/hot", i%len(tr.fleet), ask{leaveAfter: -1}).status == 200 {
							served.Add(1)
						}
					}
				})
			}
			done.Wait()
			return served.Load()
		}
		calls(1200 * time.Millisecond) // until it is hot
		before := server.Requests()
		const span = time.Second
		n := calls(span)
		v.print("%-9s %.0f requests a second, %.3f round trips to Redis each", id, float64(n)/span.Seconds(),
			float64(server.Requests()-before)/float64(n))
	}
}

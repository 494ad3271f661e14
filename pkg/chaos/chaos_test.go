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

// TestChaos is the storm, and, if that lasts longer than a minute, a failover by kill, by freeze, and with a zombie.
func TestChaos(t *testing.T) {
	if *long == 0 {
		t.Skip("a storm wants the machine for itself: make chaos")
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d: go test ./pkg/chaos -run TestChaos -v -chaos.for=%v -chaos.seed=%d -chaos.kills=%v -chaos.outages=%v",
		*seed, *long, *seed, *kills, *outages)
	var found report
	t.Run("storm", func(t *testing.T) { rage(t, &found) })
	if *long > time.Minute {
		for _, f := range failovers {
			t.Run(f.how, func(t *testing.T) { f.run(t, &found) })
		}
	}
	found.print(t)
}

func rage(t *testing.T, found *report) {
	server := durable(t)
	upstream, clients := startUpstream(t), crowd(*long)
	f := startFleet(t, replicas, "REDIS_URL="+server.URL(), "OPENAI_BASE_URL="+upstream.url, "CONFIG_FILE="+writeConfig(t, clients))
	v := newVerdict(t, found, clients, redis.UniversalOptions{Addrs: []string{server.Addr()}})
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
	v.away = slices.Concat(s.outages, w.alone)
	v.printTraffic(calls, quiet.Sub(begin))
	v.checkLimits(s, calls, w.calms(span{begin, quiet}, s.outages))
	l, err := settledLedger(f[0])
	if err != nil {
		t.Fatal(err)
	}
	v.checkLedger(s, calls, l)
	upstream.Configure(func(set *mockopenai.Settings) { set.LatencyMS, set.JitterMS = 0, 0 })
	v.checkHot(tr, server) // while the slots of replicas that were killed run out
	v.checkReserved(s, calls, quiet)
	for _, line := range f.faults() {
		v.fail("in a log: %.500s", line)
	}
}

// durable is a Redis that loses nothing when it is killed: what it answered was written. That it is on disk only the machine's
// own end would show, so nothing waits for that.
func durable(t *testing.T) *redistest.Server {
	return redistest.StartOn(t, stablePort(t), "--dir", t.TempDir(), "--appendonly", "yes", "--appendfsync", "no")
}

// recovery is how soon after a fault of Redis everything must be as it was.
const recovery = 2 * time.Second

// busy is how late a machine is on which a span of seconds says nothing.
const busy = 100 * time.Millisecond

// checkRecovery calls every replica, as a client without limits and as one with a strict quota, until both are served: within
// two seconds after the last fault, unless the machine was too slow to tell.
func (v *verdict) checkRecovery(tr *traffic, over time.Time) []*call {
	var mu sync.Mutex // guards probes and last
	var probes []*call
	last := over
	var done sync.WaitGroup
	for i := range tr.fleet {
		for _, id := range []string{"free", "probe"} {
			done.Go(func() {
				n := 0
				served := within(10*recovery, func() bool {
					n++
					c := tr.call(clientOf(v.clients, id), fmt.Sprintf("%s/recovery-%d/%d", id, i, n), i, ask{leaveAfter: -1})
					mu.Lock()
					defer mu.Unlock()
					if probes = append(probes, c); c.ended.After(last) {
						last = c.ended
					}
					return c.status == 200 && c.end == whole
				})
				v.check(served, "replica %d does not serve %s %v after the last fault", i, id, 10*recovery)
			})
		}
	}
	done.Wait()
	took, late := last.Sub(over), v.pacer.lateIn(span{over, last})
	v.figure("every replica serves again", "%v after the last fault (this machine was up to %v late)", took.Round(time.Millisecond),
		late.Round(time.Millisecond))
	v.check(took <= recovery || late > busy, "the last replica serves %v after the last fault", took)
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

// checkHot says what a request of a hot client costs Redis, and one of a client with a strict quota, in the calm after the storm.
func (v *verdict) checkHot(tr *traffic, server *redistest.Server) {
	const span = time.Second
	trips := func(during func()) float64 {
		before := server.Requests()
		during()
		return float64(server.Requests() - before)
	}
	time.Sleep(span) // until what was lent is given back
	idle := trips(func() { time.Sleep(span) })
	for _, id := range []string{"hot", "probe"} {
		v.calls(tr, id, 1200*time.Millisecond) // until it is hot
		n := 0.
		all := trips(func() { n = float64(v.calls(tr, id, span)) })
		v.figure("round trips to Redis, client "+id, "%.3f a request at %.0f a second, of which %.3f are for it: idle replicas make %.0f a second",
			all/n, n/span.Seconds(), (all-idle)/n, idle)
		// What is lent is lent for a second, so that few requests share what it costs on a machine that is too slow.
		v.check(id != "hot" || (all-idle)/n < .1 || n < 400*replicas, "a request of a hot client makes %.3f round trips", (all-idle)/n)
	}
}

// calls lets a client call for so long and returns how many requests were served.
func (v *verdict) calls(tr *traffic, id string, long time.Duration) int64 {
	var served atomic.Int64
	var done sync.WaitGroup
	c := clientOf(v.clients, id)
	for end, i := time.Now().Add(long), 0; i < 32; i++ {
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

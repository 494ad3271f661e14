package chaos

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/redistest"
)

// fault is something that goes wrong.
type fault struct {
	at    time.Duration // after the beginning
	kind  string        // kill, freeze, restart, upstream
	which int           // the replica
	last  time.Duration
	up    mockopenai.Fault // kind upstream
}

func (f fault) String() string {
	switch f.kind {
	case "kill":
		return fmt.Sprintf("kill replica %d, start it after %v", f.which, f.last)
	case "upstream":
		return fmt.Sprintf("upstream: %s for key %s model %q for %v", f.up.Kind, f.up.Key, f.up.Model, f.last)
	default:
		return fmt.Sprintf("%s Redis for %v", f.kind, f.last)
	}
}

// schedule draws what goes wrong in a storm: a replica is killed every 3 s, Redis is frozen or killed every 7.5 s in turn, in
// a short one more often, and most of the time a key fails, or answers break. What is left out by a flag changes nothing of the rest.
func schedule(seed uint64, long time.Duration, replicas int) (all []fault) {
	random := rand.New(rand.NewPCG(seed, 0))
	between := func(low, high time.Duration) time.Duration {
		return low + time.Duration(random.Int64N(int64(high-low)))
	}
	every := func(step time.Duration, add func(at time.Duration, n int)) {
		for n := 0; time.Duration(n+1)*step <= long; n++ {
			add(time.Duration(n)*step+between(step/4, step*3/4), n)
		}
	}
	every(3*time.Second, func(at time.Duration, _ int) {
		f := fault{at: at, kind: "kill", which: random.IntN(replicas), last: between(0, 500*time.Millisecond)}
		if *kills {
			all = append(all, f)
		}
	})
	every(min(7500*time.Millisecond, long*2/5), func(at time.Duration, n int) {
		kind := [...]string{"freeze", "restart"}[n%2]
		f := fault{at: at, kind: kind, last: between(300*time.Millisecond, 1500*time.Millisecond)}
		if *outages {
			all = append(all, f)
		}
	})
	troubles := troubles(random)
	every(2*time.Second, func(at time.Duration, n int) {
		all = append(all, fault{at: at, kind: "upstream", last: 1500 * time.Millisecond, up: troubles[n%len(troubles)]})
	})
	return all
}

// troubles are the ways in which the upstream fails, in any order. A failure of every key strikes few requests; one that
// strikes most is of one key, so that there is always another.
func troubles(random *rand.Rand) []mockopenai.Fault {
	one := func() string { return upstreamKey(random.IntN(upstreamKeys)) }
	all := []mockopenai.Fault{
		{Key: one(), Kind: "500"},
		{Key: one(), Kind: "429", RetryAfter: 1},
		{Key: one(), Kind: "reset"},
		{Key: one(), Kind: "hang", Prob: .2},
		{Key: "*", Kind: "close_mid", Prob: .1, AfterChunks: 1 + random.IntN(10)},
		{Key: "*", Kind: "reset_mid", Prob: .1, AfterChunks: 1 + random.IntN(10)},
		{Key: "*", Kind: "error_mid", Prob: .1, AfterChunks: 1 + random.IntN(10), Model: streamModel},
		{Key: "*", Kind: "silence", Prob: .1, AfterChunks: 5, PauseMS: 800},
		{Key: "*", Kind: "503_overloaded", Prob: .05},
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// storm carries out a schedule.
type storm struct {
	fleet    fleet
	redis    *redistest.Server
	upstream *bill
	log      func(string, ...any)

	redisBusy sync.Mutex // held while Redis is away on purpose
	mu        sync.Mutex // guards the rest
	outages   []span     // of Redis
	failed    []error
}

// rage carries out all faults and returns when the last one is over and everything runs again.
func (s *storm) rage(all []fault) {
	begin := time.Now()
	var running sync.WaitGroup
	for _, f := range all {
		running.Go(func() {
			time.Sleep(time.Until(begin.Add(f.at)))
			s.log("%6.2f s: %v", time.Since(begin).Seconds(), f)
			s.strike(f)
		})
	}
	running.Wait()
	for _, r := range s.fleet {
		if !r.readyWithin(20 * time.Second) {
			s.fail(fmt.Errorf("%s does not get ready after the storm\n%.2000s", r.url, r.log))
		}
	}
}

func (s *storm) strike(f fault) {
	switch f.kind {
	case "kill":
		if err := s.fleet[f.which].kill(f.last); err != nil {
			s.fail(err)
		}
	case "upstream":
		s.upstream.Fault(f.up)
		time.Sleep(f.last)
		s.upstream.Fault(mockopenai.Fault{Key: f.up.Key, Kind: "none", Model: f.up.Model})
	case "freeze":
		s.outage(func() { s.redis.Freeze(); time.Sleep(f.last); s.redis.Thaw() })
	case "restart":
		s.outage(func() { s.redis.Kill(); time.Sleep(f.last); s.redis.Run() })
	}
}

func (s *storm) outage(away func()) {
	s.redisBusy.Lock()
	defer s.redisBusy.Unlock()
	begin := time.Now()
	away()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outages = append(s.outages, span{begin, time.Now()})
}

// lastLoss is when Redis may have taken, at the latest, what a replica that was killed had asked for.
func (s *storm) lastLoss() (last time.Time) {
	for _, r := range s.fleet {
		r.mu.Lock()
		for _, k := range r.kills {
			last = later(last, k.to)
		}
		r.mu.Unlock()
	}
	for _, o := range s.outages {
		last = later(last, o.to.Add(time.Second))
	}
	return last
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (s *storm) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = append(s.failed, err)
}

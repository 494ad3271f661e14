package app_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/redistest"
)

// fleet starts replicas that share a Redis.
func fleet(t *testing.T, server interface{ URL() string }, n int, env map[string]string) []*rig {
	t.Helper()
	env["REDIS_URL"] = server.URL()
	replicas := make([]*rig, n)
	for i := range replicas {
		replicas[i] = start(t, env)
	}
	return replicas
}

func weightedKeys(n int) string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf(`{"id":"k%d","key":%q,"weight":%d}`, i+1, keyNumber(i+1), i+1)
	}
	return "[" + strings.Join(keys, ",") + "]"
}

// Through three replicas, one of which is replaced half-way, every key gets its share; and after all of them restarted
// the positions go on.
func TestSharesOfAFleet(t *testing.T) {
	mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{ContentBytes: 4, Requests: 10}))
	server := redistest.Start(t)
	env := map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": weightedKeys(5), "LOG_LEVEL": "warn", "CONFIG_FILE": "c.json",
		"file": `{"strategy":"weighted"}`}
	replicas := fleet(t, server, 3, env)
	const calls = 10_000
	crowd(12, calls/2, func(i int) answer { return replicas[i%3].chat(t, plain) })
	replicas[2].Stop()
	replicas[2] = fleet(t, server, 1, env)[0]
	crowd(12, calls/2, func(i int) answer { return replicas[i%3].chat(t, plain) })
	stats := mock.Stats()
	for i := range 5 {
		got, want := float64(stats[keyNumber(i+1)].Requests), float64(calls*(i+1))/15
		// 1 %, and the blocks that the four replicas held at their ends: at most a second of traffic each.
		if slack := want*.01 + 4*60; got < want-slack || got > want+slack {
			t.Errorf("the key of weight %d got %v of %d requests, want %.0f", i+1, got, calls, want)
		} else {
			t.Logf("the key of weight %d got %v of %d requests, want %.0f", i+1, got, calls, want)
		}
	}
	before, _ := server.Get("oap:{p:" + poolOf(t, server) + "}")
	for _, r := range replicas {
		r.Stop()
	}
	again := fleet(t, server, 1, env)[0]
	again.chat(t, plain)
	after, _ := server.Get("oap:{p:" + poolOf(t, server) + "}")
	if before == "0" || len(after) < len(before) {
		t.Errorf("the cursor stood at %s and stands at %s", before, after)
	}
}

// poolOf is the one pool there is.
func poolOf(t *testing.T, server *redistest.Server) string {
	t.Helper()
	for _, key := range server.Keys("oap:{p:*") {
		return strings.TrimSuffix(strings.TrimPrefix(key, "oap:{p:"), "}")
	}
	t.Fatal("no cursor")
	return ""
}

// A rate is one for the whole fleet; what is refused consumes nothing.
func TestRateOfAFleet(t *testing.T) {
	_, url := upstream(t)
	replicas := fleet(t, redistest.Start(t), 3, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1),
		"CLIENT_TOKENS": fmt.Sprintf(`[{"id":"team","token":%q,"rpm":50,"burst":50}]`, clientToken)})
	begin := time.Now()
	admitted := 0
	for i, a := range crowd(60, 300, func(i int) answer { return replicas[i%3].post(t, "/v1/chat/completions", clientToken, plain) }) {
		switch a.status {
		case 200:
			admitted++
		case 429:
		default:
			t.Fatalf("request %d: %d %v %s", i, a.status, a.err, a.body)
		}
	}
	most := 50 + int(time.Since(begin).Seconds()*50/60) + 1
	if admitted < 50 || admitted > most {
		t.Errorf("%d admitted, want 50 to %d", admitted, most)
	}
}

// A key that trips, cools or runs out of credit on one replica is left alone by all of them.
func TestRestsOfAFleet(t *testing.T) {
	for kind, state := range map[string]string{"500": "open", "402": "exhausted", "429": "cooling"} {
		t.Run(kind, func(t *testing.T) {
			mock, url := upstream(t)
			replicas := fleet(t, redistest.Start(t), 3, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys()})
			mock.Fault(mockopenai.Fault{Key: keyNumber(2), Kind: kind, RetryAfter: 60})
			for range 15 {
				replicas[0].chat(t, plain)
			}
			if s := replicas[0].keyState(t, "b"); s != state {
				t.Fatalf("the key is %s where it failed", s)
			}
			for i, r := range replicas[1:] {
				eventually(t, "the others know", func() bool { return r.keyState(t, "b") == state })
				used := mock.Stats()[keyNumber(2)].Requests
				for range 9 {
					if a := r.chat(t, plain); a.status != 200 {
						t.Fatalf("replica %d: %d %s", i+1, a.status, a.body)
					}
				}
				if n := mock.Stats()[keyNumber(2)].Requests; n != used {
					t.Errorf("replica %d used it %d times", i+1, n-used)
				}
			}
		})
	}
}

// A Redis that was emptied, or was away while something happened, is told again what the replicas know; who joins then
// learns it from there.
func TestRestsAreToldAgain(t *testing.T) {
	mock, url := upstream(t)
	server := redistest.Start(t)
	env := map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys()}
	replicas := fleet(t, server, 2, env)
	fail := func(r *rig, n int, id string) {
		t.Helper()
		mock.Fault(mockopenai.Fault{Key: keyNumber(n), Kind: "402"})
		for r.state(id) != "exhausted" {
			r.chat(t, plain)
		}
	}
	fail(replicas[0], 2, "b")
	eventually(t, "the other knows", func() bool { return replicas[1].state("b") == "exhausted" })
	server.Do("FLUSHALL")
	eventually(t, "Redis knows again", func() bool { return len(server.Keys("oap:{rests}")) == 1 })
	if a, b := replicas[0].state("b"), replicas[1].state("b"); a != "exhausted" || b != "exhausted" {
		t.Errorf("after Redis was emptied the key is %s and %s", a, b)
	}
	server.Kill()
	fail(replicas[0], 3, "c")
	server.Run()
	eventually(t, "the other knows of both", func() bool { return replicas[1].state("c") == "exhausted" && replicas[1].state("b") == "exhausted" })
	late := fleet(t, server, 1, env)[0]
	eventually(t, "who joins knows of both", func() bool { return late.state("b") == "exhausted" && late.state("c") == "exhausted" })
}

// Replicas that run different configurations are told apart from a fleet, and one that an orchestrator runs alone says so.
func TestFleetThatIsNone(t *testing.T) {
	_, url := upstream(t)
	server := redistest.Start(t)
	one := fleet(t, server, 1, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1)})[0]
	if !strings.Contains(one.get(t, "/health", "").body, `"versions":1`) {
		t.Error("one replica, and not one configuration")
	}
	fleet(t, server, 1, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(2)})
	eventually(t, "the difference is told", func() bool {
		return strings.Contains(one.get(t, "/health", "").body, `"versions":2`) && strings.Contains(one.logs.String(), "different configurations")
	})
	t.Setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
	alone := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1)})
	if !strings.Contains(alone.get(t, "/health", "").body, `"unshared":true`) || !strings.Contains(alone.logs.String(), "NOT SHARED") ||
		!strings.Contains(alone.get(t, "/metrics", adminToken).body, "oap_state_unshared 1") {
		t.Error("nobody says that the replicas share nothing")
	}
}

// Guesses at one replica count at all of them.
func TestGuessesAtAFleet(t *testing.T) {
	_, url := upstream(t)
	server := redistest.Start(t)
	replicas := fleet(t, server, 3, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1)})
	seen := map[int]int{}
	for i := range 60 {
		seen[replicas[i%3].get(t, "/v1/models", fmt.Sprintf("sk-test-guess-%d", i)).status]++
	}
	if seen[401] != 30 || seen[429] != 30 {
		t.Errorf("answers %v, want 30 times 401, then 429", seen)
	}
	if a := replicas[0].get(t, "/v1/models", keyNumber(1)); a.status != 200 {
		t.Errorf("a valid token waits for the guesses: %d", a.status)
	}
	server.Kill()
	if a := replicas[0].get(t, "/v1/models", "sk-test-guess"); a.status != 401 {
		t.Errorf("without Redis: %d", a.status)
	}
	server.Run()
}

// How soon the others leave a key alone that tripped here, and that one probe alone goes to the upstream when it half-opens.
func TestTripIsToldAndOneProbeMade(t *testing.T) {
	mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{ContentBytes: 4}))
	server := redistest.Start(t)
	replicas := fleet(t, server, 3, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CONFIG_FILE": "c.json",
		"file": `{"failover":{"openTimeout":1000,"maxRest":600000,"failureThreshold":3}}`})
	var told []time.Duration
	judged := false
	for round := range 12 {
		mock.Fault(mockopenai.Fault{Key: keyNumber(2), Kind: "500"})
		for replicas[0].state("b") != "open" {
			replicas[0].chat(t, plain)
		}
		begin := time.Now()
		for replicas[1].state("b") != "open" || replicas[2].state("b") != "open" {
			if time.Since(begin) > time.Minute {
				t.Fatalf("round %d: not told in a minute", round)
			}
			time.Sleep(200 * time.Microsecond)
		}
		told = append(told, time.Since(begin))
		mock.Fault(mockopenai.Fault{Key: "*", Kind: "none"})
		mock.Fault(mockopenai.Fault{Key: keyNumber(2), Kind: "none"})
		if !judged {
			judged = oneProbe(t, mock, replicas, time.Duration(round+1)*5*time.Second)
		}
		eventually(t, "it is back everywhere", func() bool {
			for _, r := range replicas {
				r.chat(t, plain)
			}
			return !slices.ContainsFunc(replicas, func(r *rig) bool { return r.state("b") != "active" })
		})
	}
	if !judged {
		t.Error("never did all ask while the probe was under way")
	}
	slices.Sort(told)
	t.Logf("a trip was known to both others after: median %v, p99 %v", told[len(told)/2], told[len(told)*99/100])
}

// oneProbe waits until the key half-opens and sends 64 requests to each replica at once, while the upstream takes its time. It
// reports whether that was long enough for all to have asked before the probe was answered: after that the key is back, and used.
func oneProbe(t *testing.T, mock *mockopenai.Server, replicas []*rig, latency time.Duration) (judged bool) {
	t.Helper()
	eventually(t, "it half-opens", func() bool {
		return !slices.ContainsFunc(replicas, func(r *rig) bool { return r.state("b") != "half-open" })
	})
	before := mock.Stats()[keyNumber(2)].Requests
	mock.Configure(func(s *mockopenai.Settings) { s.LatencyMS = float64(latency.Milliseconds()) })
	callers, over := 64*len(replicas), make(chan struct{})
	go func() {
		defer close(over)
		crowd(callers, callers, func(i int) answer { return replicas[i%len(replicas)].chat(t, plain) })
	}()
	for waiting := true; waiting; {
		select {
		case <-over:
			waiting = false
		case <-time.After(5 * time.Millisecond):
			judged = inFlight(mock) == int64(callers)
			waiting = !judged
		}
	}
	if n := mock.Stats()[keyNumber(2)].Requests - before; judged && n != 1 {
		t.Errorf("%d probes reached the upstream, want 1", n)
	}
	<-over
	mock.Configure(func(s *mockopenai.Settings) { s.LatencyMS = 0 })
	return judged
}

// state is a key's state as the health of the proxy counts it, read where no request is needed.
func (r *rig) state(id string) string { return r.KeyState(id) }

// Redis goes away in every way there is, under a load of streams and short calls: nobody without limits notices.
func TestRedisOutages(t *testing.T) {
	_, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 20, ChunkDelayMS: 30, ContentBytes: 4}))
	server := redistest.Start(t)
	wire := redistest.Through(t, server)
	replicas := fleet(t, wire, 2, map[string]string{"hasty": "yes", "OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "LOG_LEVEL": "warn",
		"CLIENT_TOKENS": fmt.Sprintf(`[{"id":"free","token":%q},{"id":"rated","token":"sk-test-rated-000000000000000001","rpm":1000000}]`, clientToken)})
	var calls, failed atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	for i := range 16 {
		load.Go(func() {
			body, token := plain, clientToken
			if i%2 == 0 {
				body = streamed
			}
			if i%4 > 1 {
				token = "sk-test-rated-000000000000000001"
			}
			for {
				select {
				case <-stop:
					return
				default:
				}
				calls.Add(1)
				if a := replicas[i%2].post(t, "/v1/chat/completions", token, body); a.status != 200 || a.err != nil || i%2 == 0 && !a.whole() {
					failed.Add(1)
					t.Errorf("%d %v %.200s", a.status, a.err, a.body)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	for _, outage := range []struct {
		name       string
		begin, end func()
	}{
		{"killed", server.Kill, server.Run},
		{"frozen", server.Freeze, server.Thaw},
		{"slowed to 500 ms", func() { wire.Slow(500 * time.Millisecond) }, func() { wire.Slow(0) }},
		{"paused", func() { server.Do("CLIENT", "PAUSE", "1500") }, func() {}},
		{"emptied", func() { server.Do("FLUSHALL") }, func() {}},
	} {
		outage.begin()
		time.Sleep(1500 * time.Millisecond)
		outage.end()
		back := time.Now()
		eventually(t, outage.name+": recovered", func() bool { return replicas[0].healthy(t) && replicas[1].healthy(t) })
		t.Logf("%s: recovered %v after its end, %d calls so far, %d failed", outage.name, time.Since(back).Round(time.Millisecond), calls.Load(), failed.Load())
	}
	close(stop)
	load.Wait()
	if calls.Load() < 200 {
		t.Errorf("only %d calls", calls.Load())
	}
}

// healthy reports whether the state answers.
func (r *rig) healthy(t *testing.T) bool {
	var h struct{ State struct{ OK bool } }
	json.Unmarshal([]byte(r.get(t, "/health", "").body), &h)
	return h.State.OK
}

// roundTrips is how often Redis is asked for each of so many calls to one replica, and how many calls were made in a second.
// What a replica does by the clock, such as to write down what was used ten times a second, is not counted: it is for many
// requests, but on a slow machine for few.
func roundTrips(t *testing.T, server *redistest.Server, calls int, f func()) (each, speed float64) {
	t.Helper()
	const byTheClock = 30 // a second, at most
	before, begin := server.Requests(), time.Now()
	crowd(8, calls, func(int) (a answer) { f(); return a })
	seconds, asked := time.Since(begin).Seconds(), float64(server.Requests()-before)
	each, speed = (asked-byTheClock*seconds)/float64(calls), float64(calls)/seconds
	t.Logf("%.3f round trips a request, %.3f beyond what is done by the clock, at %.0f requests a second", asked/float64(calls), each, speed)
	return each, speed
}

// What a request costs in commands of Redis: none for a client without limits, one for a client with a rate.
func TestRoundTrips(t *testing.T) {
	_, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{ContentBytes: 4}))
	server := redistest.Start(t)
	r := fleet(t, server, 1, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "LOG_LEVEL": "warn",
		"CLIENT_TOKENS": fmt.Sprintf(`[{"id":"free","token":%q},{"id":"rated","token":"sk-test-rated-000000000000000001","rpm":1000000}]`, clientToken)})[0]
	const calls = 3000
	for token, most := range map[string]float64{clientToken: .1, "sk-test-rated-000000000000000001": 1.1} {
		crowd(8, 500, func(int) answer { return r.post(t, "/v1/chat/completions", token, plain) }) // until blocks are leased
		each, _ := roundTrips(t, server, calls, func() { r.post(t, "/v1/chat/completions", token, plain) })
		if each > most {
			t.Errorf("%.2f round trips a request, want at most %v", each, most)
		}
	}
}

// Without Redis at the start the proxy is alive, not ready, and says why; it becomes ready by itself.
func TestStartWithoutRedis(t *testing.T) {
	_, url := upstream(t)
	server := redistest.Start(t)
	server.Kill()
	r := fleet(t, server, 1, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1)})[0]
	if a := r.get(t, "/livez", ""); a.status != 200 {
		t.Errorf("/livez: %d", a.status)
	}
	if a := r.get(t, "/readyz", ""); a.status != 503 {
		t.Errorf("/readyz: %d", a.status)
	}
	if !strings.Contains(r.logs.String(), "redis does not answer") {
		t.Error("the log does not say why")
	}
	server.Run()
	eventually(t, "ready", func() bool { return r.get(t, "/readyz", "").status == 200 })
}

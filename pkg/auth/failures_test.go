package auth

import (
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ulule/limiter/v3"
	"go.uber.org/goleak"

	"openai-api-proxy/pkg/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// guess sends a bad token n times, which must be answered with 401, and returns the answer to one more.
func guess(t *testing.T, g *Gate, addr netip.Addr, n int) *proxy.Fault {
	t.Helper()
	for i := range n {
		_, err := g.Client(t.Context(), bearing("sk-test-guess"), addr)
		if f := faultOf(t, err); f.Kind != proxy.InvalidAPIKey {
			t.Fatalf("guess %d: %v", i+1, f)
		}
	}
	_, err := g.Client(t.Context(), bearing("sk-test-guess"), addr)
	return faultOf(t, err)
}

func TestTooManyFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(300 * time.Millisecond) // windows need not begin with a second
		g := open(windows(), &proxy.Client{ID: "plain", Enabled: true})
		f := guess(t, g, home, defaultFailures)
		if f.Kind != proxy.RateLimited || f.RetryAfter <= 0 || f.RetryAfter > time.Minute+time.Second {
			t.Fatalf("one guess too many: %+v", f)
		}
		if _, err := g.Client(t.Context(), bearing("sk-test-plain"), home); err != nil {
			t.Errorf("a valid token from the same address was refused: %v", err)
		}
		time.Sleep(f.RetryAfter)
		guess(t, g, home, defaultFailures) // a new window
	})
}

func TestOnlyGuessesCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(windows(), &proxy.Client{ID: "inside", Enabled: true,
			IPs: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
		twice := bearing("sk-test-inside")
		twice.Add("Authorization", "Bearer sk-test-inside")
		for range 2 * defaultFailures {
			_, err := g.Client(t.Context(), bearing("sk-test-inside"), home)
			if f := faultOf(t, err); f.Kind != proxy.IPNotAllowed {
				t.Fatal(f)
			}
			_, err = g.Client(t.Context(), twice, home)
			if f := faultOf(t, err); f.Kind != proxy.InvalidRequest {
				t.Fatal(f)
			}
		}
		guess(t, g, home, defaultFailures)
	})
}

func TestFailuresByAddress(t *testing.T) {
	tests := map[string]struct {
		a, b   string
		shared bool
	}{
		"two IPv4 addresses":   {"10.0.0.1", "10.0.0.2", false},
		"one, mapped":          {"10.0.0.1", "::ffff:10.0.0.1", true},
		"one /64":              {"2001:db8::1", "2001:db8::ffff:0:0:1", true},
		"two /64s":             {"2001:db8::1", "2001:db8:0:1::1", false},
		"one link, two zones":  {"fe80::1%a", "fe80::1%b", true},
		"unlike and not valid": {"10.0.0.1", "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := open(windows())
				var b netip.Addr
				if tt.b != "" {
					b = netip.MustParseAddr(tt.b)
				}
				guess(t, g, netip.MustParseAddr(tt.a), defaultFailures)
				want := proxy.InvalidAPIKey
				if tt.shared {
					want = proxy.RateLimited
				}
				if f := guess(t, g, b, 0); f.Kind != want {
					t.Errorf("%s after %s: %v, want %s", tt.b, tt.a, f, want)
				}
			})
		})
	}
}

func TestPeriodsHaveTheirOwnWindows(t *testing.T) {
	g := open(windows())
	before := g.failures.key(home)
	g.failures.rate = limiter.Rate{Period: time.Hour, Limit: 1}
	if after := g.failures.key(home); before == after {
		t.Errorf("both periods use %q", before)
	}
}

func TestLimiterAway(t *testing.T) {
	g := open(failing{}, &proxy.Client{ID: "plain", Enabled: true})
	if f := guess(t, g, home, 2*defaultFailures); f.Kind != proxy.InvalidAPIKey || f.Public != refused {
		t.Errorf("got %v, want the plain refusal", f)
	}
	if n := value(t, g.metrics.limiterErrors); n != 2*defaultFailures+1 {
		t.Errorf("%v errors counted", n)
	}
	if _, err := g.Client(t.Context(), bearing("sk-test-plain"), home); err != nil {
		t.Errorf("a valid token was refused: %v", err)
	}
}

// The janitor must go with the store, or every reload and every test would leave one behind.
func TestJanitorEndsWithTheStore(t *testing.T) {
	others := goleak.IgnoreCurrent()
	store := NewFailureStore()
	if _, err := store.Increment(t.Context(), "x", 1, limiter.Rate{Period: time.Minute, Limit: 1}); err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(store)
	store = nil
	var left error
	for range 10 {
		runtime.GC()
		if left = goleak.Find(others); left == nil {
			return
		}
	}
	t.Errorf("the janitor still runs: %v", left)
}

package balancer

import (
	"testing"
	"testing/synctest"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/memstate"
)

// A replica that has not heard yet how the probe of another went does not make a second one.
func TestProbeThatFailedIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstate.New()
		a := balancerOf(t, setup{Keys: pooled(1, 1), Store: store})
		b := balancerOf(t, setup{Keys: pooled(1, 1), Store: store})
		defer a.Close()
		defer b.Close()
		over := state.Rest{Subject: state.Subject{Scope: proxy.ByKey, ID: "k0"}, Reason: proxy.Open, Until: time.Now().Add(time.Second)}
		a.apply(over)
		b.apply(over)
		time.Sleep(1100 * time.Millisecond)
		failing := only("k0", proxy.Verdict{Outcome: proxy.KeyFailed, Status: 500})
		for range 2 {
			call(t, a, "m", failing)
		}
		if got := a.stateOf("k0"); got != "open" {
			t.Fatalf("after its probe failed the key is %s", got)
		}
		time.Sleep(100 * time.Millisecond) // what the probe showed is told by now, and b has not listened
		for range 10 {
			if id := call(t, b, "m", is(proxy.Served)); id != "k1" {
				t.Fatalf("a second probe was made with %q", id)
			}
		}
	})
}

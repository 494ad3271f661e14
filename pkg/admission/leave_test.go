package admission

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/redistest"
	"openai-api-proxy/pkg/state/redisstate"
)

// Callers who leave while they wait, among others with whom they go together to a Redis that is slow, are charged nothing and
// hold no slot: what was taken for them is given back. Nobody else notices.
func TestCallersLeave(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	wire := redistest.Through(t, redistest.Start(t))
	s, err := redisstate.Open(wire.URL(), "oap", "v1", slog.New(slog.DiscardHandler), redisstate.WithBudgets(20*time.Second, 20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	a, _ := open(t, s, nil)
	const limit, each = 10_000_000, 15
	clients := []*proxy.Client{{ID: "one", Strict: true, Concurrency: 500}, {ID: "two", Strict: true, TPM: limit}}
	for _, c := range clients {
		c.Quota = []proxy.Budget{budget(proxy.Tokens, limit, proxy.Total)}
	}
	left(t, s, clients[0]) // the script is known
	wire.Slow(20 * time.Millisecond)
	var admitted, gone [2]atomic.Int64
	var all sync.WaitGroup
	for i := range 300 {
		patience := time.Duration(random.IntN(60)) * time.Millisecond
		if i%3 == 0 {
			patience = time.Minute
		}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			p, err := a.Admit(ctx, clients[i%2], sized(300, `,"max_tokens":10`))
			switch {
			case err == nil:
				admitted[i%2].Add(1)
				p.Settle(context.Background(), exact(10, 5))
			case kindOf(err) == proxy.CallerLeft && patience < time.Minute:
				gone[i%2].Add(1)
			default:
				t.Error(err)
			}
		})
		time.Sleep(time.Duration(random.IntN(500)) * time.Microsecond)
	}
	all.Wait()
	told(t, a)
	for i, c := range clients {
		l := left(t, s, c)
		t.Logf("%s: %d admitted, %d gone, left %v", c.ID, admitted[i].Load(), gone[i].Load(), l)
		if gone[i].Load() == 0 || l["tokens/total"] != limit-each*admitted[i].Load() || i == 0 && l["concurrency"] != 500 {
			t.Errorf("%s: %d admitted, %d gone, left %v", c.ID, admitted[i].Load(), gone[i].Load(), l)
		}
	}
}

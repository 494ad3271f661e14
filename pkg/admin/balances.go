package admin

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"openai-api-proxy/pkg/admission"
	"openai-api-proxy/pkg/catalog"
	"openai-api-proxy/pkg/proxy"
)

const (
	// askersOfBalances bounds how many clients are asked for at once, and balancesWithin how long a list waits for all of them.
	askersOfBalances = 8
	balancesWithin   = time.Second
)

// quotas tells how the quotas of a client stand.
type quotas interface {
	Balances(ctx context.Context, c *proxy.Client) ([]admission.Balance, error)
}

// balanceAnswer is how one quota stands. Its amounts are dollars where it limits money.
type balanceAnswer struct {
	Measure  proxy.Measure `json:"measure"`
	Period   proxy.Period  `json:"period"`
	Limit    json.Number   `json:"limit"`
	Used     json.Number   `json:"used"`
	Left     json.Number   `json:"left"`
	ResetsAt *time.Time    `json:"resetsAt"` // null: never
}

func standingOf(b admission.Balance) balanceAnswer {
	return balanceAnswer{b.Measure, b.Period, amount(b.Measure, b.Limit), amount(b.Measure, b.Used),
		amount(b.Measure, max(b.Limit-b.Used, 0)), instant(b.Resets)}
}

// balances reads how the quotas of clients stand, in the order of both; nil of those that the state does not tell in time.
func (a *API) balances(ctx context.Context, clients []*catalog.Client) [][]balanceAnswer {
	ctx, cancel := context.WithTimeout(ctx, balancesWithin)
	defer cancel()
	all := make([][]balanceAnswer, len(clients))
	var next atomic.Int64
	var asking sync.WaitGroup
	for range min(askersOfBalances, len(clients)) {
		asking.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(clients)); i = next.Add(1) - 1 {
				now, err := a.Quotas.Balances(ctx, clients[i].Client)
				if err != nil {
					cancel() // it would be no better for the others
					return
				}
				all[i] = make([]balanceAnswer, 0, len(now))
				for _, b := range now {
					all[i] = append(all[i], standingOf(b))
				}
			}
		})
	}
	asking.Wait()
	return all
}

package redisstate

import (
	"context"

	"openai-api-proxy/pkg/state"
)

// scanStride is how many requests one trip brings: few enough that they may be long.
const scanStride = 250

// Requests reads the stream from its end.
func (s *Store) Requests(ctx context.Context, q state.RequestQuery) (state.Page, error) {
	page, err := state.Fill(q, s.mostScanned)
	if err != nil {
		return state.Page{}, err
	}
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	newest, oldest := "+", "-"
	if q.After != "" {
		newest = "(" + q.After
	}
	if q.Since != "" {
		oldest = "(" + q.Since
	}
	for !page.Full() {
		stride := min(page.Left(), scanStride)
		entries, err := s.slow.XRevRangeN(ctx, s.keys.requests(), newest, oldest, int64(stride)).Result()
		if err != nil {
			return state.Page{}, unavailable(err)
		}
		for i, e := range entries {
			newest = "(" + e.ID
			text, _ := e.Values["r"].(string)
			if page.Add(e.ID, []byte(text)) && i < len(entries)-1 {
				return page.Page, nil
			}
		}
		if len(entries) < stride {
			page.End()
		}
	}
	return page.Page, nil
}

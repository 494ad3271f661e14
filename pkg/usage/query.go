package usage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// mostListed bounds the requests of one page.
const mostListed = 1000

// Totals returns what the store has counted and what is still on its way there from this replica, each request once,
// in no order: there may be very many.
func (m *Meter) Totals(ctx context.Context) (state.Totals, error) {
	if err := m.acquire(ctx); err != nil {
		return state.Totals{}, err
	}
	defer m.release()
	totals, err := m.store.Totals(ctx)
	if err != nil {
		return state.Totals{}, fmt.Errorf("usage totals: %w", err)
	}
	m.mu.Lock()
	m.sumLocked()
	waiting := m.pending.sums()
	m.mu.Unlock()
	totals.Usage = waiting.addTo(totals.Usage)
	return totals, nil
}

// Series returns what was used in each step of a span, oldest first. It is what the store has: the last 100 ms of each
// replica are missing. A mistake in the query is a proxy.Fault that names the field: step, kind, id, from or to.
func (m *Meter) Series(ctx context.Context, q state.SeriesQuery) ([]state.Point, error) {
	if fault := checkSeries(q); fault != nil {
		return nil, fault
	}
	found, err := m.store.Series(ctx, q)
	switch {
	case errors.Is(err, state.ErrTooMuch):
		return nil, mistaken("from", "%s", state.ErrTooMuch)
	case err != nil:
		return nil, fmt.Errorf("usage series: %w", err)
	}
	return found, nil
}

func checkSeries(q state.SeriesQuery) *proxy.Fault {
	switch {
	case !slices.Contains(state.Steps[:], q.Step):
		return mistaken("step", "step must be one of %v", state.Steps)
	case !slices.Contains(state.Kinds[:], q.Kind):
		return mistaken("kind", "kind must be one of %v", state.Kinds)
	case q.Kind == state.OfAll && q.ID != "":
		return mistaken("id", "the total has no id")
	case q.From.IsZero():
		return mistaken("from", "from is missing")
	case !q.From.Before(q.To):
		return mistaken("to", "to must be later than from")
	case q.To.Sub(q.From) > state.MostPoints*q.Step.Length():
		return mistaken("from", "the span has more than %d steps: ask for a longer step or a shorter span", state.MostPoints)
	}
	return nil
}

// Requests returns the latest requests, newest first. It is what the store has: the last 100 ms of each replica are
// missing. A mistake in the query is a proxy.Fault that names the field: limit, after or since.
func (m *Meter) Requests(ctx context.Context, q state.RequestQuery) (state.Page, error) {
	if q.Limit < 1 || q.Limit > mostListed {
		return state.Page{}, mistaken("limit", "limit must be 1 to %d", mostListed)
	}
	for param, text := range map[string]string{"after": q.After, "since": q.Since} {
		if _, err := state.ParsePosition(text); text != "" && err != nil {
			return state.Page{}, mistaken(param, "%s is not one that was given with an answer", param)
		}
	}
	page, err := m.store.Requests(ctx, q)
	if err != nil {
		return state.Page{}, fmt.Errorf("latest requests: %w", err)
	}
	return page, nil
}

func mistaken(param, format string, args ...any) *proxy.Fault {
	f := proxy.Faultf(proxy.InvalidRequest, format, args...)
	f.Param = param
	return f
}

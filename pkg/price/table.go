package price

import (
	"cmp"
	"slices"
	"strings"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// Table finds prices. It never changes, and may be used by many goroutines. A nil one knows none.
type Table struct {
	own, listed models
}

// NewTable makes the table of the configured prices, and behind them the listed ones: where any configured pattern names
// a model, the list is not asked.
func NewTable(configured []Model) *Table {
	return &Table{newModels(configured), builtIn().models}
}

// Find is the price of a model by its name. Of several patterns the one holds that says most of the name: the name
// itself, then the name without its date, then the pattern with the most characters.
func (t *Table) Find(model string) (*Model, bool) {
	if t == nil || model == "" {
		return nil, false
	}
	if m := t.own.find(model); m != nil {
		return m, true
	}
	m := t.listed.find(model)
	return m, m != nil
}

// Cost is what the usage of a model costs, in nano-dollars, and whether that is known. What said nothing of its usage has
// a known cost only if the model is free.
func (t *Table) Cost(model string, u openai.Usage) (nanoUSD int64, known bool) {
	m, known := t.Find(model)
	if !known || u.Basis == openai.NoUsage && !m.free() {
		return 0, false
	}
	return m.Cost(u), true
}

// AtMost is what so many tokens of a model cost at most, as long as they are text; see Model.AtMost.
func (t *Table) AtMost(model string, u openai.Usage) (nanoUSD int64, known bool) {
	m, known := t.Find(model)
	if !known {
		return 0, false
	}
	return m.AtMost(u), true
}

// models are found by their patterns.
type models struct {
	named    map[string]*Model
	patterns []*Model // those with a star, the longest first
}

func newModels(all []Model) models {
	ms := models{named: make(map[string]*Model, len(all))}
	for i := range all {
		m := &all[i]
		if strings.Contains(m.Pattern, "*") {
			ms.patterns = append(ms.patterns, m)
			continue
		}
		ms.named[m.Pattern] = m
	}
	slices.SortStableFunc(ms.patterns, func(a, b *Model) int {
		return cmp.Or(cmp.Compare(len(b.Pattern), len(a.Pattern)), strings.Compare(a.Pattern, b.Pattern))
	})
	return ms
}

func (ms *models) find(name string) *Model {
	if m := ms.named[name]; m != nil {
		return m
	}
	if m := ms.named[withoutDate(name)]; m != nil {
		return m
	}
	for _, m := range ms.patterns {
		if (proxy.Patterns{m.Pattern}).Match(name) {
			return m
		}
	}
	return nil
}

// withoutDate is the name of the model of which a dated one is a snapshot: gpt-4o of gpt-4o-2024-08-06.
func withoutDate(name string) string {
	const date = "-2006-01-02"
	i := len(name) - len(date)
	if i <= 0 {
		return name
	}
	for at, like := range []byte(date) {
		c := name[i+at]
		if like == '-' && c != '-' || like != '-' && (c < '0' || c > '9') {
			return name
		}
	}
	return name[:i]
}

package redisstate

import (
	"cmp"
	"slices"
	"time"

	"openai-api-proxy/pkg/state"
)

// part is a batch, or a piece of one that count.lua adds without holding up Redis: the keys and arguments of one run.
type part struct {
	keys []string
	args []any
}

const (
	// numberArg is where the number of a part goes.
	numberArg = 1
	// mostWeight bounds a part. Where a batch is cut is remembered by nobody: whoever changes these, or what weighs what,
	// must know that a batch of which a part was sent may come again from the next version of this program.
	// An amount of a total weighs 1, a series and a request more, as they take longer.
	mostWeight    = 2000
	seriesWeight  = 8
	requestWeight = 2
	// heavyBytes of a request weigh 1 more.
	heavyBytes = 256
)

// splitting is a batch on its way to parts.
type splitting struct {
	s      *Store
	at     time.Time
	source string
	parts  []part

	// the part that is being filled
	weight   int
	totals   []any
	series   [len(state.Kinds)][]any
	requests entries
}

// split makes the parts of a batch.
func (s *Store) split(b state.Batch) []part {
	p := &splitting{s: s, at: b.At, source: cmp.Or(b.Source, s.epoch)}
	for _, u := range b.Totals {
		p.total(&u)
	}
	for kind, name := range state.Kinds { // the total first, which every step has
		for _, u := range b.Series {
			if u.Kind == name {
				p.add(seriesWeight)
				p.series[kind] = append(p.series[kind], u.ID, u.Pack())
			}
		}
	}
	for _, text := range b.Requests {
		p.add(requestWeight + len(text)/heavyBytes)
		p.requests.add(text)
	}
	p.end()
	return p.parts
}

func (p *splitting) total(u *state.Usage) {
	prefix := string(u.Kind) + "/" + u.ID + "/"
	for _, a := range u.Amounts() {
		if *a.At != 0 {
			p.add(1)
			p.totals = append(p.totals, prefix+a.Name, *a.At)
		}
	}
	for i, n := range u.Latency {
		if n != 0 {
			p.add(1)
			p.totals = append(p.totals, prefix+latencyNames[i], n)
		}
	}
}

// add makes room for what weighs so much.
func (p *splitting) add(weight int) {
	if p.weight > 0 && p.weight+weight > mostWeight {
		p.end()
	}
	p.weight += weight
}

// end makes a part of what has come together.
func (p *splitting) end() {
	if p.weight == 0 {
		return
	}
	args := []any{state.SourceLife.Milliseconds(), 0, p.s.mostSeries, p.s.mostRemembered, mostInEntry, state.RequestsKept.Milliseconds()}
	for _, step := range state.Steps {
		args = append(args, (step.Kept() + step.Length()).Milliseconds())
	}
	args = append(args, len(p.totals)/2)
	for _, series := range p.series {
		args = append(args, len(series)/2)
	}
	requests := p.requests.args()
	args = append(args, len(requests)/2)
	args = slices.Concat(args, p.totals, slices.Concat(p.series[:]...), requests)
	p.parts = append(p.parts, part{p.s.countKeys(p.at, p.source), args})
	p.weight, p.totals, p.series, p.requests = 0, nil, [len(state.Kinds)][]any{}, entries{}
}

// countKeys are the keys of count.lua for a batch of that time from that source.
func (s *Store) countKeys(at time.Time, source string) []string {
	names := []string{s.keys.usage(), s.keys.batch(source), s.keys.requests()}
	for _, step := range state.Steps {
		for _, kind := range state.Kinds {
			names = append(names, s.keys.series(step, at, kind))
		}
	}
	return names
}

package redisstate

import (
	"bytes"
	"context"
	"strings"

	"github.com/redis/go-redis/v9"

	"openai-api-proxy/pkg/state"
)

// The latest requests are a stream. An entry of it has several, in the order in which they ended, with a newline between them,
// which none of them has (see state.Request.Pack): an entry by itself would cost Redis as much as all else that it does for a
// request of a client that is lent its limits.
const (
	// mostInEntry bounds them. Positions depend on it, which callers keep for minutes.
	mostInEntry = 64
	// entryBytes is where an entry ends: one node of a stream, unless Redis is told otherwise.
	entryBytes = 4000
	// scanStride is how many requests one trip brings, about: few enough that they may be long.
	scanStride = 250
)

// entries are requests on their way to the stream.
type entries struct {
	done []any // for each entry its text and how many requests that is
	text []byte
	n    int
}

func (e *entries) add(request []byte) {
	if e.n == mostInEntry || e.n > 0 && len(e.text)+len(request) >= entryBytes {
		e.end()
	}
	if e.n > 0 {
		e.text = append(e.text, '\n')
	}
	e.text = append(e.text, request...)
	e.n++
}

func (e *entries) end() {
	if e.n > 0 {
		e.done = append(e.done, bytes.Clone(e.text), e.n)
		e.text, e.n = e.text[:0], 0
	}
}

// args are all of them, as count.lua takes them.
func (e *entries) args() []any {
	e.end()
	return e.done
}

// Requests reads the stream from its end.
func (s *Store) Requests(ctx context.Context, q state.RequestQuery) (state.Page, error) {
	page, err := state.Fill(q, s.mostScanned)
	if err != nil {
		return state.Page{}, err
	}
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	var w window
	newest, oldest := "+", "-"
	if q.After != "" {
		w.before, _ = state.ParsePosition(q.After) // Fill has
		newest = entryOf(w.before)
	}
	if q.Since != "" {
		w.since, _ = state.ParsePosition(q.Since)
		oldest = entryOf(w.since)
	}
	// So many requests has an entry, as far as is known: at first the most, since a reply that is too short costs less than one that
	// is too long.
	for each := mostInEntry; !page.Full(); {
		stride := max(min(page.Left(), scanStride)/each, 1)
		some, err := s.slow.XRevRangeN(ctx, s.keys.requests(), newest, oldest, int64(stride)).Result()
		if err != nil {
			return state.Page{}, unavailable(err)
		}
		last := len(some) < stride
		all := w.requests(some)
		for i, one := range all {
			if page.Add(one.at.String(), []byte(one.text)) && !(last && i == len(all)-1) {
				return page.Page, nil
			}
		}
		if last {
			page.End()
		} else {
			newest = "(" + some[len(some)-1].ID
			each = max(len(all)/len(some), 1)
		}
	}
	return page.Page, nil
}

// window is what is asked for: what stands before one position and after another. The zero position bounds nothing.
type window struct{ before, since state.Position }

// found is a request as it was found.
type found struct {
	at   state.Position
	text string
}

// requests are those of the entries that are asked for. Of both the first is the newest. Within its millisecond a request has the
// number of its entry, times mostInEntry, and its place there.
func (w window) requests(entries []redis.XMessage) (all []found) {
	for _, e := range entries {
		at, err := state.ParsePosition(e.ID)
		if err != nil {
			continue // Redis has no such ids
		}
		text, _ := e.Values["r"].(string)
		for i := strings.Count(text, "\n"); i >= 0; i-- {
			cut := strings.LastIndexByte(text, '\n')
			one := found{state.Position{Ms: at.Ms, Seq: at.Seq*mostInEntry + uint64(i)}, text[cut+1:]}
			text = text[:max(cut, 0)]
			if (w.before == state.Position{} || one.at.Before(w.before)) && w.since.Before(one.at) {
				all = append(all, one)
			}
		}
	}
	return all
}

// entryOf is the id of the entry that a position is in.
func entryOf(p state.Position) string {
	return state.Position{Ms: p.Ms, Seq: p.Seq / mostInEntry}.String()
}

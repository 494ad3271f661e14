package redisstate

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"openai-api-proxy/pkg/redistest"
	"openai-api-proxy/pkg/state"
)

// numbered is a store whose requests have numbers for ids, beginning with 0.
type numbered struct {
	*Store
	t *testing.T
	n int
}

func newNumbered(t *testing.T, most int64) *numbered {
	s, err := Open(redistest.Start(t).URL(), "oap", "v", slog.New(slog.DiscardHandler), WithRequests(most), WithBudgets(10*time.Second, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &numbered{Store: s, t: t}
}

// add adds so many more as one batch, each with a text of so many bytes.
func (s *numbered) add(many, size int) {
	s.t.Helper()
	b := state.Batch{At: time.Now()}
	for range many {
		r := state.Request{ID: fmt.Sprint(s.n), At: time.Now(), Cause: strings.Repeat("x", size)}
		b.Requests = append(b.Requests, r.Pack())
		s.n++
	}
	if err := s.Count(s.t.Context(), b); err != nil {
		s.t.Fatal(err)
	}
}

// all are the ids that are remembered, the newest first, and where the pages ended.
func (s *numbered) all(q state.RequestQuery) (ids, at []string) {
	s.t.Helper()
	for {
		p, err := s.Requests(s.t.Context(), q)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, r := range p.Requests {
			ids = append(ids, r.ID)
		}
		if p.Next == "" {
			return ids, at
		}
		q.After = p.Next
		at = append(at, p.Next)
	}
}

// down are the numbers from n-1 down to 0.
func down(n, to int) (ids []string) {
	for i := n - 1; i >= to; i-- {
		ids = append(ids, fmt.Sprint(i))
	}
	return ids
}

// About as many are remembered as are wanted, and always the latest, whether they come one by one or together.
func TestRequestsAreBounded(t *testing.T) {
	const most = 1000
	for name, fill := range map[string]func(*numbered){
		"one by one": func(s *numbered) {
			for range 2 * most {
				s.add(1, 0)
			}
		},
		"together": func(s *numbered) {
			for range 10 {
				s.add(500, 0)
			}
		},
		"more than the bound at once": func(s *numbered) { s.add(3*most, 0) },
		"long ones": func(s *numbered) {
			for range 300 {
				s.add(10, 3000)
			}
		},
		"together, then one by one": func(s *numbered) {
			s.add(2*most, 0)
			for range 2 * most {
				s.add(1, 0)
			}
		},
		"one by one, then together": func(s *numbered) {
			for range most {
				s.add(1, 0)
			}
			for range 10 {
				s.add(most, 0)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newNumbered(t, most)
			fill(s)
			got, _ := s.all(state.RequestQuery{Limit: 500})
			if len(got) < most || len(got) > most+4*mostInEntry || !slices.Equal(got, down(s.n, s.n-len(got))) {
				t.Errorf("%d are remembered of %d, from %s to %s", len(got), s.n, got[0], got[len(got)-1])
			}
		})
	}
}

// Fewer are wanted than there are: what is too much goes, and of the latest nothing, however they lie.
func TestFewerRequestsAreWanted(t *testing.T) {
	s := newNumbered(t, 20_000)
	s.add(8000, 0)
	for range 500 {
		s.add(1, 0)
	}
	for _, most := range []int64{5000, 1000} {
		s.mostRemembered = most
		for range 400 {
			s.add(1, 0)
		}
		if got, _ := s.all(state.RequestQuery{Limit: 5000}); len(got) < int(most) || len(got) > int(most)+4*mostInEntry || !slices.Equal(got, down(s.n, s.n-len(got))) {
			t.Errorf("%d are remembered of %d, with room for %d", len(got), s.n, most)
		}
	}
}

// Pages of any size, from every position and up to every position, have what is before and after it.
func TestRequestsOnPages(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := newNumbered(t, 100_000)
	for range 12 {
		s.add(1+random.IntN(100), random.IntN(300))
		for range random.IntN(3) {
			s.add(1, 0)
		}
	}
	ids, at := s.all(state.RequestQuery{Limit: 1})
	if !slices.Equal(ids, down(s.n, 0)) {
		t.Fatalf("one by one: %q", ids)
	}
	for _, limit := range []int{1, 7, 64, 250, 5000} {
		if got, _ := s.all(state.RequestQuery{Limit: limit}); !slices.Equal(got, ids) {
			t.Errorf("by %d: %q", limit, got)
		}
	}
	for i, position := range at { // that of ids[i]
		if got, _ := s.all(state.RequestQuery{Limit: 1 + random.IntN(300), After: position}); !slices.Equal(got, ids[i+1:]) {
			t.Fatalf("after %s at %s: %q", ids[i], position, got)
		}
		p, err := s.Requests(t.Context(), state.RequestQuery{Limit: 5000, Since: position})
		if err != nil || len(p.Requests) != i || p.Next != "" || i > 0 && (p.Requests[i-1].ID != ids[i-1] || p.Newest != at[0]) {
			t.Fatalf("since %s at %s: %d, next %q, newest %q, %v", ids[i], position, len(p.Requests), p.Next, p.Newest, err)
		}
	}
	if p, err := s.Requests(t.Context(), state.RequestQuery{ID: ids[77], Limit: 1}); err != nil || len(p.Requests) != 1 || p.Next != "" {
		t.Errorf("by its id: %+v, %v", p, err)
	}
}

// What a script is asked is read as it was said.
func TestFlat(t *testing.T) {
	s := newNumbered(t, 1)
	texts := []string{"", "a", "\x00\xff\n", strings.Repeat("long", 20_000)}
	numbers := []int64{0, 1, 127, 128, 255, 1 << 31, 1 << 53, -1, -128, -1 << 53}
	var f flat
	for _, text := range texts {
		f.text(text)
	}
	for _, n := range numbers {
		f.number(n)
	}
	got, err := s.hot.Eval(t.Context(), "local l = cmsgpack.unpack(ARGV[1]); for i = 1, #l do if type(l[i]) == 'number' then l[i] = string.format('%.0f', l[i]) end end return l",
		nil, f.pack()).StringSlice()
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(texts)
	for _, n := range numbers {
		want = append(want, fmt.Sprint(n))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%.200q", got)
	}
}

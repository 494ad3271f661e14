package usage

import (
	"fmt"
	"strings"
	"testing"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

func TestNames(t *testing.T) {
	n := names{}
	steps := []struct {
		model  string
		status int
		want   string
	}{
		{"", 200, ""},
		{"gpt-4o", 500, other}, // nobody knows yet whether it exists
		{"made-up", 404, other},
		{"gpt-4o", 200, "gpt-4o"},
		{"gpt-4o", 500, "gpt-4o"},
		{"made-up", 404, other},
		{"made-up", 302, other},
		{strings.Repeat("x", longestName+1), 200, other},
		{strings.Repeat("x", longestName), 201, strings.Repeat("x", longestName)},
	}
	for i, s := range steps {
		if got := n.of(&proxy.Record{Model: s.model, Status: s.status}); got != s.want {
			t.Errorf("step %d: %d for %.20q counts for %.20q, want %.20q", i, s.status, s.model, got, s.want)
		}
	}
}

func TestNamesAreBounded(t *testing.T) {
	s := newShelf()
	m, _ := still(s)
	for i := range 2 * mostNames {
		m.Record(&proxy.Record{Model: fmt.Sprint("m", i), Status: 200})
	}
	m.Record(&proxy.Record{Model: "m0", Status: 200})
	if err := m.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkModels(t, s, mostNames+1, mostNames)

	restarted, _ := still(s)
	if err := restarted.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	restarted.Record(&proxy.Record{Model: "new", Status: 200})
	restarted.Record(&proxy.Record{Model: "m1", Status: 500})
	if err := restarted.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkModels(t, s, mostNames+1, mostNames+1)
	if got := s.sums[whose{state.OfModel, "m1"}].Requests; got != 2 {
		t.Errorf("a model known before the restart has %d requests, want 2", got)
	}
}

// checkModels checks how many models the store has, "other" among them, and the requests counted for that.
func checkModels(t *testing.T, s *shelf, models int, others int64) {
	t.Helper()
	n := 0
	for w := range s.sums {
		if w.kind == state.OfModel {
			n++
		}
	}
	if got := s.sums[whose{state.OfModel, other}].Requests; n != models || got != others {
		t.Errorf("%d models, %d requests for others; want %d, %d", n, got, models, others)
	}
}

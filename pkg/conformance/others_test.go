package conformance

import (
	"errors"
	"net/http"
	"testing"

	"github.com/openai/openai-go/v3"
)

// unseen checks that to the other client what the first has made is as what nobody has: the same 404, byte for byte, and the
// upstream hears nothing of either.
func (p *pair) unseen(t *testing.T, what, id string, reach func(c openai.Client, id string) error) {
	t.Helper()
	before := total(p.requests(t))
	var foreign, absent *openai.Error
	if err := reach(p.next(other), id); !errors.As(err, &foreign) || foreign.StatusCode != http.StatusNotFound || foreign.Code != "not_found" {
		t.Errorf("another client %s: %v", what, err)
		return
	}
	if err := reach(p.next(other), id+"q"); !errors.As(err, &absent) || absent.StatusCode != http.StatusNotFound || absent.RawJSON() != foreign.RawJSON() {
		t.Errorf("another client %s: %s, and of what is not there: %v", what, foreign.RawJSON(), err)
	}
	if n := total(p.requests(t)) - before; n != 0 {
		t.Errorf("another client %s: %d requests reached the upstream", what, n)
	}
}

// nothing checks that the other client's list is empty.
func nothing(t *testing.T, got []string, err error) {
	t.Helper()
	if err != nil || len(got) != 0 {
		t.Errorf("another client lists %v, %v", got, err)
	}
}

// rounds does something six times, and kills one replica in the middle.
func (p *pair) rounds(t *testing.T, do func()) {
	t.Helper()
	const rounds = 6
	for i := range rounds {
		if i == rounds/2 {
			p.restart(t)
		}
		do()
	}
}

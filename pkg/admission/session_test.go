package admission

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// lateState hears what was used after a while, as on a machine that is starved.
type lateState struct {
	*shared
	late time.Duration
}

func (s *lateState) Settle(ctx context.Context, settlements []state.Settlement) error {
	time.Sleep(s.late)
	return s.shared.Settle(ctx, settlements)
}

// sessionOn begins a session of a client with a quota of 3000 tokens.
func sessionOn(t *testing.T, store buckets) *Permit {
	t.Helper()
	a, _ := open(t, store, nil)
	client := &proxy.Client{ID: "c", Quota: []proxy.Budget{budget(proxy.Tokens, 3000, proxy.Total)}}
	p, err := a.Admit(t.Context(), client, Ask{Op: &openai.Operation{Path: "/v1/realtime", Socket: true}, Head: new(openai.Head)})
	if err != nil {
		t.Fatal(err)
	}
	p.GiveBack()
	return p
}

// What the responses of a session used counts before the next one is admitted, however late the state hears of it.
func TestSessionWaitsForWhatItUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session := sessionOn(t, &lateState{inMemory(), 20 * time.Second})
		responses := 0
		for ; responses < 20; responses++ {
			p, err := session.Response(t.Context(), 0)
			if err != nil {
				break
			}
			p.Settle(t.Context(), exact(0, 1000))
		}
		if responses != 3 {
			t.Errorf("%d responses of 1000 tokens, of a quota of 3000", responses)
		}
		session.Settle(t.Context(), Spent{Unexecuted: true})
	})
}

// What was used besides counts, too, before it is asked whether anything is left.
func TestSessionWaitsForWhatItIsCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session := sessionOn(t, &lateState{inMemory(), 20 * time.Second})
		session.Charge(exact(0, 2000))
		if err := session.Left(t.Context()); err != nil {
			t.Error(err)
		}
		session.Charge(exact(0, 2000))
		if session.Left(t.Context()) == nil {
			t.Error("something is left of 3000 tokens after 4000")
		}
		session.Settle(t.Context(), Spent{Unexecuted: true})
	})
}

// While the state does not answer, a session waits for nothing that it may never hear.
func TestSessionDoesNotWaitForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := inMemory()
		session := sessionOn(t, &lateState{store, 0})
		p, err := session.Response(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		store.Off(true)
		p.Settle(t.Context(), exact(0, 1000))
		if p, err = session.Response(t.Context(), 0); err == nil { // returns, as there is nothing else for the test to wait for
			t.Error("admitted without the state")
		}
		store.Off(false)
		time.Sleep(2 * lastPause)
		if p, err = session.Response(t.Context(), 0); err != nil {
			t.Error(err)
		}
		p.Settle(t.Context(), Spent{Unexecuted: true})
		gone, leave := context.WithCancel(t.Context())
		leave()
		if err := session.Left(gone); err != nil {
			t.Error(err)
		}
		session.Settle(t.Context(), Spent{Unexecuted: true})
	})
}

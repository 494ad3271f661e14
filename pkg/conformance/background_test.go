package conformance

import (
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"
)

// saying is a request for a response.
func saying(text string) responses.ResponseNewParams {
	return responses.ResponseNewParams{Model: "gpt-4o-mini", Input: responses.ResponseNewParamsInputUnion{OfString: param.NewOpt(text)}}
}

// later is one that is made in the background.
func later(text string) responses.ResponseNewParams {
	p := saying(text)
	p.Background = param.NewOpt(true)
	return p
}

// status looks at a response that is made in the background.
func (p *pair) status(t *testing.T, id string) responses.ResponseStatus {
	t.Helper()
	c := p.next(sdk)
	r, err := c.Responses.Get(t.Context(), id, responses.ResponseGetParams{})
	if err != nil || r.ID != id || !r.Background {
		t.Fatalf("%s: %v", id, err)
	}
	return r.Status
}

// begin has a response made in the background.
func (p *pair) begin(t *testing.T) (id string) {
	t.Helper()
	c := p.next(sdk)
	r, err := c.Responses.New(t.Context(), later("Hello"))
	if err != nil || r.Status != responses.ResponseStatusQueued || len(r.Output) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	whole(t, r)
	return r.ID
}

// A response that is made in the background is looked at until it is done, or cancelled, through whichever replica.
func TestBackgroundResponses(t *testing.T) {
	p, ctx := newPair(t), t.Context()
	var ids []string
	for i := range 6 {
		done, dropped := p.begin(t), p.begin(t)
		if i%2 == 1 {
			p.restart(t)
		}
		p.unseen(t, "cancels a response", done, func(c openai.Client, id string) error { return second(c.Responses.Cancel(ctx, id)) })
		p.unseen(t, "looks at a response", done, func(c openai.Client, id string) error {
			return second(c.Responses.Get(ctx, id, responses.ResponseGetParams{}))
		})
		if s := p.status(t, done); s != responses.ResponseStatusInProgress {
			t.Errorf("at first it is %s", s)
		}
		if s := p.status(t, done); s != responses.ResponseStatusCompleted {
			t.Errorf("then it is %s", s)
		}
		c := p.next(sdk)
		if r, err := c.Responses.Cancel(ctx, dropped); err != nil || r.Status != responses.ResponseStatusCancelled {
			t.Errorf("%+v, %v", r, err)
		}
		if s := p.status(t, dropped); s != responses.ResponseStatusCancelled {
			t.Errorf("cancelled it is %s", s)
		}
		c = p.next(sdk)
		r, err := c.Responses.Get(ctx, done, responses.ResponseGetParams{})
		if err != nil || r.OutputText() == "" || r.Usage.OutputTokens == 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		whole(t, r)
		ids = append(ids, done, dropped)
	}
	p.holders(t, "/v1/responses", ids)
	p.stayed(t)
}

// heard is what came of a stream.
type heard struct {
	id      string
	next    int64 // the number that the next event has
	text    string
	status  responses.ResponseStatus // in its last event, if that has a response
	whole   string                   // the text as that says it
	stopped error
}

// hear takes events until it has so many, or there are no more. Each must follow the one before it.
func (h *heard) hear(t *testing.T, next func() bool, current func() responses.ResponseStreamEventUnion, most int) {
	t.Helper()
	for n := 0; n < most && next(); n++ {
		e := current()
		if e.SequenceNumber != h.next {
			t.Fatalf("after event %d comes %d", h.next-1, e.SequenceNumber)
		}
		h.next++
		if e.Response.ID != "" {
			h.id, h.status, h.whole = e.Response.ID, e.Response.Status, e.Response.OutputText()
		}
		if e.Type == "response.output_text.delta" {
			h.text += e.Delta
		}
	}
}

// A stream of a response that is made in the background is cut, by its caller or with the replica that it came through. It goes
// on through another one, behind the last event that came.
func TestResumedStreams(t *testing.T) {
	p, ctx := newPair(t), t.Context()
	p.configure(t, map[string]any{"chunk_delay_ms": 30})
	var ids []string
	for i := range 6 {
		h, c := &heard{}, p.next(sdk)
		stream := c.Responses.NewStreaming(ctx, later("Hello"))
		h.hear(t, stream.Next, stream.Current, 8)
		if h.id == "" || h.text == "" || stream.Err() != nil {
			t.Fatalf("%+v, %v", h, stream.Err())
		}
		if i%2 == 0 {
			stream.Close()
		} else {
			p.restarts = p.turn
			p.restart(t) // the one that it comes through
			h.hear(t, stream.Next, stream.Current, 1000)
			if stream.Err() == nil {
				t.Fatal("a stream of a replica that was killed ended well")
			}
		}
		p.unseen(t, "resumes a stream", h.id, func(c openai.Client, id string) error {
			s := c.Responses.GetStreaming(ctx, id, responses.ResponseGetParams{}, option.WithQuery("stream", "true"))
			defer s.Close()
			s.Next()
			return s.Err()
		})
		for _, most := range []int{3, 1000} { // it is cut again
			c = p.next(sdk)
			// This version of the SDK says stream in the body, and the API hears it in the query.
			rest := c.Responses.GetStreaming(ctx, h.id, responses.ResponseGetParams{StartingAfter: param.NewOpt(h.next - 1)},
				option.WithQuery("stream", "true"))
			h.hear(t, rest.Next, rest.Current, most)
			if rest.Err() != nil {
				t.Fatal(rest.Err())
			}
			rest.Close()
		}
		if h.status != responses.ResponseStatusCompleted || h.text == "" || h.text != h.whole {
			t.Errorf("%+v", h)
		}
		c = p.next(sdk)
		if r, err := c.Responses.Get(ctx, h.id, responses.ResponseGetParams{}); err != nil || r.Status != h.status || r.OutputText() != h.text {
			t.Errorf("%+v, %v", r, err)
		}
		ids = append(ids, h.id)
	}
	p.holders(t, "/v1/responses", ids)
	p.stayed(t)
}

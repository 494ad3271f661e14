package mockopenai

import (
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
)

// work is what is done of a response in the background. It needs nobody to do it: it gets on a step whenever somebody looks,
// from queued to in_progress to completed, so that tests need not wait. objects.mu guards it.
type work struct {
	done   map[string]any // how the response looks when it is done
	events []event        // of one that was asked for as a stream; nil: it was not
	live   bool           // the first stream of it runs, and is what gets it on
}

type event struct {
	text    []byte
	isToken bool
}

// respondLater is POST /v1/responses with background. All of it is billed at once, but for a stream, which is billed as it goes:
// nobody who leaves stops it.
func (x *exchange) respondLater(stored bool) {
	if !stored {
		x.refuse(*badRequest("background", "Background mode requires store to be true."))
		return
	}
	w, text, tokens := &work{live: x.ask.stream}, x.plan.text, x.plan.tokens
	if x.ask.stream {
		text, tokens = x.plan.streamed, int64(x.plan.Chunks)
		x.eachEvent("queued", func(text []byte, isToken bool) { w.events = append(w.events, event{text, isToken}) })
	}
	_ = json.Unmarshal([]byte(x.answered(text, tokens)), &w.done) // it is ours
	queued := x.response("queued", "", "null")
	one := x.keep("/v1/responses", queued, w)
	if !x.ask.stream {
		x.bill(promptTokens, tokens)
		x.json([]byte(queued))
		return
	}
	x.bill(promptTokens, 0)
	st := x.openEvents(responseError)
	x.unlive(one, x.follow(st, one, 0, st.token))
}

// unlive is behind the first stream of a response: what it did not send is there all the same, and has to be paid for, unless the
// response was cancelled.
func (x *exchange) unlive(one *object, sent int) {
	o := x.s.objects
	o.mu.Lock()
	one.work.live = false
	cancelled := one.fields["status"] == "cancelled"
	o.mu.Unlock()
	for _, e := range one.work.events[sent:] {
		if e.isToken && !cancelled {
			x.bill(0, 1)
		}
	}
}

// follow sends the events of a response from one on, those that are a token by token, until they are over, the caller leaves, or
// the response is cancelled. It returns how far it came.
func (x *exchange) follow(st *stream, one *object, from int, token func([]byte)) int {
	events := one.work.events
	for i, e := range events[from:] {
		if !x.s.objects.goOn(one, len(events)-from-i == 1) {
			return from + i
		}
		if e.isToken {
			token(e.text)
		} else {
			st.send(e.text)
		}
		if st.over {
			return from + i
		}
	}
	return len(events)
}

// goOn reports whether a response in the background is not cancelled; it is in progress then, or done with its last event.
func (o *objects) goOn(one *object, last bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case one.fields["status"] == "cancelled":
		return false
	case last:
		maps.Copy(one.fields, one.work.done)
	case one.fields["status"] == "queued":
		one.fields["status"] = "in_progress"
	}
	return true
}

// lookAt is GET /v1/responses/{id}.
func (x *exchange) lookAt(one *object) any {
	query, w := x.r.URL.Query(), one.work
	switch {
	case query.Get("stream") == "true" && (w == nil || w.events == nil):
		return badRequest("stream", "This response cannot be streamed because it was not created with stream=true in the background.")
	case query.Get("stream") == "true":
		from := 0
		if after := query.Get("starting_after"); after != "" {
			n, err := strconv.Atoi(after)
			if err != nil || n < 0 {
				return badRequest("starting_after", "Invalid value for starting_after.")
			}
			from = min(n+1, len(w.events))
		}
		return func() { x.resume(one, from) }
	case w == nil || w.live:
	case one.fields["status"] == "queued":
		one.fields["status"] = "in_progress"
	case one.fields["status"] == "in_progress":
		maps.Copy(one.fields, w.done)
	}
	return one.fields
}

// resume sends the rest of a stream. Nothing of it is billed again.
func (x *exchange) resume(one *object, from int) {
	st := x.openEvents(responseError)
	x.follow(st, one, from, func(text []byte) {
		st.pause()
		st.send(text)
	})
	st.flush()
}

// cancelResponse is POST /v1/responses/{id}/cancel. One that is over stays as it is.
func (x *exchange) cancelResponse(_ *objects, _ *shelf, one *object) any {
	if one.work == nil {
		return &refusal{http.StatusBadRequest, "invalid_request_error", "", "", "Cannot cancel a synchronous response."}
	}
	if status := one.fields["status"]; status == "queued" || status == "in_progress" {
		one.fields["status"] = "cancelled"
	}
	return one.fields
}

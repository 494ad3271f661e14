package mockopenai

import (
	"net/http"
	"strconv"
)

// stream sends an answer in chunks, each flushed by itself. Once it is over, because the caller left or a fault ended
// it, everything more does nothing, so that those who use it need not look.
type stream struct {
	x          *exchange
	rc         *http.ResponseController
	errorEvent func(sent int) []byte // how an error looks within this stream; nil: it cannot be said
	strikeAt   int                   // chunks sent when the fault strikes
	sent       int                   // chunks
	over       bool
}

func (x *exchange) open(contentType string, errorEvent func(int) []byte) *stream {
	x.w.Header()["Content-Type"] = []string{contentType}
	st := &stream{x: x, rc: http.NewResponseController(x.w), errorEvent: errorEvent}
	if x.fault != nil {
		st.strikeAt = x.fault.AfterChunks
	}
	return st
}

// openEvents opens a stream of server-sent events.
func (x *exchange) openEvents(errorEvent func(int) []byte) *stream {
	x.account.streams.Add(1)
	x.w.Header()["Cache-Control"] = []string{"no-cache"}
	return x.open("text/event-stream; charset=utf-8", errorEvent)
}

func (st *stream) declare(length int) {
	st.x.w.Header()["Content-Length"] = []string{strconv.Itoa(length)}
}

// send sends one chunk, unless the fault strikes before it.
func (st *stream) send(chunk []byte) {
	if f := st.x.fault; f != nil && !st.over && st.sent == st.strikeAt {
		midway[f.Kind](st, f)
	}
	st.put(chunk)
	st.sent++
}

// token sends a chunk that costs one output token, after the delay between chunks.
func (st *stream) token(chunk []byte) {
	st.pause()
	st.send(chunk)
	st.charge(1)
}

// pause keeps the delay between chunks.
func (st *stream) pause() {
	if !st.over {
		st.over = !st.x.pause(st.x.plan.gap())
	}
}

// charge bills the output tokens of a chunk that was sent.
func (st *stream) charge(tokens int64) {
	if !st.over {
		st.x.bill(0, tokens)
	}
}

// put writes and flushes.
func (st *stream) put(chunk []byte) {
	if st.over {
		return
	}
	if _, err := st.x.w.Write(chunk); err != nil {
		st.leave()
		return
	}
	st.flush()
}

func (st *stream) flush() {
	if st.x.r.Context().Err() != nil || st.rc.Flush() != nil {
		st.leave()
	}
}

// leave ends a stream whose caller has left.
func (st *stream) leave() {
	st.over = true
	st.x.account.aborted.Add(1)
}

// cut ends the connection after all that was sent, which is the headers at least.
func (st *stream) cut(rst bool) {
	if st.flush(); !st.over {
		st.over = true
		sever(st.x.w, rst)
	}
}

const errorBody = `{"message":"` + sorry + `","type":"server_error","param":null,"code":null}`

// dataError is the error event of streams whose events have no names.
func dataError(int) []byte { return []byte(`data: {"error":` + errorBody + "}\n\n") }

// namedError is the error event of streams whose events have names.
func namedError(int) []byte {
	return []byte("event: error\n" + `data: {"type":"error","error":` + errorBody + "}\n\n")
}

const doneEvent = "data: [DONE]\n\n"

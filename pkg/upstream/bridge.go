package upstream

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

const (
	// closeGrace is how long a closing handshake may take that one side has begun.
	closeGrace = 5 * time.Second
	// lingerFor is how long one side that has ended is waited for the other, whose last words may be under way.
	lingerFor = time.Second
	// goingAway is the code with which we end a session (RFC 6455, 7.4.1).
	goingAway = 1001
)

// errDone ends a session that both sides have closed.
var errDone = errors.New("the session is over")

// bridge joins a caller and an upstream that have both switched to WebSocket. The bytes of both directions pass as they come;
// what the upstream's events tell is read beside them. The bridge says something of its own only when it has to end a session,
// after a drain, a long silence or a message that may not pass: then both sides are told why.
type bridge struct {
	answer *Answer
	caller net.Conn
	up     *lane // from the caller
	down   *lane // to the caller
	told   openai.Session
	code   int // with which we closed; 0: we did not

	once  sync.Once
	over  chan struct{} // closed when it is to end
	cause error         // why, before over is closed
}

// bridge answers the caller's upgrade and serves the session to its end.
func (a *Answer) bridge(w http.ResponseWriter, how *Forwarding, d *Delivered) {
	a.copyHeader(w.Header())
	caller, early, err := takeOver(w)
	if err != nil {
		d.Verdict = proxy.Verdict{Outcome: proxy.CallerGone, Status: d.Verdict.Status, Err: err}
		return
	}
	defer caller.Close()
	b := &bridge{answer: a, caller: caller, over: make(chan struct{})}
	idle := time.AfterFunc(a.client.opts.IdleTimeout, func() { b.end(errIdle) })
	defer idle.Stop()
	alive := func() { idle.Reset(a.client.opts.IdleTimeout) }
	b.up = newLane(io.MultiReader(bytes.NewReader(early), caller), b.toUpstream, alive)
	b.down = newLane(a.socket, b.toCaller, alive)
	b.down.frames.See = b.see(how.Hear)
	b.down.frames.Text = b.watch(how.Watch)
	if how.Gate != nil {
		b.up.guard(&gate{look: how.Gate, stop: b.end, answer: b.down.say, room: &a.client.held})
		defer b.up.gate.drop() // both lanes have ended
	}
	defer context.AfterFunc(a.resp.Request.Context(), func() { b.end(a.cause()) })()
	d.Verdict = b.serve(switching(w.Header()))
	b.account(d)
}

// takeOver takes the connection from the server, with what was read of it already.
func takeOver(w http.ResponseWriter) (conn net.Conn, early []byte, err error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	early, _ = buffered.Reader.Peek(buffered.Reader.Buffered())
	return conn, bytes.Clone(early), nil
}

// switching is the head of the answer to the caller.
func switching(h http.Header) []byte {
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", "websocket")
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = h.Write(&head) // to memory
	head.WriteString("\r\n")
	return head.Bytes()
}

func (b *bridge) toCaller(p []byte) error {
	_ = b.caller.SetWriteDeadline(time.Now().Add(b.answer.client.opts.WriteTimeout))
	_, err := b.caller.Write(p)
	return err
}

func (b *bridge) toUpstream(p []byte) error {
	_, err := b.answer.socket.Write(p)
	return err
}

// see reads the upstream's events. What they used is charged as they tell it: a session may last for an hour, and its client's
// other requests are not to wait for its end with being limited.
func (b *bridge) see(hear func(openai.Told) error) func(begin, end []byte) {
	return func(begin, end []byte) {
		told := b.told.See(begin, end)
		if hear == nil || told == (openai.Told{}) {
			return
		}
		if err := hear(told); err != nil {
			b.last(refusal{refused, err})
		}
	}
}

// watch shows the upstream's texts to whoever looks for objects in them, each as an event.
func (b *bridge) watch(who func(contentType string) io.Writer) func(piece []byte, last bool) {
	if who == nil {
		return nil
	}
	w := who("text/event-stream")
	if w == nil {
		return nil
	}
	within := false
	return func(piece []byte, last bool) {
		if !within {
			_, _ = io.WriteString(w, "data: ") // who watches takes everything
		}
		if within = !last; last {
			_, _ = io.WriteString(w, "\n\n")
			return
		}
		if bytes.ContainsAny(piece, "\r\n") { // between the parts of the JSON: a string has none
			piece = bytes.ReplaceAll(bytes.ReplaceAll(piece, []byte("\n"), []byte(" ")), []byte("\r"), []byte(" "))
		}
		_, _ = w.Write(piece)
	}
}

// end ends the session; the first cause counts.
func (b *bridge) end(cause error) {
	b.once.Do(func() {
		b.cause = cause
		close(b.over)
	})
}

// last ends the session behind what is passing now, whenever somebody comes to see to the end: what either side says
// meanwhile would be answered, and charged, without being allowed.
func (b *bridge) last(why refusal) {
	for l, toServer := range map[*lane]bool{b.down: false, b.up: true} {
		frame := openai.CloseFrame(why.code, why.Error(), toServer)
		l.last.CompareAndSwap(nil, &frame)
	}
	b.end(why)
}

// serve carries both ways until the session is over, and says how it ended.
func (b *bridge) serve(head []byte) proxy.Verdict {
	var lanes sync.WaitGroup
	if b.toCaller(head) == nil {
		for _, l := range [2]*lane{b.up, b.down} {
			lanes.Go(func() {
				buf := b.answer.client.small.Get().(*[]byte)
				defer b.answer.client.small.Put(buf)
				l.run(*buf)
			})
		}
		lanes.Go(b.bothClosed)
		v := b.wait()
		b.end(errDone)
		b.caller.Close()
		b.answer.socket.Close()
		lanes.Wait()
		return v
	}
	return b.verdict(proxy.CallerGone, errors.New("the caller left before the session began"))
}

// bothClosed ends a session that both sides have closed and neither hangs up.
func (b *bridge) bothClosed() {
	for _, l := range [2]*lane{b.up, b.down} {
		select {
		case <-l.closed:
		case <-b.over:
			return
		}
	}
	select {
	case <-time.After(closeGrace):
		b.end(errDone)
	case <-b.over:
	}
}

// wait waits for the first thing that ends the session, and for what still follows from it.
func (b *bridge) wait() proxy.Verdict {
	select {
	case <-b.down.done: // the upstream hung up
		b.listen()
		return b.verdict(proxy.StreamCut, io.ErrUnexpectedEOF)
	case <-b.up.failed: // it is about to
		within(lingerFor, b.down.done, nil)
		b.listen()
		return b.verdict(proxy.StreamCut, io.ErrUnexpectedEOF)
	case <-b.up.done: // the caller hung up
		if b.up.code() != 0 {
			within(closeGrace, b.down.done, nil)
		}
		return b.verdict(proxy.CallerGone, io.ErrUnexpectedEOF)
	case <-b.down.failed:
		return b.verdict(proxy.CallerGone, errors.New("the caller took no more"))
	case <-b.over:
	}
	if b.cause == errDone {
		return b.verdict(proxy.Served, nil)
	}
	b.sayGoodbye()
	v := b.answer.Verdict
	if _, is := b.cause.(refusal); !is && !errors.Is(b.cause, errIdle) {
		v.Outcome, v.Err = proxy.CallerGone, b.cause
	}
	return v
}

// listen waits for the caller's answer to a close of the upstream. To hang up with words of it unread would tear the connection
// down, and could cost the caller the close.
func (b *bridge) listen() {
	if b.down.code() != 0 {
		within(lingerFor, b.up.closed, b.up.done)
	}
}

// sayGoodbye closes both sides and waits a moment for their answers.
func (b *bridge) sayGoodbye() {
	code, reason := goingAway, "the proxy is stopping"
	if errors.Is(b.cause, errIdle) {
		reason = "silent for too long"
	} else if r, is := b.cause.(refusal); is {
		code, reason = r.code, r.Error()
	}
	b.code = code
	b.down.put(openai.CloseFrame(code, reason, false))
	b.up.put(openai.CloseFrame(code, reason, true))
	within(lingerFor, b.up.closed, b.up.done)
}

// within waits for one of the channels, and not for long.
func within(most time.Duration, one, other <-chan struct{}) {
	enough := time.NewTimer(most)
	defer enough.Stop()
	select {
	case <-one:
	case <-other:
	case <-enough.C:
	}
}

// verdict is how the session ended: an end that either side has announced is a good one, whatever came after it. Of what the
// upstream closes for, a failure of its own is a failure of the key.
func (b *bridge) verdict(otherwise proxy.Outcome, err error) proxy.Verdict {
	v := b.answer.Verdict
	code, at := b.down.close()
	answered, before := b.up.close()
	switch {
	case code >= 1011 && code <= 1014 && (answered == 0 || at.Before(before)): // not one that the caller gave it
		v.Outcome, v.Err, v.Whole = proxy.StreamCut, errors.New("the upstream closed the session for a failure of its own"), true
	case code != 0 || answered != 0:
	case otherwise != proxy.Served:
		v.Outcome, v.Err = otherwise, err
	}
	return v
}

// account writes down what passed. Both lanes have ended.
func (b *bridge) account(d *Delivered) {
	d.Bytes, d.FirstByte, d.Usage, d.Model = b.down.bytes, b.down.first, b.told.Usage(), b.told.Model()
	d.Session = &proxy.Session{BytesIn: b.up.bytes, Sent: b.up.frames.Messages(), Received: b.down.frames.Messages(),
		Code: cmp.Or(b.code, b.down.code(), b.up.code())}
}

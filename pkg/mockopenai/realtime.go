package mockopenai

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/tidwall/gjson"
)

const (
	// socketRead bounds a message of a session.
	socketRead = 64 << 20
	// socketWrite bounds the time that it takes to write one.
	socketWrite = 30 * time.Second
	// endsKept bounds the ends of sessions that are remembered.
	endsKept = 1000
)

// session is a WebSocket: GET /v1/realtime, or GET /v1/responses. Events of a type that begins with "mock." are orders to the
// mock; binary messages come back as they are.
type session struct {
	x        *exchange
	c        *websocket.Conn
	realtime bool
	events   int
	answers  int
}

// converse is a session until one side ends it.
func (x *exchange) converse() {
	if no := x.noCall(); no != nil {
		x.refuse(*no)
		return
	}
	c, err := websocket.Accept(x.w, x.r, &websocket.AcceptOptions{Subprotocols: []string{"realtime"}, InsecureSkipVerify: true})
	if err != nil {
		return // it has answered
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // ends with the session
		select {
		case <-x.s.done:
		case <-ctx.Done():
		}
		c.CloseNow()
	}()
	c.SetReadLimit(socketRead)
	x.account.streams.Add(1)
	s := &session{x: x, c: c, realtime: x.r.URL.Path == "/v1/realtime"}
	if s.realtime {
		err = s.tell(ctx, "session.created", `"session":{"object":"realtime.session","id":"sess_`+x.id+`","model":`+quote(x.ask.model)+`}`)
	}
	for err == nil {
		err = s.turn(ctx)
	}
	x.s.ends.add(err)
}

// noCall refuses a session beside a call that the account has not.
func (x *exchange) noCall() *refusal {
	id := x.r.URL.Query().Get("call_id")
	if id == "" {
		return nil
	}
	o, path := x.s.objects, "/v1/realtime/calls/"+id
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.shelfLocked(x.accountName()).byPath[path] == nil {
		return missing(path)
	}
	return nil
}

// turn reads a message and does what it says.
func (s *session) turn(ctx context.Context) error {
	kind, text, err := s.c.Read(ctx)
	switch {
	case err != nil:
		return err
	case kind == websocket.MessageBinary:
		return s.write(ctx, kind, text)
	case !gjson.ValidBytes(text):
		return s.tell(ctx, "error", `"error":{"type":"invalid_request_error","code":"invalid_json","message":"This is not JSON."}`)
	}
	event := gjson.ParseBytes(text)
	switch typed := event.Get("type").Str; typed {
	case "session.update":
		return s.tell(ctx, "session.updated", `"session":`+event.Get("session").Raw)
	case "conversation.item.create":
		return s.tell(ctx, "conversation.item.created", `"item":`+event.Get("item").Raw)
	case "input_audio_buffer.append":
		return nil
	case "response.create":
		return s.respond(ctx)
	case "mock.speech": // somebody has ended speaking, and is answered without having asked
		return s.respond(ctx)
	case "mock.transcript":
		return s.tell(ctx, "conversation.item.input_audio_transcription.completed", `"transcript":"hello","usage":{"type":"tokens","total_tokens":`+
			strconv.Itoa(2*promptTokens)+`,"input_tokens":`+strconv.Itoa(promptTokens)+`,"output_tokens":`+strconv.Itoa(promptTokens)+`}`)
	case "mock.echo":
		return s.write(ctx, kind, text)
	case "mock.fragments":
		return s.fragments(ctx, text, int(event.Get("count").Int()))
	case "mock.ping":
		return s.ping(ctx)
	case "mock.close":
		_ = s.c.Close(websocket.StatusCode(event.Get("code").Int()), event.Get("reason").Str)
		return errors.New("ordered to close")
	case "mock.cut":
		return errors.New("ordered to cut")
	default:
		return s.tell(ctx, "error", `"error":{"type":"invalid_request_error","code":"invalid_value","message":"Invalid value: `+typed+`."}`)
	}
}

// respond is an answer in text, with its usage at the end.
func (s *session) respond(ctx context.Context) error {
	s.answers++
	p, x := s.x.plan, s.x
	x.bill(promptTokens, 0)
	id := x.id + "n" + strconv.Itoa(s.answers)
	head := `"response":{"object":"realtime.response","id":"resp_` + id + `","model":` + quote(x.ask.model) + `,"status":`
	if err := s.tell(ctx, "response.created", head+`"in_progress","output":[],"usage":null}`); err != nil {
		return err
	}
	for range p.Chunks {
		if !x.pause(p.gap()) {
			return errors.New("stopped")
		}
		if err := s.tell(ctx, "response.output_text.delta", `"item_id":"item_`+id+`","delta":"`+piece+`"`); err != nil {
			return err
		}
		x.bill(0, 1)
	}
	done, details := "response.completed", `"input_tokens_details":{"cached_tokens":8}`
	if s.realtime {
		done, details = "response.done", `"input_token_details":{"text_tokens":19,"audio_tokens":0,"cached_tokens":8}`
	}
	return s.tell(ctx, done, head+`"completed","output":[{"id":"item_`+id+`","type":"message","content":[{"type":"output_text","text":"`+
		p.streamed+`"}]}],"usage":{"total_tokens":`+strconv.Itoa(promptTokens+p.Chunks)+`,"input_tokens":`+strconv.Itoa(promptTokens)+
		`,"output_tokens":`+strconv.Itoa(p.Chunks)+`,`+details+`}}`)
}

// fragments sends a text back in so many frames.
func (s *session) fragments(ctx context.Context, text []byte, count int) error {
	w, err := s.c.Writer(ctx, websocket.MessageText)
	if err != nil {
		return err
	}
	for i := range count {
		if _, err := w.Write(text[len(text)*i/count : len(text)*(i+1)/count]); err != nil {
			return err
		}
	}
	return w.Close()
}

// ping pings the caller and tells when it has answered.
func (s *session) ping(ctx context.Context) error {
	within, cancel := context.WithTimeout(s.c.CloseRead(ctx), socketWrite)
	defer cancel()
	if err := s.c.Ping(within); err != nil {
		return err
	}
	if err := s.tell(ctx, "mock.pong", `"ok":true`); err != nil {
		return err
	}
	<-within.Done() // nothing more is read
	return within.Err()
}

func (s *session) tell(ctx context.Context, typed, fields string) error {
	s.events++
	return s.write(ctx, websocket.MessageText, []byte(`{"type":"`+typed+`","event_id":"event_`+s.x.id+"n"+strconv.Itoa(s.events)+`",`+fields+`}`))
}

func (s *session) write(ctx context.Context, kind websocket.MessageType, text []byte) error {
	within, cancel := context.WithTimeout(ctx, socketWrite)
	defer cancel()
	return s.c.Write(within, kind, text)
}

// ends are how sessions ended.
type ends struct {
	mu  sync.Mutex // guards all
	all []string
}

// add remembers the code and the reason of the caller's close; "gone" when there was none.
func (e *ends) add(err error) {
	end := "gone"
	if closed := (websocket.CloseError{}); errors.As(err, &closed) {
		end = strings.TrimSpace(strconv.Itoa(int(closed.Code)) + " " + closed.Reason)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.all) < endsKept {
		e.all = append(e.all, end)
	}
}

func (e *ends) clear() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = nil
}

// Ends returns how sessions over WebSockets ended, oldest first: the code and the reason with which the caller closed, "1000 bye",
// or "gone".
func (s *Server) Ends() []string {
	s.ends.mu.Lock()
	defer s.ends.mu.Unlock()
	return append([]string(nil), s.ends.all...)
}

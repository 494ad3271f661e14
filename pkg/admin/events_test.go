package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// event is one that was heard.
type event struct {
	kind, id string
	data     map[string]any
}

// ears are a listener.
type ears struct {
	t     *testing.T
	heard chan event
	leave func()
}

// listen listens until the test ends.
func (r *rig) listen(t *testing.T, types string) *ears {
	t.Helper()
	ctx, leave := context.WithCancel(context.Background())
	req, _ := http.NewRequestWithContext(ctx, "GET", r.url+"/api/events"+types, nil)
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := r.http.Do(req)
	if err != nil {
		leave()
		t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		leave()
		t.Fatalf("%d %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	e := &ears{t, make(chan event, 5000), leave}
	go func() {
		defer close(e.heard)
		defer func() { _ = resp.Body.Close() }()
		var now event
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "event":
				now = event{kind: value}
			case "id":
				now.id = value
			case "data":
				_ = json.Unmarshal([]byte(value), &now.data)
			case "":
				if now.kind != "" {
					e.heard <- now
					now = event{}
				}
			}
		}
	}()
	t.Cleanup(leave)
	return e
}

// An alert is heard by those who listen to any replica, in the order in which alerts were told.
func TestAlertsAreEvents(t *testing.T) {
	r := newRig(t)
	r.feed.every = 10 * time.Millisecond
	tell := func(id string) {
		t.Helper()
		text := `{"id":"` + id + `","event":"pool_empty","at":"2027-01-01T00:00:00Z","text":"made up","pool":"","replica":"r2"}`
		if first, err := r.store.Tell(t.Context(), state.Alert{Name: id, Text: []byte(text)}, id, time.Minute); !first || err != nil {
			t.Fatal(first, err)
		}
	}
	tell("before")
	e := r.listen(t, "?types=alert")
	r.looked()
	tell("one")
	tell("two")
	for _, want := range []string{"one", "two"} {
		if heard := e.next("alert"); heard.data["id"] != want || heard.data["pool"] != "" {
			t.Errorf("heard %v, want %s", heard, want)
		}
	}
	list := r.do("GET", "/api/alerts?limit=2", "")
	if ids := list.ids(); len(ids) != 2 || ids[0] != "two" || list.doc["webhook"] != true {
		t.Errorf("listed are %s", list.body)
	}
}

func TestWebhookIsTested(t *testing.T) {
	r := newRig(t)
	if got := r.do("POST", "/api/alerts/test", ""); got.doc["delivered"] != true {
		t.Error(got.body)
	}
	r.webhook = func() error { return errors.New("it answers 500") }
	if got := r.do("POST", "/api/alerts/test", ""); got.doc["delivered"] != false || got.doc["error"] != "it answers 500" {
		t.Error(got.body)
	}
	r.webhook = func() error { return proxy.Faultf(proxy.Conflict, "no webhook is configured") }
	r.do("POST", "/api/alerts/test", "").want(t, 409, "conflict")
}

// next waits for an event.
func (e *ears) next(kind string) event {
	e.t.Helper()
	select {
	case heard, open := <-e.heard:
		if !open || heard.kind != kind {
			e.t.Fatalf("heard %+v, want %s", heard, kind)
		}
		return heard
	case <-time.After(time.Minute):
		e.t.Fatalf("heard no %s", kind)
	}
	return event{}
}

// looked waits until the poller has looked at everything at least once more.
func (r *rig) looked() {
	r.t.Helper()
	r.feed.mu.Lock()
	p := r.feed.poller
	r.feed.mu.Unlock()
	for before := p.looked.Load(); p.looked.Load() < before+2; {
		time.Sleep(time.Millisecond)
	}
}

func TestEventsOfEveryType(t *testing.T) {
	r := newRig(t)
	r.feed.every = 10 * time.Millisecond
	r.finished("of-env", "old", "m", 200)
	all := r.listen(t, "")
	r.looked()
	check := func(e event, schema string) {
		t.Helper()
		if err := r.contract.valid(t, "/components/schemas/"+schema, []byte(text(e.data))); err != nil {
			t.Error(err)
		}
	}
	r.do("PATCH", "/api/keys/of-env", `{"enabled":false}`).want(t, 200)
	for range 2 { // in the order in which they are looked at, or one look apart
		select {
		case e := <-all.heard:
			switch e.kind {
			case "key":
				if check(e, "EventKey"); e.data["id"] != "of-env" || e.data["state"] != "disabled" || e.data["before"] != "active" {
					t.Errorf("heard %v", e)
				}
			case "config":
				if check(e, "EventConfig"); e.data["version"] != 1.0 {
					t.Errorf("heard %v", e)
				}
			default:
				t.Errorf("heard %v", e)
			}
		case <-time.After(time.Minute):
			t.Fatal("heard nothing")
		}
	}
	r.finished("of-file", "new", "m", 200)
	if e := all.next("request"); e.data["client"] != "new" {
		t.Errorf("heard %v", e)
	} else {
		check(e, "Request")
	}
}

// What is told by pointers that the test changes is looked at by hand, without a poller beside it.
func TestEventsOfStateAndReplicas(t *testing.T) {
	r := newRig(t)
	l := &listener{types: eventTypes, queue: make(chan []byte, 10)}
	p := &poller{feed: r.feed, api: r.API, end: func() {}}
	r.feed.mu.Lock()
	r.feed.listeners[l], r.feed.poller = struct{}{}, p
	r.feed.mu.Unlock()
	heard := func() string {
		select {
		case frame := <-l.queue:
			return string(frame)
		default:
			return ""
		}
	}
	look := func() {
		p.looks = 0 // replicas are not looked at each time
		p.look(t.Context())
	}
	look()
	if got := heard(); got != "" {
		t.Errorf("told %s of what was before", got)
	}
	r.away = time.Now()
	look()
	if got := heard(); !strings.HasPrefix(got, "event: state\nid: 1\ndata: {\"ok\":false,") {
		t.Errorf("told %s", got)
	}
	r.away = time.Time{}
	r.members = append(r.members, state.Replica{ID: "r2", Host: "h2"})
	look()
	if got := heard(); !strings.Contains(got, `data: {"ok":true,"degradedSince":null}`) {
		t.Errorf("told %s", got)
	}
	if got := heard(); !strings.Contains(got, `data: {"id":"r2","host":"h2","address":"","change":"joined"}`) {
		t.Errorf("told %s", got)
	}
	r.members = r.members[:1]
	r.self.Config.Error = "c.yaml:1:1: is not JSON"
	look()
	if got := heard(); !strings.HasPrefix(got, "event: config") || !strings.Contains(got, "c.yaml:1:1") {
		t.Errorf("told %s", got)
	}
	if got := heard(); !strings.Contains(got, `"change":"left"`) {
		t.Errorf("told %s", got)
	}
	look()
	if got := heard(); got != "" {
		t.Errorf("told again: %s", got)
	}
}

func TestListenersAreBounded(t *testing.T) {
	r := newRig(t)
	r.feed.every = 10 * time.Millisecond
	var all []*ears
	for range mostListeners {
		all = append(all, r.listen(t, "?types=key"))
	}
	r.do("GET", "/api/events", "").want(t, 429, "rate_limit_exceeded")
	if a, _ := r.raw("GET", "/metrics", ""); !strings.Contains(a.body, "oap_admin_listeners 32") {
		t.Error("not counted")
	}
	for _, e := range all {
		e.leave()
	}
	for range 1000 {
		if r.feed.count() == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.feed.mu.Lock()
	running := r.feed.poller != nil
	r.feed.mu.Unlock()
	if running {
		t.Error("the poller outlives its listeners")
	}
	again := r.listen(t, "?types=config,request")
	r.looked()
	r.do("PATCH", "/api/keys/of-env", `{"enabled":false}`).want(t, 200)
	again.next("config")
}

func TestEventsEndWithTheProxy(t *testing.T) {
	r := newRig(t)
	r.feed.every = 10 * time.Millisecond
	e := r.listen(t, "")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case heard, open := <-e.heard:
		if open {
			t.Errorf("heard %v", heard)
		}
	case <-time.After(time.Minute):
		t.Error("the stream goes on")
	}
	r.do("GET", "/api/events", "").want(t, 503, "state_unavailable")
	r.do("GET", "/api/events?types=nothing", "").want(t, 400, "invalid_request")
}

// A listener that does not read is told how much it missed; nobody waits for it.
func TestSlowListener(t *testing.T) {
	r := newRig(t)
	l, err := r.feed.join([]string{keyEvent})
	if err != nil {
		t.Fatal(err)
	}
	defer r.feed.leave(l)
	r.feed.mu.Lock()
	p := r.feed.poller
	r.feed.mu.Unlock()
	for range mostQueued + 7 {
		r.feed.tell(p, keyEvent, keyNews{ID: "k"})
		r.feed.tell(p, requestEvent, keyNews{})
	}
	if n := l.missed.Load(); n != 7 {
		t.Errorf("%d missed, want 7", n)
	}
	var out strings.Builder
	s := stream{w: recorder{&out}, rc: http.NewResponseController(recorder{&out})}
	for range mostQueued {
		if err := s.tellMissed(l); err != nil || out.Len() > 0 {
			t.Fatalf("told before its turn: %q %v", out.String(), err)
		}
		<-l.queue
	}
	if err := s.tellMissed(l); err != nil || out.String() != "event: missed\ndata: {\"missed\":7}\n\n" {
		t.Errorf("told %q %v", out.String(), err)
	}
}

// recorder is a writer of answers that keeps them.
type recorder struct{ *strings.Builder }

func (recorder) Header() http.Header              { return http.Header{} }
func (recorder) WriteHeader(int)                  {}
func (recorder) Flush()                           {}
func (recorder) SetWriteDeadline(time.Time) error { return nil }

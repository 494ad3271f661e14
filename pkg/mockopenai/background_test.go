package mockopenai_test

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

func (u *upstream) status(path string) string { u.t.Helper(); return u.get(path).get("status").Str }

func TestBackground(t *testing.T) {
	u := start(t, few(4))
	a := u.post("/v1/responses", `{"model":"gpt-4o-mini","input":"x","background":true,"metadata":{"a":"b"}}`)
	if a.get("status").Str != "queued" || a.get("usage").Type != gjson.Null || !a.get("background").Bool() || a.get("output.#").Int() != 0 {
		t.Fatalf("%s", a.body)
	}
	path := "/v1/responses/" + a.get("id").Str
	if s := u.status(path); s != "in_progress" {
		t.Errorf("first it is %s", s)
	}
	if a := u.get(path); a.get("status").Str != "completed" || a.get("usage.output_tokens").Int() == 0 || a.get("output.#").Int() != 1 || a.get("metadata.a").Str != "b" {
		t.Errorf("then it is %s", a.body)
	}
	if a := u.do(u.request("POST", path+"/cancel", ""), 200); a.get("status").Str != "completed" {
		t.Errorf("cancelled when it is over: %s", a.body)
	}
	u.do(u.request("GET", path+"?stream=true", ""), 400)
	u.do(u.request("POST", "/v1/responses", `{"model":"m","input":"x","background":true,"store":false}`), 400)
	plain := u.post("/v1/responses", `{"model":"m","input":"x"}`).get("id").Str
	u.do(u.request("POST", "/v1/responses/"+plain+"/cancel", ""), 400)
	again := "/v1/responses/" + u.post("/v1/responses", `{"model":"m","input":"x","background":true}`).get("id").Str
	if a := u.do(u.request("POST", again+"/cancel", ""), 200); a.get("status").Str != "cancelled" {
		t.Errorf("%s", a.body)
	}
	if s := u.status(again); s != "cancelled" {
		t.Errorf("it goes on: %s", s)
	}
	if b := u.Stats()[testKey]; b.OutputTokens < 9 {
		t.Errorf("the bill is %+v", b)
	}
}

// A stream that is left goes on, and can be read from any event on.
func TestResumedStream(t *testing.T) {
	u := start(t, few(50))
	u.Reset()
	left, numbers := u.leave(5)
	path := "/v1/responses/" + left
	eventually(t, "the stream is left", func() bool { return u.status(path) != "queued" && u.Stats()[testKey].OutputTokens == 50 })
	bill := u.Stats()[testKey]
	rest := u.get(path + "?stream=true&starting_after=" + strconv.Itoa(numbers-1))
	data, names := rest.events()
	for i, d := range data {
		if n := gjson.Get(d, "sequence_number").Int(); n != int64(numbers+i) {
			t.Fatalf("event %d has number %d", numbers+i, n)
		}
	}
	if names[len(names)-1] != "response.completed" || len(data)+numbers != 50+8 {
		t.Errorf("%d and %d events, to %s", numbers, len(data), names[len(names)-1])
	}
	if after := u.Stats()[testKey]; after.OutputTokens != bill.OutputTokens || after.InputTokens != bill.InputTokens {
		t.Errorf("billed again: %+v, %+v", bill, after)
	}
	if whole, _ := u.get(path + "?stream=true").events(); len(whole) != 58 || u.status(path) != "completed" {
		t.Errorf("%d events of all", len(whole))
	}
	if none := u.get(path + "?stream=true&starting_after=57"); len(none.body) != 0 || !strings.HasPrefix(none.Header.Get("Content-Type"), "text/event-stream") {
		t.Errorf("behind the last: %s", none.body)
	}
	u.do(u.request("GET", path+"?stream=true&starting_after=x", ""), 400)
}

// leave reads so many events of a stream and leaves it.
func (u *upstream) leave(events int) (id string, read int) {
	u.t.Helper()
	req := u.request("POST", "/v1/responses", `{"model":"gpt-4o-mini","input":"x","background":true,"stream":true}`)
	resp, err := u.client.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		u.t.Fatal(resp, err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); read < events && lines.Scan(); {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			read++
			if id == "" {
				id = gjson.Get(data, "response.id").Str
			}
		}
	}
	return id, read
}

package app_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// ringAt has somebody ring in the account of a key.
func ringAt(t *testing.T, url, key string) (id string) {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/realtime/calls", strings.NewReader(`{}`))
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if id = gjson.GetBytes(body, "id").Str; !strings.HasPrefix(id, "rtc_") {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	return id
}

// A call that comes by telephone is nobody's until an operator says whose it is. Then its client accepts it, speaks beside it and
// ends it, always in the account in which it rings, and nobody else does.
func TestCallsByTelephone(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": strings.TrimSuffix(owning, "]") +
		fmt.Sprintf(`,{"id":"limited","token":%q,"tpm":1000000,"group":"us"}]`, tokenOf("limited"))})
	id := ringAt(t, url, keyNumber(2))
	path, beside := "/v1/realtime/calls/"+id, "/v1/realtime?call_id="+id
	asked := len(mock.Requests())
	absent := r.post(t, strings.Replace(path, id, "rtc_absent", 1)+"/accept", tokenOfA, `{"type":"realtime"}`)
	if a := r.post(t, path+"/accept", tokenOfA, `{"type":"realtime"}`); a.status != 404 || a.body != absent.body {
		t.Errorf("what nobody has: %d %s", a.status, a.body)
	}
	if a := r.manage(t, "POST", "/api/objects", `{"client":"a","account":"b","ids":["`+id+`"]}`, nil); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	r.refusesCall(t, id, absent)
	if n := len(mock.Requests()) - asked; n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
	if a := r.post(t, path+"/accept", tokenOfA, `{"type":"realtime","model":"gpt-realtime","audio":{"output":{"voice":"marin"}}}`); a.status != 200 {
		t.Errorf("accept: %d %s", a.status, a.body)
	}
	s := r.socket(t, beside, tokenOfToo) // of the same group
	s.hear("session.created")
	s.say(`{"type":"response.create"}`)
	s.hear("response.done")
	_ = s.Close(1000, "")
	for _, verb := range []string{"refer", "hangup"} {
		if a := r.call(t, "POST", path+"/"+verb, tokenOfA, ""); a.status != 200 {
			t.Errorf("%s: %d %s", verb, a.status, a.body)
		}
	}
	for _, q := range mock.Requests()[asked:] {
		if q.Key != keyNumber(2) {
			t.Errorf("%s went to %s", q.Path, q.Key)
		}
	}
	if a := r.post(t, "/v1/realtime/calls", tokenOfA, `{}`); a.status != 403 {
		t.Errorf("a call that is made here: %d %s", a.status, a.body)
	}
}

// refusesCall checks that others than the owner of a call are answered as if there were none, and that it is no way to what is
// another's, nor around limits.
func (r *rig) refusesCall(t *testing.T, id string, absent answer) {
	t.Helper()
	path, beside := "/v1/realtime/calls/"+id, "/v1/realtime?call_id="+id
	for _, verb := range []string{"accept", "refer", "reject", "hangup"} {
		if a := r.post(t, path+"/"+verb, tokenOfB, `{}`); a.status != 404 || a.body != absent.body {
			t.Errorf("%s by another: %d %s", verb, a.status, a.body)
		}
	}
	if _, resp := r.dial(t, beside, tokenOfB); resp.StatusCode != 404 {
		t.Errorf("another beside it: %d", resp.StatusCode)
	}
	if a := r.post(t, path+"/accept", tokenOfA, `{"type":"realtime","prompt":{"id":"pmpt_of_another"}}`); a.status != 404 {
		t.Errorf("with another's prompt: %d %s", a.status, a.body)
	}
	for _, says := range []string{`{"audio":{"output":{"voice":{"id":"voice_of_another"}}}}`, `{"audio":{"output":{"voice":"voice_of_another"}}}`} {
		if a := r.post(t, path+"/accept", tokenOfA, says); a.status != 404 {
			t.Errorf("with another's voice: %d %s", a.status, a.body)
		}
	}
	if a := r.post(t, path+"/accept", tokenOf("limited"), `{}`); a.status != 403 || a.code() != "endpoint_not_allowed" {
		t.Errorf("a client with limits: %d %s", a.status, a.body)
	}
	if _, resp := r.dial(t, beside, tokenOf("limited")); resp.StatusCode != 403 {
		t.Errorf("a client with limits beside it: %d", resp.StatusCode)
	}
}

// Where nothing could be somebody else's, calls need no owner.
func TestCallsOfOne(t *testing.T) {
	_, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1)})
	id := ringAt(t, url, keyNumber(1))
	if a := r.post(t, "/v1/realtime/calls/"+id+"/accept", keyNumber(1), `{"type":"realtime","model":"gpt-realtime"}`); a.status != 200 {
		t.Errorf("accept: %d %s", a.status, a.body)
	}
	s := r.socket(t, "/v1/realtime?call_id="+id, keyNumber(1))
	s.hear("session.created")
}

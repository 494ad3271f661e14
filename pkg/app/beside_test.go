package app_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"openai-api-proxy/pkg/mockopenai"
)

// beside posts something that is to be made where other objects lie.
func (r *rig) beside(t testing.TB, path, token, body string, ids ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Proxy-Beside", strings.Join(ids, ", "))
	return r.send(t, req, token)
}

func (a answer) id() string { return gjson.Get(a.body, "id").Str }

// lastKey is the key of the last request that the mock was sent.
func lastKey(mock *mockopenai.Server) string {
	all := mock.Requests()
	return all[len(all)-1].Key
}

// What cannot point at another object is made beside it when the header says so: else only every third would fit.
func TestBesideAnotherObject(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning})
	for range 4 {
		store := r.post(t, "/v1/vector_stores", tokenOfA, `{}`).id()
		where := lastKey(mock)
		file := r.beside(t, "/v1/files", tokenOfA, `{"purpose":"assistants"}`, store)
		if file.status != 200 || lastKey(mock) != where {
			t.Fatalf("%d %s, with %s, want %s", file.status, file.body, lastKey(mock), where)
		}
		sent := mock.Requests()
		if sent[len(sent)-1].Header.Get("X-Proxy-Beside") != "" {
			t.Error("the upstream sees the header")
		}
		if a := r.post(t, "/v1/vector_stores/"+store+"/files", tokenOfA, `{"file_id":"`+file.id()+`"}`); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
		before := asked(mock)
		foreign, absent := r.beside(t, "/v1/files", tokenOfB, `{}`, store), r.beside(t, "/v1/files", tokenOfB, `{}`, store+"0")
		if foreign.status != 404 || foreign.body != absent.body || asked(mock) != before {
			t.Errorf("another's: %d %s, absent %s", foreign.status, foreign.body, absent.body)
		}
		if a := r.beside(t, "/v1/files", tokenOfA, `{}`, "what"); a.status != 404 {
			t.Errorf("no id: %d %s", a.status, a.body)
		}
		elsewhere := ""
		for elsewhere == "" {
			if other := r.post(t, "/v1/files", tokenOfA, `{}`).id(); lastKey(mock) != where {
				elsewhere = other
			}
		}
		if a := r.beside(t, "/v1/files", tokenOfA, `{}`, store, elsewhere); a.status != 400 || !strings.Contains(a.body, "X-Proxy-Beside") {
			t.Errorf("of two accounts: %d %s", a.status, a.body)
		}
	}
}

// A thread is made where the newest assistant lies, and an evaluation where the newest file does, so that a run reaches both;
// where no key can be used there, elsewhere.
func TestBesideTheNewest(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning})
	used := map[string]bool{}
	for range 6 {
		assistant := r.post(t, "/v1/assistants", tokenOfA, `{"model":"gpt-4o-mini"}`).id()
		where := lastKey(mock)
		used[where] = true
		for range 2 { // another's do not count
			r.post(t, "/v1/assistants", tokenOfB, `{"model":"gpt-4o-mini"}`)
		}
		thread := r.post(t, "/v1/threads", tokenOfA, `{}`).id()
		if a := r.post(t, "/v1/threads/"+thread+"/runs", tokenOfA, `{"assistant_id":"`+assistant+`"}`); a.status != 200 || lastKey(mock) != where {
			t.Errorf("%d %s", a.status, a.body)
		}
		file := r.post(t, "/v1/files", tokenOfA, `{"purpose":"evals"}`).id()
		eval := r.post(t, "/v1/evals", tokenOfA, `{"data_source_config":{"type":"custom"}}`).id()
		if a := r.post(t, "/v1/evals/"+eval+"/runs", tokenOfA, `{"data_source":{"source":{"type":"file_id","id":"`+file+`"}}}`); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if len(used) < 2 {
		t.Errorf("all of it went to %v", used)
	}
	r.post(t, "/v1/assistants", tokenOfA, `{"model":"gpt-4o-mini"}`)
	gone := lastKey(mock)
	mock.Fault(mockopenai.Fault{Key: gone, Kind: "429_quota"})
	for range 2 {
		if a := r.post(t, "/v1/threads", tokenOfA, `{}`); a.status != 200 || lastKey(mock) == gone {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}

// An evaluation of all that an account stores is refused with what to do instead. Alone in one account it passes.
func TestEvaluationsOfAll(t *testing.T) {
	mock, url := upstream(t)
	mock.Configure(func(s *mockopenai.Settings) {
		s.Accounts = map[string]string{keyNumber(1): "x", keyNumber(1) + "2": "x"}
	})
	shared := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning})
	eval := shared.post(t, "/v1/evals", tokenOfA, `{"data_source_config":{"type":"custom","item_schema":{}}}`).id()
	run := `{"data_source":{"type":"completions","source":{"type":"stored_completions","metadata":{}}}}`
	if a := shared.post(t, "/v1/evals/"+eval+"/runs", tokenOfA, run); a.status != 400 || a.code() != "not_supported_yet" || !strings.Contains(a.body, "file_content") {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, kind := range []string{"logs", "stored_completions"} {
		if a := shared.post(t, "/v1/evals", tokenOfA, `{"data_source_config":{"type":"`+kind+`"}}`); a.status != 400 || !strings.Contains(a.body, "item_schema") {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	rows := `{"data_source":{"type":"jsonl","source":{"type":"file_content","content":[{"item":{"file_id":"7","thread_id":"8"}}]}}}`
	if a := shared.post(t, "/v1/evals/"+eval+"/runs", tokenOfA, rows); a.status != 200 {
		t.Errorf("rows with names of ours: %d %s", a.status, a.body)
	}
	alone := start(t, map[string]string{"OPENAI_BASE_URL": url, "CLIENT_TOKENS": `[{"id":"a","token":"` + tokenOfA + `"}]`,
		"OPENAI_API_KEYS": `[{"id":"one","key":"` + keyNumber(1) + `","account":"x"},{"id":"two","key":"` + keyNumber(1) + `2","account":"x"}]`})
	eval = alone.post(t, "/v1/evals", tokenOfA, `{"data_source_config":{"type":"logs"}}`).id()
	if a := alone.post(t, "/v1/evals/"+eval+"/runs", tokenOfA, run); eval == "" || a.status != 200 {
		t.Errorf("alone: %d %s", a.status, a.body)
	}
}

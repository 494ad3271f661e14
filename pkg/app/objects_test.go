package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tidwall/gjson"

	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/openai"
)

// principals are two clients that must not see one another's objects, and a third that shares with the first.
const (
	tokenOfA   = "sk-test-owner-a-000000000000000001"
	tokenOfB   = "sk-test-owner-b-000000000000000001"
	tokenOfToo = "sk-test-owner-c-000000000000000001"
	owning     = `[{"id":"a","token":"` + tokenOfA + `","group":"us"},{"id":"b","token":"` + tokenOfB + `"},{"id":"too","token":"` + tokenOfToo + `","group":"us"}]`
)

// marker is in everything that a principal stores.
func marker(token string) string { return "belongs-to-" + token[8:15] }

// families are how an object of each family is made: by the operation without slots whose answer tells its id at the top.
func families() map[openai.Family]openai.Operation {
	all := map[openai.Family]openai.Operation{}
	for _, op := range openai.Published() {
		if op.Objects == nil || len(op.Objects.Slots) > 0 {
			continue
		}
		for _, m := range op.Objects.Makes {
			if _, known := all[m.Family]; !known && m.Path == "id" {
				all[m.Family] = op
			}
		}
	}
	return all
}

func (r *rig) call(t testing.TB, method, path, token, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return r.send(t, req, token)
}

// makeOne makes an object, and returns its id.
func (r *rig) makeOne(t testing.TB, op openai.Operation, token string) string {
	t.Helper()
	if op.Path == "" {
		return r.ring(t, token)
	}
	body := fmt.Sprintf(`{"model":"gpt-4o-mini","input":"x","messages":[],"store":true,"metadata":{"of":%q}}`, marker(token))
	a := r.call(t, op.Method, op.Path, token, body)
	id := gjson.Get(a.body, "id").Str
	if a.status != 200 || id == "" {
		t.Fatalf("%s %s: %d %s", op.Method, op.Path, a.status, a.body)
	}
	return id
}

// calls counts those that rang.
var calls atomic.Int64

// ring has somebody ring in the account of the first key, which nobody asked for, and gives the call to whose token it is.
func (r *rig) ring(t testing.TB, token string) (id string) {
	t.Helper()
	id = fmt.Sprintf("rtc_u%d_test", calls.Add(1))
	client := map[string]string{tokenOfA: "a", tokenOfB: "b", tokenOfToo: "too"}[token]
	if a := r.manage(t, "POST", "/api/objects", `{"client":"`+client+`","account":"a","ids":["`+id+`"]}`, nil); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return id
}

// asked is how many requests the mock was asked.
func asked(m *mockopenai.Server) (n int64) {
	for _, s := range m.Stats() {
		n += s.Requests
	}
	return n
}

// at is a path with ids in the slots of families, and names in others.
func at(op openai.Operation, id func(openai.Family) string) string {
	segments, slot := strings.Split(op.Path, "/"), 0
	for i, s := range segments {
		if !strings.HasPrefix(s, "{") {
			continue
		}
		if family := op.Objects.Slots[slot]; family != "" {
			segments[i] = id(family)
		} else {
			segments[i] = "name_1"
		}
		slot++
	}
	return strings.Join(segments, "/")
}

// Every operation on stored objects, for ids that are one's own, another's, nobody's and none at all: what is another's is
// answered as what nobody has, byte for byte, and neither asks the upstream anything.
func TestObjectsOfOthers(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning})
	made, count := families(), 0
	for _, op := range openai.Published() {
		if op.Objects == nil || len(op.Objects.Slots) == 0 {
			continue
		}
		count++
		t.Run(op.Method+op.Path, func(t *testing.T) { checkOwnership(t, r, mock, op, made) })
	}
	if count < 90 {
		t.Errorf("%d operations", count)
	}
}

func checkOwnership(t *testing.T, r *rig, mock *mockopenai.Server, op openai.Operation, made map[openai.Family]openai.Operation) {
	own, foreign := map[openai.Family]string{}, map[openai.Family]string{}
	for _, family := range op.Objects.Slots {
		if family != "" {
			own[family], foreign[family] = r.makeOne(t, made[family], tokenOfA), r.makeOne(t, made[family], tokenOfB)
		}
	}
	body := ""
	if op.Method == "POST" {
		body = `{"metadata":{"of":"` + marker(tokenOfA) + `"}}`
	}
	before := asked(mock)
	absent := r.call(t, op.Method, at(op, func(f openai.Family) string { return foreign[f] + "0" }), tokenOfA, body)
	if absent.status != 404 || absent.code() != "not_found" {
		t.Errorf("absent: %d %s", absent.status, absent.body)
	}
	for name, id := range map[string]func(openai.Family) string{
		"another's": func(f openai.Family) string { return foreign[f] },
		"no id":     func(openai.Family) string { return "no%20id" },
		"slash":     func(f openai.Family) string { return own[f] + "%2Fx" },
		"too long":  func(f openai.Family) string { return own[f] + strings.Repeat("x", 300) },
		"of case":   func(f openai.Family) string { return strings.ToUpper(own[f]) },
	} {
		if a := r.call(t, op.Method, at(op, id), tokenOfA, body); a.status != 404 || a.body != absent.body || strings.Contains(a.body, marker(tokenOfB)) {
			t.Errorf("%s: %d %s, absent is answered %s", name, a.status, a.body, absent.body)
		}
	}
	if n := asked(mock) - before; n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
	a := r.call(t, op.Method, at(op, func(f openai.Family) string { return own[f] }), tokenOfA, body)
	two := len(own) > 1 && a.status == 400 // they may lie in two accounts
	if a.code() == "not_found" || strings.Contains(a.body, marker(tokenOfB)) || !two && asked(mock) == before {
		t.Errorf("own: %d %s", a.status, a.body)
	}
	if op.Objects.Drops {
		if a := r.call(t, "DELETE", at(op, func(f openai.Family) string { return own[f] }), tokenOfA, ""); a.status != 404 || a.body != absent.body {
			t.Errorf("deleted: %d %s", a.status, a.body)
		}
	}
}

// Wherever a request points at an object, it must be the caller's.
func TestObjectsOfOthersInBodies(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning})
	made := families()
	for _, c := range []struct {
		family     openai.Family
		path, body string
	}{
		{"response", "/v1/responses", `{"model":"gpt-4o-mini","input":"x","previous_response_id":"ID"}`},
		{"response", "/v1/responses", `{"model":"gpt-4o-mini","input":"x","previous_response_id":"resp_0","previous_response_id":"ID"}`},
		{"response", "/v1/responses", `{"model":"gpt-4o-mini","input":"x","previous_\u0072esponse_id":"ID"}`},
		{"response", "/v1/responses/compact", `{"model":"gpt-4o-mini","previous_response_id":"ID"}`},
		{"response", "/v1/responses/input_tokens", `{"model":"gpt-4o-mini","previous_response_id":"ID"}`},
		{"conversation", "/v1/responses", `{"model":"gpt-4o-mini","input":"x","conversation":"ID"}`},
		{"conversation", "/v1/responses", `{"model":"gpt-4o-mini","input":"x","conversation":{"id":"ID"}}`},
		{"file", "/v1/responses", `{"model":"gpt-4o-mini","input":[{"role":"user","content":[{"type":"input_file","file_id":"ID"}]}]}`},
		{"file", "/v1/responses", `{"model":"gpt-4o-mini","input":"x","tools":[{"type":"code_interpreter","container":{"type":"auto","file_ids":["ID"]}}]}`},
		{"vector_store", "/v1/responses", `{"model":"gpt-4o-mini","input":"x","tools":[{"type":"file_search","vector_store_ids":["ID"]}]}`},
		{"container", "/v1/responses", `{"model":"gpt-4o-mini","input":"x","tools":[{"type":"code_interpreter","container":"ID"}]}`},
		{"response", "/v1/responses", `{"model":"gpt-4o-mini","input":[{"type":"item_reference","id":"ID"}]}`},
		{"response", "/v1/responses", `{"model":"gpt-4o-mini","prompt":{"id":"ID"}}`},
		{"file", "/v1/chat/completions", `{"model":"gpt-4o-mini","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"ID"}}]}]}`},
		{"file", "/v1/batches", `{"input_file_id":"ID","endpoint":"/v1/chat/completions","completion_window":"24h"}`},
		{"file", "/v1/fine_tuning/jobs", `{"model":"gpt-4o-mini","training_file":"ID"}`},
		{"file", "/v1/fine_tuning/jobs", `{"model":"gpt-4o-mini","training_file":null,"validation_file":"ID"}`},
		{"file", "/v1/vector_stores", `{"file_ids":["ID"]}`},
		{"file", "/v1/assistants", `{"model":"gpt-4o-mini","tool_resources":{"code_interpreter":{"file_ids":["ID"]}}}`},
		{"vector_store", "/v1/threads", `{"tool_resources":{"file_search":{"vector_store_ids":["ID"]}}}`},
		{"assistant", "/v1/threads/runs", `{"assistant_id":"ID"}`},
		{"file", "/v1/threads", `{"messages":[{"role":"user","content":"x","attachments":[{"file_id":"ID"}]}]}`},
		{"file", "/v1/containers", `{"name":"x","file_ids":["ID"]}`},
		{"file", "/v1/evals", `{"data_source_config":{"type":"custom","source":{"type":"file_id","file_id":"ID"}}}`},
		{"consent", "/v1/audio/voices", `{"name":"x","consent":"ID"}`},
		{"voice", "/v1/audio/speech", `{"model":"gpt-4o-mini-tts","input":"x","voice":{"id":"ID"}}`},
		{"file", "/v1/images/edits", `{"model":"gpt-image-1","prompt":"x","images":[{"file_id":"ID"}]}`},
		{"file", "/v1/videos", `{"prompt":"x","input_reference":{"file_id":"ID"}}`},
	} {
		id := r.makeOne(t, made[c.family], tokenOfB)
		before := asked(mock)
		foreign := r.call(t, "POST", c.path, tokenOfA, strings.ReplaceAll(c.body, "ID", id))
		absent := r.call(t, "POST", c.path, tokenOfA, strings.ReplaceAll(c.body, "ID", id+"0"))
		if foreign.status != 404 || foreign.code() != "not_found" || foreign.body != absent.body || asked(mock) != before {
			t.Errorf("%s %s: %d %s, absent %d %s, %d asked", c.path, c.body, foreign.status, foreign.body, absent.status, absent.body, asked(mock)-before)
		}
	}
	// What cannot be read might point at anything.
	for name, change := range map[string]func(*http.Request){
		"encoded": func(req *http.Request) { req.Header.Set("Content-Encoding", "gzip") },
		"broken":  func(*http.Request) {},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), "POST", r.url+"/v1/responses", strings.NewReader(`{"model":"gpt-4o-mini","input":`))
		req.Header.Set("Content-Type", "application/json")
		change(req)
		before := asked(mock)
		if a := r.send(t, req, tokenOfA); a.status != 400 || asked(mock) != before {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a := r.post(t, "/v1/evals", tokenOfA, `{"data_source_config":{"type":"stored_completions"}}`); a.status != 400 || a.code() != "not_supported_yet" {
		t.Errorf("a search of all: %d %s", a.status, a.body)
	}
}

// What the proxy does not know a setting may open; an id in its path is told by how it begins.
func TestObjectsOfOperationsThatAreOpened(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning, "CONFIG_FILE": "c.json",
		"file": `{"operations":{"allow":["GET /v1/files/{id}/news","POST /v1/decisions"]}}`})
	file := r.makeOne(t, families()["file"], tokenOfB)
	before := asked(mock)
	for path, body := range map[string]string{"/v1/files/" + file + "/news": "", "/v1/decisions": `{"input":"x","file_id":"` + file + `"}`} {
		method := map[bool]string{true: "GET", false: "POST"}[body == ""]
		if a := r.call(t, method, path, tokenOfA, body); a.status != 404 || a.code() != "not_found" || asked(mock) != before {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := r.get(t, "/v1/files/"+file+"/news", tokenOfB); a.code() == "not_found" || asked(mock) == before {
		t.Errorf("own: %d %s", a.status, a.body)
	}
}

package app_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/redistest"
)

// What a streamed run tells of is known when the event arrives: the thread before its run, the vector store that came with it,
// and the files that the assistant made.
func TestObjectsOfARun(t *testing.T) {
	_, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 5, Requests: 10}))
	replicas := fleet(t, redistest.Start(t), 2, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning})
	for range 3 {
		assistant := replicas[0].post(t, "/v1/assistants", tokenOfA, `{"model":"gpt-4o-mini","tools":[{"type":"code_interpreter"}]}`).id()
		req, _ := http.NewRequestWithContext(t.Context(), "POST", replicas[0].url+"/v1/threads/runs", strings.NewReader(
			`{"stream":true,"assistant_id":"`+assistant+`","thread":{"tool_resources":{"file_search":{"vector_stores":[{}]}}}}`))
		req.Header.Set("Authorization", "Bearer "+tokenOfA)
		req.Header.Set("Content-Type", "application/json")
		resp, err := replicas[0].http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		known := map[string]string{} // the path of each object that was told of, by the place at which it stood
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			event := strings.TrimPrefix(lines.Text(), "data: ")
			for place, collection := range map[string]string{"tool_resources.file_search.vector_store_ids.0": "/v1/vector_stores/",
				"delta.content.0.image_file.file_id": "/v1/files/", "content.#.text.annotations.0.file_path.file_id": "/v1/files/",
				"step_details.tool_calls.0.code_interpreter.outputs.0.image.file_id": "/v1/files/"} {
				found := gjson.Get(event, place)
				if found.IsArray() {
					found = found.Get("0")
				}
				if found.Str != "" {
					known[place] = collection + found.Str
				}
			}
			if gjson.Get(event, "object").Str == "thread" {
				known["id"] = "/v1/threads/" + gjson.Get(event, "id").Str
			}
			for place, path := range known {
				if a := replicas[1].get(t, path, tokenOfToo); a.status != 200 {
					t.Errorf("%s, at %s: %d %s", path, place, a.status, a.body)
				}
			}
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if len(known) != 5 {
			t.Errorf("the run told of %v", known)
		}
		for _, path := range known {
			if a := replicas[1].get(t, path, tokenOfB); a.status != 404 {
				t.Errorf("another client, %s: %d %s", path, a.status, a.body)
			}
		}
	}
}

// What an answer repeats of what its request pointed at stays where it is in lists.
func TestObjectsThatAreRepeated(t *testing.T) {
	_, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning})
	older := r.post(t, "/v1/vector_stores", tokenOfA, `{}`).id()
	newer := r.post(t, "/v1/vector_stores", tokenOfA, `{}`).id()
	thread := r.post(t, "/v1/threads", tokenOfA, `{"tool_resources":{"file_search":{"vector_store_ids":["`+older+`"]}}}`)
	if got := gjson.Get(thread.body, "tool_resources.file_search.vector_store_ids.0").Str; got != older {
		t.Fatalf("%d %s", thread.status, thread.body)
	}
	r.get(t, "/v1/threads/"+thread.id(), tokenOfA)
	if got := gjson.Get(r.get(t, "/v1/vector_stores", tokenOfA).body, "data.#.id").Raw; got != `["`+newer+`","`+older+`"]` {
		t.Errorf("%s is listed of %s, %s", got, newer, older)
	}
}

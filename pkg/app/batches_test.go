package app_test

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"openai-api-proxy/pkg/mockopenai"
)

// uploadLines uploads a file of requests.
func (r *rig) uploadLines(t *testing.T, token, lines string) (id string) {
	t.Helper()
	return r.postFile(t, "/v1/files", token, "file", lines, "purpose", "batch")
}

// postFile sends a form with a file and other fields, and returns the id that was made of it.
func (r *rig) postFile(t *testing.T, path, token, field, content string, fields ...string) (id string) {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for i := 0; i < len(fields); i += 2 {
		form.WriteField(fields[i], fields[i+1])
	}
	file, _ := form.CreateFormFile(field, "in.jsonl")
	fmt.Fprint(file, content)
	form.Close()
	req, _ := http.NewRequestWithContext(t.Context(), "POST", r.url+path, &body)
	req.Header.Set("Content-Type", form.FormDataContentType())
	a := r.send(t, req, token)
	if a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return gjson.Get(a.body, "id").Str
}

// What the requests in the file of a batch point at must be the client's, too.
func TestBatchesOfOthersObjects(t *testing.T) {
	set := mockopenai.DefaultSettings()
	set.Accounts = map[string]string{keyNumber(1): "one", keyNumber(2): "one", keyNumber(3): "one"}
	mock, url := upstream(t, mockopenai.WithSettings(set))
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": oneAccount(), "CLIENT_TOKENS": owning})
	made := families()
	own, foreign := r.makeOne(t, made["vector_store"], tokenOfA), r.makeOne(t, made["vector_store"], tokenOfB)
	search := func(id string) string {
		return `{"custom_id":"1","method":"POST","url":"/v1/responses","body":{"model":"gpt-4o-mini","input":"x","tools":[{"type":"file_search","vector_store_ids":["` + id + `"]}]}}`
	}
	plainLine := `{"custom_id":"2","method":"POST","url":"/v1/chat/completions","body":` + plain + `}`
	for name, c := range map[string]struct {
		lines  string
		status int
	}{
		"plain":                 {plainLine + "\n" + plainLine + "\n", 200},
		"own":                   {plainLine + "\n" + search(own), 200},
		"another's":             {plainLine + "\n" + search(foreign) + "\n", 404},
		"nobody's":              {search(own+"0") + "\r\n\r\n" + plainLine, 404},
		"in the second body":    {strings.Replace(search(foreign), `"body"`, `"body":{},"body"`, 1), 404},
		"in the first body":     {strings.TrimSuffix(search(foreign), "}") + `,"body":{}}`, 404},
		"a name in escapes":     {strings.Replace(search(foreign), "vector_store_ids", `vector\u005fstore_ids`, 1), 404},
		"a broken line":         {plainLine + "\n{\"body\":", 400},
		"no object":             {`["x"]`, 400},
		"a body that is a text": {`{"body":"{}"}`, 400},
		"empty":                 {"", 200},
	} {
		t.Run(name, func(t *testing.T) {
			file := r.uploadLines(t, tokenOfA, c.lines)
			before := len(mock.Requests())
			a := r.post(t, "/v1/batches", tokenOfA, `{"input_file_id":"`+file+`","endpoint":"/v1/responses","completion_window":"24h"}`)
			if a.status != c.status {
				t.Errorf("%d %s", a.status, a.body)
			}
			for _, q := range mock.Requests()[before:] {
				if q.Method == "POST" && c.status != 200 {
					t.Errorf("it reached the upstream: %s", q.Path)
				}
			}
		})
	}
}

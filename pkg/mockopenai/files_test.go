package mockopenai_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// file uploads a file.
func (u *upstream) file(content string) (id string) {
	u.t.Helper()
	return u.do(u.form("/v1/files", [2]string{"purpose", "assistants"}, [2]string{"file", "@" + content}), 200).get("id").Str
}

// refused is the code and the parameter of an answer that must have the status.
func (u *upstream) refused(method, path, body string, status int) string {
	u.t.Helper()
	a := u.do(u.request(method, path, body), status)
	return a.get("error.code").Str + " " + a.get("error.param").Str
}

// idsIn are the ids on a page.
func idsIn(a answer) (ids []string) {
	for _, id := range a.get("data.#.id").Array() {
		ids = append(ids, id.Str)
	}
	return ids
}

func has(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestFiles(t *testing.T) {
	u := start(t)
	id := u.file("alpha beta")
	a := u.get("/v1/files/" + id)
	for path, want := range map[string]string{"object": "file", "purpose": "assistants", "filename": "file.bin", "bytes": "10", "status": "processed"} {
		equal(t, path, a.get(path).String(), want)
	}
	equal(t, "content", string(u.get("/v1/files/"+id+"/content").body), "alpha beta")
	a = u.do(u.request("DELETE", "/v1/files/"+id, ""), 200)
	equal(t, "deleted", a.get("object").Str+a.get("deleted").Raw, "filetrue")
	u.do(u.request("GET", "/v1/files/"+id+"/content", ""), 404)
}

// A file is kept whole, and one that does not fit is refused.
func TestFilesAreWhole(t *testing.T) {
	u := start(t)
	large := strings.Repeat("0123456789abcdef", 1<<20) // 16 MiB
	first := u.file(large)
	equal(t, "all of it comes back", string(u.get("/v1/files/"+first+"/content").body) == large, true)
	for range 3 {
		u.file(large)
	}
	over := u.form("/v1/files", [2]string{"purpose", "assistants"}, [2]string{"file", "@x"})
	a := u.do(over, 413)
	equal(t, "type", a.get("error.type").Str, "invalid_request_error")
	u.do(u.request("DELETE", "/v1/files/"+first, ""), 200)
	begun := "/v1/uploads/" + u.post("/v1/uploads", `{"filename":"in.txt","purpose":"assistants","bytes":16777216,"mime_type":"text/plain"}`).get("id").Str
	part := u.do(u.form(begun+"/parts", [2]string{"data", "@" + large}), 200).get("id").Str
	whole := u.post(begun+"/complete", `{"part_ids":["`+part+`"]}`).get("file.id").Str
	equal(t, "the file of an upload", string(u.get("/v1/files/"+whole+"/content").body) == large, true)
	u.do(u.form("/v1/files", [2]string{"purpose", "assistants"}, [2]string{"file", "@x"}), 413)
	u.do(u.form("/v1/audio/transcriptions", [2]string{"model", "whisper-1"}, [2]string{"file", "@" + large}), 200)
	u.Reset()
	u.file(large)
}

func TestUploads(t *testing.T) {
	u := start(t)
	begin := func(bytes int) (path string) {
		a := u.post("/v1/uploads", fmt.Sprintf(`{"filename":"in.txt","purpose":"assistants","bytes":%d,"mime_type":"text/plain"}`, bytes))
		equal(t, "status", a.get("status").Str, "pending")
		equal(t, "life", a.get("expires_at").Int()-a.get("created_at").Int(), 3600)
		return "/v1/uploads/" + a.get("id").Str
	}
	path := begin(10)
	var parts []string
	for _, text := range []string{"part-", "of-", "it"} {
		a := u.do(u.form(path+"/parts", [2]string{"data", "@" + text}), 200)
		equal(t, "of", "/v1/uploads/"+a.get("upload_id").Str, path)
		parts = append(parts, a.get("id").Str)
	}
	named := func(i, j, k int) string {
		return fmt.Sprintf(`{"part_ids":[%q,%q,%q]}`, parts[i], parts[j], parts[k])
	}
	foreign := u.do(u.form(begin(4)+"/parts", [2]string{"data", "@" + "else"}), 200).get("id").Str
	equal(t, "without parts", u.refused("POST", path+"/complete", `{}`, 400), "missing_required_parameter part_ids")
	equal(t, "too few bytes", u.refused("POST", path+"/complete", `{"part_ids":["`+parts[0]+`"]}`, 400), " ")
	equal(t, "of another upload", u.refused("POST", path+"/complete", `{"part_ids":["`+foreign+`"]}`, 404), " part_ids")
	equal(t, "checksum", u.refused("POST", path+"/complete", named(0, 1, 2)[:len(named(0, 1, 2))-1]+`,"md5":"00"}`, 400), " md5")
	a := u.post(path+"/complete", named(2, 0, 1))
	equal(t, "status", a.get("status").Str, "completed")
	for field, want := range map[string]string{"filename": "in.txt", "purpose": "assistants", "bytes": "10", "status": "processed"} {
		equal(t, field, a.get("file."+field).String(), want)
	}
	equal(t, "in that order", string(u.get("/v1/files/"+a.get("file.id").Str+"/content").body), "itpart-of-")
	equal(t, "once more", u.refused("POST", path+"/complete", named(0, 1, 2), 400), " ")

	path = begin(1)
	equal(t, "cancelled", u.post(path+"/cancel", "").get("status").Str, "cancelled")
	u.do(u.form(path+"/parts", [2]string{"data", "@" + "x"}), 400)
	equal(t, "completed after all", u.refused("POST", path+"/complete", `{"part_ids":[]}`, 400), " ")
}

func TestContainers(t *testing.T) {
	u := start(t)
	file := u.file("1,2")
	a := u.post("/v1/containers", `{"name":"box","file_ids":["`+file+`"]}`)
	equal(t, "status", a.get("status").Str+" "+a.get("name").Str, "running box")
	files := "/v1/containers/" + a.get("id").Str + "/files"
	uploaded := u.do(u.form(files, [2]string{"file", "@3,4,5"}), 200)
	copied := u.do(u.form(files, [2]string{"file_id", file}), 200)
	for field, want := range map[string]string{"object": "container.file", "bytes": "5", "source": "user", "container_id": a.get("id").Str,
		"path": "/mnt/data/" + uploaded.get("id").Str + "-file.bin"} {
		equal(t, field, uploaded.get(field).String(), want)
	}
	for one, want := range map[string]string{uploaded.get("id").Str: "3,4,5", copied.get("id").Str: "1,2"} {
		equal(t, "content", string(u.get(files+"/"+one+"/content").body), want)
	}
	all := u.get(files + "?order=asc")
	equal(t, "files", all.get("data.#").Int(), 3)
	has(t, "behind the first", idsIn(all)[1:], []string{uploaded.get("id").Str, copied.get("id").Str})
	a = u.do(u.request("DELETE", files+"/"+copied.get("id").Str, ""), 200)
	equal(t, "deleted", a.get("object").Str, "container.file.deleted")
	u.do(u.request("GET", files+"/"+copied.get("id").Str+"/content", ""), 404)
	equal(t, "nothing", u.refused("POST", files, `{}`, 400), "missing_required_parameter file")
	equal(t, "the file it was made of", string(u.get("/v1/files/"+file+"/content").body), "1,2")
}

func TestBatches(t *testing.T) {
	u := start(t)
	lines := `{"custom_id":"one","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt-4o-mini","messages":[]}}
{"custom_id":"two","method":"POST","url":"/v1/embeddings","body":{"model":"x"}}
no line
{"custom_id":"three","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt-4o"}}`
	batch := u.post("/v1/batches", `{"input_file_id":"`+u.file(lines)+`","endpoint":"/v1/chat/completions","completion_window":"24h"}`)
	equal(t, "at once", batch.get("status").Str+batch.get("output_file_id").Str, "validating")
	path := "/v1/batches/" + batch.get("id").Str
	batch = u.get(path)
	equal(t, "when looked at", batch.get("status").Str, "completed")
	for field, want := range map[string]string{"total": "4", "completed": "2", "failed": "2"} {
		equal(t, field, batch.get("request_counts."+field).Raw, want)
	}
	for field, want := range map[string]string{"output_file_id": `["one","three"]`, "error_file_id": `["two",null]`} {
		result := u.get("/v1/files/" + batch.get(field).Str + "/content")
		equal(t, field, result.get("..#.custom_id").Raw, want)
		equal(t, "status", result.get("..0.response.status_code").String(), map[string]string{"output_file_id": "200", "error_file_id": "400"}[field])
		equal(t, "length", u.get("/v1/files/"+batch.get(field).Str).get("bytes").Int(), int64(len(result.body)))
	}
	output := u.get("/v1/files/" + batch.get("output_file_id").Str + "/content")
	equal(t, "answer", output.get("..1.response.body.model").Str+output.get("..1.response.body.choices.0.message.role").Str, "gpt-4oassistant")
	equal(t, "once", u.get(path).get("output_file_id").Str, batch.get("output_file_id").Str)
	of := u.post("/v1/batches", `{"input_file_id":"`+u.file(`{"custom_id":"r","url":"/v1/responses","body":{"model":"m"}}`)+`","endpoint":"/v1/responses"}`).get("id").Str
	batch = u.get("/v1/batches/" + of)
	answer := u.get("/v1/files/" + batch.get("output_file_id").Str + "/content")
	equal(t, "a response", answer.get("response.body.object").Str+" "+answer.get("response.body.model").Str, "response m")
	equal(t, "no errors", batch.get("error_file_id").Exists(), false)
}

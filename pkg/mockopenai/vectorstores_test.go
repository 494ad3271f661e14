package mockopenai_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/tidwall/gjson"
)

// counts are those of a vector store or a batch of files.
func counts(a answer) string {
	c := a.get("file_counts")
	return fmt.Sprint(c.Get("in_progress"), c.Get("completed"), c.Get("cancelled"), c.Get("failed"), c.Get("total"))
}

func TestVectorStoreFiles(t *testing.T) {
	u := start(t)
	one, two, three := u.file("one"), u.file("twos"), u.file("threes")
	a := u.post("/v1/vector_stores", `{"name":"shelf","file_ids":["`+one+`"]}`)
	store := "/v1/vector_stores/" + a.get("id").Str
	equal(t, "at once", a.get("status").Str+" "+counts(a), "in_progress 1 0 0 0 1")
	a = u.get(store)
	equal(t, "when looked at", a.get("status").Str+" "+counts(a), "completed 0 1 0 0 1")
	a = u.post(store+"/files", `{"file_id":"`+two+`","attributes":{"part":2}}`)
	for field, want := range map[string]string{"id": two, "object": "vector_store.file", "status": "in_progress", "usage_bytes": "4",
		"vector_store_id": u.get(store).get("id").Str, "attributes.part": "2", "last_error": "", "chunking_strategy.type": "static"} {
		equal(t, field, a.get(field).String(), want)
	}
	u.post(store+"/files/"+two, `{"attributes":{"part":"b"}}`)
	a = u.get(store + "/files/" + two)
	equal(t, "changed", a.get("attributes").Raw+a.get("status").Str, `{"part":"b"}completed`)
	a = u.get(store + "/files/" + two + "/content")
	equal(t, "content", string(a.body), `{"data":[{"type":"text","text":"twos"}],"has_more":false,"next_page":null,"object":"vector_store.file_content.page"}`)
	u.post(store+"/files", `{"file_id":"`+three+`"}`)
	has(t, "the latest first", idsIn(u.get(store+"/files")), []string{three, two, one})
	has(t, "behind", idsIn(u.get(store+"/files?order=asc&limit=1&after="+one)), []string{two})
	has(t, "before", idsIn(u.get(store+"/files?limit=1&before="+one)), []string{two})
	has(t, "of a state", idsIn(u.get(store+"/files?filter=failed")), nil)
	equal(t, "nothing", u.refused("POST", store+"/files", `{}`, 400), "missing_required_parameter file_id")
	equal(t, "no file", u.refused("POST", store+"/files", `{"file_id":"file-none"}`, 404), " file_id")
	u.do(u.request("GET", store+"/files/file-none/content", ""), 404)

	a = u.do(u.request("DELETE", store+"/files/"+two, ""), 200)
	equal(t, "taken out", a.get("object").Str, "vector_store.file.deleted")
	equal(t, "the file itself", string(u.get("/v1/files/"+two+"/content").body), "twos")
	equal(t, "then", counts(u.get(store))+u.get(store).get("usage_bytes").Raw, "0 2 0 0 29")
	u.do(u.request("DELETE", "/v1/files/"+one, ""), 200)
	has(t, "without a file that was deleted", idsIn(u.get(store+"/files")), []string{three})
	equal(t, "the vector store", u.do(u.request("DELETE", store, ""), 200).get("object").Str, "vector_store.deleted")
	u.do(u.request("GET", store+"/files/"+three, ""), 404)
}

func TestFileBatches(t *testing.T) {
	u := start(t)
	ids := []string{u.file("a"), u.file("b"), u.file("c"), u.file("d")}
	store := "/v1/vector_stores/" + u.post("/v1/vector_stores", `{"file_ids":["`+ids[3]+`"]}`).get("id").Str
	a := u.post(store+"/file_batches", fmt.Sprintf(`{"file_ids":[%q,%q],"attributes":{"of":"both"}}`, ids[0], ids[1]))
	batch := store + "/file_batches/" + a.get("id").Str
	equal(t, "at once", a.get("object").Str+" "+a.get("status").Str+" "+counts(a), "vector_store.files_batch in_progress 2 0 0 0 2")
	a = u.get(batch)
	equal(t, "when looked at", a.get("status").Str+" "+counts(a), "completed 0 2 0 0 2")
	has(t, "files of the batch", idsIn(u.get(batch+"/files")), []string{ids[1], ids[0]})
	equal(t, "attributes", u.get(store+"/files/"+ids[0]).get("attributes.of").Str, "both")

	a = u.post(store+"/file_batches", fmt.Sprintf(`{"files":[{"file_id":%q,"attributes":{"n":1}}]}`, ids[2]))
	second := store + "/file_batches/" + a.get("id").Str
	a = u.post(second+"/cancel", "")
	equal(t, "cancelled", a.get("status").Str+" "+counts(a), "cancelled 0 0 1 0 1")
	equal(t, "and remains", u.get(second).get("status").Str, "cancelled")
	equal(t, "its file", u.get(second+"/files").get("data.0.status").Str, "cancelled")
	equal(t, "what is done stays", u.post(batch+"/cancel", "").get("status").Str, "completed")
	equal(t, "the vector store", counts(u.get(store)), "0 3 1 0 4")
	all := idsIn(u.get(store + "/files"))
	slices.Sort(all)
	has(t, "all files", all, ids)
	equal(t, "both", u.refused("POST", store+"/file_batches", `{"file_ids":["`+ids[0]+`"],"files":[{"file_id":"`+ids[1]+`"}]}`, 400), " files")
	equal(t, "neither", u.refused("POST", store+"/file_batches", `{}`, 400), "missing_required_parameter file_ids")
}

func TestSearch(t *testing.T) {
	u := start(t)
	near, far := u.file("The quick brown fox"), u.file("A lazy dog sleeps")
	store := "/v1/vector_stores/" + u.post("/v1/vector_stores", `{}`).get("id").Str
	u.post(store+"/files", `{"file_id":"`+near+`","attributes":{"lang":"en","year":2024}}`)
	u.post(store+"/files", `{"file_id":"`+far+`"}`)
	a := u.post(store+"/search", `{"query":"quick fox"}`)
	for path, want := range map[string]string{"object": "vector_store.search_results.page", "search_query": `["quick fox"]`, "data.#.file_id": `["` + near + `","` + far + `"]`,
		"data.0.filename": "file.bin", "data.0.score": "1", "data.0.attributes": `{"lang":"en","year":2024}`,
		"data.0.content": `[{"type":"text","text":"The quick brown fox"}]`, "has_more": "false", "next_page": ""} {
		equal(t, path, a.get(path).String(), want)
	}
	for body, want := range map[string]string{
		`{"query":["lazy","dog"],"max_num_results":1}`:                                                                                         far,
		`{"query":"fox","ranking_options":{"score_threshold":0.5}}`:                                                                            near,
		`{"query":"dog","filters":{"type":"eq","key":"lang","value":"en"}}`:                                                                    near,
		`{"query":"dog","filters":{"type":"ne","key":"year","value":2024}}`:                                                                    far,
		`{"query":"dog","filters":{"type":"and","filters":[{"type":"eq","key":"lang","value":"en"},{"type":"eq","key":"year","value":2024}]}}`: near,
		`{"query":"dog","filters":{"type":"or","filters":[{"type":"eq","key":"lang","value":"de"},{"type":"eq","key":"year","value":2024}]}}`:  near,
	} {
		equal(t, body, u.post(store+"/search", body).get("data.#.file_id").Raw, `["`+want+`"]`)
	}
	equal(t, "more", u.post(store+"/search", `{"query":"x","max_num_results":1}`).get("has_more").Raw, "true")
	equal(t, "no query", u.refused("POST", store+"/search", `{}`, 400), "missing_required_parameter query")
	equal(t, "too many", u.refused("POST", store+"/search", `{"query":"x","max_num_results":51}`, 400), " max_num_results")
	equal(t, "a filter", u.refused("POST", store+"/search", `{"query":"x","filters":{"type":"like","key":"a","value":"b"}}`, 400), " filters")
}

// Many who put files into one vector store and look at it do not meet: what one is shown is not changed by another meanwhile.
func TestOneVectorStoreForMany(t *testing.T) {
	u := start(t)
	file := u.file("some words")
	store := "/v1/vector_stores/" + u.post("/v1/vector_stores", `{}`).get("id").Str
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				for _, one := range []*http.Request{u.request("POST", store+"/file_batches", `{"file_ids":["`+file+`"]}`), u.request("GET", store, ""),
					u.request("GET", store+"/files", ""), u.request("POST", store+"/search", `{"query":"words"}`), u.request("GET", "/v1/vector_stores", "")} {
					if a := u.try(one); a.err != nil || a.StatusCode != 200 || !gjson.ValidBytes(a.body) {
						t.Errorf("%s %s: %v %s", one.Method, one.URL.Path, a.err, a.body)
					}
				}
			}
		})
	}
	all.Wait()
	equal(t, "in the end", counts(u.get(store)), "0 1 0 0 1")
}

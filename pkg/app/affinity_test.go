package app_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/redistest"
)

// What was made through one replica is found through another, in its account, also by one that is started later; nobody's
// 404 of another account is ever seen.
func TestObjectsOfAFleet(t *testing.T) {
	_, url := upstream(t)
	server := redistest.Start(t)
	env := map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning}
	replicas := fleet(t, server, 2, env)
	made := families()
	ids := map[openai.Family][]string{}
	for family, op := range made {
		for i := range 6 { // two in each account
			ids[family] = append(ids[family], replicas[i%2].makeOne(t, op, tokenOfA))
		}
	}
	replicas[0].Stop()
	replicas[0] = fleet(t, server, 1, env)[0]
	shown := 0
	for _, op := range openai.Published() {
		o := op.Objects
		if o == nil || op.Method != "GET" || len(o.Slots) != 1 || o.Slots[0] == "" || strings.Count(op.Path, "/") > 4 {
			continue
		}
		for i, id := range ids[o.Slots[0]] {
			path := at(op, func(openai.Family) string { return id })
			for _, r := range replicas {
				if a := r.get(t, path, tokenOfToo); a.status != 200 {
					t.Errorf("%s, number %d: %d %s", path, i, a.status, a.body)
				}
				shown++
			}
		}
	}
	if shown < 200 {
		t.Errorf("%d were asked for", shown)
	}
	for family, all := range ids {
		for _, op := range openai.Published() {
			if o := op.Objects; o == nil || !o.Drops || o.Slots[0] != family {
				continue
			}
			for i, id := range all {
				path := at(op, func(openai.Family) string { return id })
				if a := replicas[i%2].call(t, "DELETE", path, tokenOfA, ""); a.status != 200 {
					t.Errorf("%s: %d %s", path, a.status, a.body)
				}
				if a := replicas[(i+1)%2].call(t, "DELETE", path, tokenOfA, ""); a.status != 404 || a.code() != "not_found" {
					t.Errorf("%s, deleted: %d %s", path, a.status, a.body)
				}
			}
		}
	}
}

// A stream's object is known when its first event arrives: a follow-up through another replica may come while the stream runs.
func TestObjectOfAStream(t *testing.T) {
	_, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 40, ChunkDelayMS: 25, Requests: 10}))
	replicas := fleet(t, redistest.Start(t), 2, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning})
	for range 3 {
		req, _ := http.NewRequestWithContext(t.Context(), "POST", replicas[0].url+"/v1/responses", strings.NewReader(`{"model":"gpt-4o-mini","input":"x","stream":true}`))
		req.Header.Set("Authorization", "Bearer "+tokenOfA)
		req.Header.Set("Content-Type", "application/json")
		resp, err := replicas[0].http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(resp.Body)
		id := ""
		for id == "" && lines.Scan() {
			id = gjson.Get(strings.TrimPrefix(lines.Text(), "data: "), "response.id").Str
		}
		if a := replicas[1].get(t, "/v1/responses/"+id, tokenOfA); a.status != 200 {
			t.Errorf("while the stream runs: %d %s", a.status, a.body)
		}
		if a := replicas[1].post(t, "/v1/responses", tokenOfA, `{"model":"gpt-4o-mini","input":"y","previous_response_id":"`+id+`"}`); a.status != 200 {
			t.Errorf("what goes on from it: %d %s", a.status, a.body)
		}
		if a := replicas[1].get(t, "/v1/responses/"+id, tokenOfB); a.status != 404 {
			t.Errorf("another client: %d %s", a.status, a.body)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

// What an answer tells of later is known as well: the result of a batch, the file of an upload, items of a response.
func TestObjectsThatComeLater(t *testing.T) {
	_, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning})
	for range 3 {
		file := gjson.Get(r.post(t, "/v1/files", tokenOfA, `{"purpose":"batch"}`).body, "id").Str
		batch := gjson.Get(r.post(t, "/v1/batches", tokenOfA, `{"input_file_id":"`+file+`"}`).body, "id").Str
		result := gjson.Get(r.get(t, "/v1/batches/"+batch, tokenOfA).body, "output_file_id").Str
		if a := r.get(t, "/v1/files/"+result+"/content", tokenOfA); a.status != 200 || !strings.Contains(a.body, result) {
			t.Errorf("the result of a batch: %d %s", a.status, a.body)
		}
		upload := gjson.Get(r.post(t, "/v1/uploads", tokenOfA, `{"filename":"x","purpose":"batch","bytes":1,"mime_type":"text/plain"}`).body, "id").Str
		part := r.postFile(t, "/v1/uploads/"+upload+"/parts", tokenOfA, "data", "x")
		whole := r.post(t, "/v1/uploads/"+upload+"/complete", tokenOfA, `{"part_ids":["`+part+`"]}`).body
		if a := r.get(t, "/v1/files/"+gjson.Get(whole, "file.id").Str, tokenOfA); a.status != 200 {
			t.Errorf("the file of an upload: %d %s, %s", a.status, a.body, whole)
		}
		answer := r.post(t, "/v1/responses", tokenOfA, `{"model":"gpt-4o-mini","input":"x"}`).body
		item := gjson.Get(answer, "output.0.id").Str
		again := `{"model":"gpt-4o-mini","input":[{"type":"item_reference","id":"` + item + `"}]}`
		if a := r.post(t, "/v1/responses", tokenOfA, again); a.status != 200 {
			t.Errorf("an item of an answer: %d %s", a.status, a.body)
		}
		if a := r.post(t, "/v1/responses", tokenOfB, again); a.status != 404 {
			t.Errorf("another client's item: %d %s", a.status, a.body)
		}
	}
}

// An item that is given back whole goes where it was made, the latest of several, and need not be known.
func TestItemsThatAreGivenBack(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning})
	ask := func(input string) (item, key string) {
		t.Helper()
		a := r.post(t, "/v1/responses", tokenOfA, `{"model":"gpt-4o-mini","input":`+input+`}`)
		if a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		sent := mock.Requests()
		return gjson.Get(a.body, "output.0.id").Str, sent[len(sent)-1].Key
	}
	whole := func(ids ...string) string {
		all := make([]string, len(ids))
		for i, id := range ids {
			all[i] = `{"type":"message","role":"assistant","id":"` + id + `","content":[]}`
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	first, _ := ask(`"x"`)
	keys := map[string]bool{}
	for range 6 {
		item, key := ask(`"x"`)
		keys[key] = true
		for _, input := range []string{whole(item), whole(first, item), whole(item, "msg_of_nobody")} {
			if _, again := ask(input); again != key {
				t.Errorf("%s: made with %s, given to %s", input, key, again)
			}
		}
	}
	if len(keys) != 3 {
		t.Errorf("all was made with %v", keys)
	}
}

// Objects of two accounts cannot meet in one call, and where no key of the account is left there is no answer in its place.
func TestAccountsOfObjects(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning})
	made := families()
	store := r.makeOne(t, made["vector_store"], tokenOfA)
	codes := map[string]int{}
	for range 6 {
		a := r.post(t, "/v1/vector_stores/"+store+"/files", tokenOfA, `{"file_id":"`+r.makeOne(t, made["file"], tokenOfA)+`"}`)
		codes[fmt.Sprint(a.status, a.code())]++
		if a.status == 400 && !strings.Contains(a.body, "two accounts") {
			t.Errorf("%s", a.body)
		}
	}
	if codes["200"] != 2 || codes["400invalid_request"] != 4 {
		t.Errorf("%v", codes)
	}
	lies := 0
	for i := 1; i <= 3; i++ { // without the keys of one account after the other
		mock.Fault(mockopenai.Fault{Key: keyNumber(i), Kind: "402"})
		r.chat(t, plain)
		switch a := r.get(t, "/v1/vector_stores/"+store, tokenOfA); {
		case a.status == 200:
		case a.status == 503 && a.code() == "no_available_key" && a.header.Get("Retry-After") != "":
			lies++
			if a := r.get(t, "/v1/vector_stores/"+store, tokenOfA); a.status != 503 || !strings.Contains(a.body, "of the account in which the stored object lies") {
				t.Errorf("once it is known: %d %s", a.status, a.body)
			}
		default:
			t.Errorf("%d %s", a.status, a.body)
		}
		mock.Fault(mockopenai.Fault{Key: keyNumber(i), Kind: "none"})
		if a := r.manage(t, "POST", "/api/keys/"+string(rune('a'+i-1))+"/reset", "", nil); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if lies != 1 {
		t.Errorf("it lies in %d accounts", lies)
	}
}

// While the state is away nobody is told that something is not there: what was made meanwhile is found where it was made, all
// else is unknown; afterwards every replica finds both.
func TestObjectsWhileRedisIsAway(t *testing.T) {
	_, url := upstream(t)
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	replicas := fleet(t, server, 2, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning,
		"hasty": "yes"})
	made := families()
	before := replicas[0].makeOne(t, made["file"], tokenOfA)
	server.Freeze()
	meanwhile := replicas[0].makeOne(t, made["file"], tokenOfA)
	if a := replicas[0].get(t, "/v1/files/"+meanwhile, tokenOfA); a.status != 200 {
		t.Errorf("made meanwhile: %d %s", a.status, a.body)
	}
	for _, id := range []string{before, "file-absent"} {
		if a := replicas[0].get(t, "/v1/files/"+id, tokenOfA); a.status != 503 || a.code() != "state_unavailable" {
			t.Errorf("%s: %d %s", id, a.status, a.body)
		}
	}
	server.Thaw()
	for _, id := range []string{before, meanwhile} {
		eventually(t, "both are found everywhere", func() bool {
			return replicas[0].get(t, "/v1/files/"+id, tokenOfA).status == 200 && replicas[1].get(t, "/v1/files/"+id, tokenOfA).status == 200
		})
	}
}

// With one account and one client nothing is asked of the state, and nothing remembered.
func TestOneAccountAsksNobody(t *testing.T) {
	_, url := upstream(t)
	server := redistest.Start(t)
	r := fleet(t, server, 1, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1), "CLIENT_TOKENS": `[{"id":"a","token":"` + tokenOfA + `"}]`})[0]
	made := families()
	id := r.makeOne(t, made["file"], tokenOfA)
	if a := r.get(t, "/v1/files/"+id, tokenOfA); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := r.get(t, "/v1/files?limit=5", tokenOfA); a.status != 200 || !strings.Contains(a.body, id) {
		t.Errorf("%d %s", a.status, a.body)
	}
	const calls = 1000
	if each, _ := roundTrips(t, server, calls, func() { r.get(t, "/v1/files/"+id, tokenOfA) }); each > .1 {
		t.Errorf("%.2f round trips a request", each)
	}
	if kept := server.Keys("oap:{o:*"); len(kept) != 0 {
		t.Errorf("remembered: %q", kept)
	}
}

package app_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"openai-api-proxy/pkg/mockopenai"
)

// The messages of a stored completion are listed to their end: their ids begin like that of a completion, and are none.
func TestMessagesOfStoredCompletions(t *testing.T) {
	_, origin := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": origin, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning})
	body := `{"model":"gpt-4o-mini","store":true,"messages":[{"role":"system","content":"1"},{"role":"user","content":"2"},{"role":"user","content":"3"}]}`
	own, foreign := r.post(t, "/v1/chat/completions", tokenOfA, body), r.post(t, "/v1/chat/completions", tokenOfB, body)
	id, other := gjson.Get(own.body, "id").Str, gjson.Get(foreign.body, "id").Str
	path := "/v1/chat/completions/" + id + "/messages?limit=1"
	var said []string
	for after := ""; ; {
		a := r.get(t, path+after, tokenOfA)
		if a.status != 200 {
			t.Fatalf("%s: %d %s", after, a.status, a.body)
		}
		said = append(said, gjson.Get(a.body, "data.0.content").Str)
		if after = "&after=" + gjson.Get(a.body, "data.0.id").Str; !gjson.Get(a.body, "has_more").Bool() {
			break
		}
	}
	if !slices.Equal(said, []string{"1", "2", "3"}) {
		t.Errorf("%q", said)
	}
	for _, after := range []string{other, other + "-0", id + "0-0"} { // another's, or nobody's
		if a := r.get(t, path+"&after="+after, tokenOfA); a.status != 404 || a.code() != "not_found" {
			t.Errorf("after %s: %d %s", after, a.status, a.body)
		}
	}
}

// A list is filtered by what stands in metadata, and by what does not.
func TestListsByMetadata(t *testing.T) {
	_, origin := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": origin, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning})
	var ids []string
	for _, metadata := range []string{`{"team":"x"}`, `{"team":""}`, `{"other":"x"}`, `{"team":"x","other":"x"}`, `null`} {
		a := r.post(t, "/v1/fine_tuning/jobs", tokenOfA, `{"model":"gpt-4o-mini","metadata":`+metadata+`}`)
		ids = append(ids, gjson.Get(a.body, "id").Str)
	}
	for query, want := range map[string][]int{
		"metadata[team]=x": {3, 0}, "metadata[team]=": {1}, "metadata[team]=x&metadata[other]=x": {3}, "metadata=null": {4},
		"metadata[none]=": {}, "metadata[none]=null": {}, "metadata=": {4, 3, 2, 1, 0},
	} {
		var wanted []string
		for _, i := range want {
			wanted = append(wanted, ids[i])
		}
		if got := r.pages(t, "/v1/fine_tuning/jobs?limit=2&"+query, tokenOfToo); !slices.Equal(got, wanted) {
			t.Errorf("%s: %q, want %q", query, got, wanted)
		}
	}
}

// What an account has sealed goes back to that account, although nothing of it is stored.
func TestSealedContent(t *testing.T) {
	mock, origin := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": origin, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning})
	const ask = `{"model":"gpt-4o-mini","store":false,"stream":%t,"include":["reasoning.encrypted_content"],"input":[%s{"role":"user","content":"x"}]}`
	withoutIDs := regexp.MustCompile(`"id":"[^"]*",`)
	for i := range 12 {
		a := r.post(t, "/v1/responses", tokenOfA, fmt.Sprintf(ask, i%2 == 0, ""))
		output := gjson.Get(a.body, "output")
		for _, event := range a.events() {
			if done := gjson.Get(event, "response.output"); done.Get("#").Int() > 0 {
				output = done
			}
		}
		if output.Get("#").Int() != 2 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		said := output.Raw[1:len(output.Raw)-1] + ","
		for name, said := range map[string]string{"whole": said, "without ids": withoutIDs.ReplaceAllString(said, "")} {
			if a := r.post(t, "/v1/responses", tokenOfA, fmt.Sprintf(ask, false, said)); a.status != 200 {
				t.Errorf("given back %s: %d %s", name, a.status, a.body)
			}
		}
		a = r.post(t, "/v1/responses/compact", tokenOfA, `{"model":"gpt-4o-mini","input":[`+said+`{"role":"user","content":"x"}]}`)
		compacted := gjson.Get(a.body, "output.0").Raw + ","
		if a := r.post(t, "/v1/responses", tokenOfA, fmt.Sprintf(ask, false, compacted)); a.status != 200 {
			t.Errorf("compacted: %d %s", a.status, a.body)
		}
	}
	for i := 1; i <= 3; i++ {
		if mock.Stats()[keyNumber(i)].Requests < 4 {
			t.Errorf("account %d got nearly nothing of it", i)
		}
	}
}

// A stream is shown again of a response that failed: that is no new failure of the key.
func TestFailuresShownAgain(t *testing.T) {
	set := mockopenai.DefaultSettings()
	set.Accounts = map[string]string{keyNumber(1): "one", keyNumber(2): "one", keyNumber(3): "one"}
	mock, origin := upstream(t, mockopenai.WithSettings(set))
	r := start(t, map[string]string{"OPENAI_BASE_URL": origin, "OPENAI_API_KEYS": oneAccount(), "CLIENT_TOKENS": owning})
	a := r.post(t, "/v1/responses", tokenOfA, `{"model":"gpt-4o-mini","input":"x","background":true,"stream":true}`)
	path := "/v1/responses/" + gjson.Get(a.events()[0], "response.id").Str
	mock.Fault(mockopenai.Fault{Key: "*", Kind: "error_mid", AfterChunks: 4, Path: path})
	for range 40 {
		if a := r.get(t, path+"?stream=true&starting_after=1", tokenOfA); a.status != 200 || a.err != nil || len(a.events()) != 5 {
			t.Fatalf("%d %v %s", a.status, a.err, a.body)
		}
	}
	eventually(t, "all are counted", func() bool { return r.stats(t).Totals.Requests == 41 })
	for _, k := range r.stats(t).Keys {
		if k.State != "active" || k.Failures != 0 {
			t.Errorf("%+v", k)
		}
	}
}

// events are the data of the events in a stream.
func (a answer) events() (all []string) {
	for line := range strings.Lines(a.body) {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			all = append(all, strings.TrimSpace(data))
		}
	}
	return all
}

package app_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A list shows what can be reached when the keys of an account are gone, and says how much it leaves out; one of which nothing can be
// reached says why, and is not empty.
func TestListsWithoutAnAccount(t *testing.T) {
	_, url := upstream(t)
	var keys []string
	for i, account := range []string{"x", "y"} {
		keys = append(keys, fmt.Sprintf(`{"id":"k%d","key":%q,"account":%q}`, i+1, keyNumber(i+1), account))
	}
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": "[" + keys[0] + "]", "CLIENT_TOKENS": owning})
	manage := func(method, path, body string) {
		t.Helper()
		if a := r.manage(t, method, path, body, nil); a.status/100 != 2 {
			t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
		}
	}
	made := families()
	inX := []string{r.makeOne(t, made["file"], tokenOfA), r.makeOne(t, made["file"], tokenOfA)}
	onlyX := r.makeOne(t, made["vector_store"], tokenOfA)
	manage("POST", "/api/keys", keys[1])
	manage("PATCH", "/api/keys/k1", `{"enabled":false}`)
	inY := []string{r.makeOne(t, made["file"], tokenOfA), r.makeOne(t, made["file"], tokenOfA)}
	slices.Reverse(inY)
	for _, limit := range []int{1, 2, 3, 100} {
		if got := r.pages(t, fmt.Sprintf("/v1/files?limit=%d", limit), tokenOfA); !slices.Equal(got, inY) {
			t.Errorf("%d a page: %q, want %q", limit, got, inY)
		}
	}
	if a := r.get(t, "/v1/files", tokenOfA); a.header.Get("X-Proxy-Left-Out") != "2" {
		t.Errorf("%q are left out", a.header.Get("X-Proxy-Left-Out"))
	}
	a := r.get(t, "/v1/vector_stores", tokenOfA)
	if a.status != 503 || a.code() != "no_available_key" || !strings.Contains(a.body, "no key is left of the account in which these objects lie") {
		t.Errorf("of which nothing can be reached: %d %s", a.status, a.body)
	}
	if l := r.page(t, "/v1/vector_stores?after="+onlyX, tokenOfA); len(l.Data) != 0 {
		t.Errorf("behind the last: %+v", l)
	}
	if l := r.page(t, "/v1/batches", tokenOfA); len(l.Data) != 0 {
		t.Errorf("nothing was made: %+v", l)
	}
	manage("PATCH", "/api/keys/k1", `{"enabled":true}`)
	slices.Reverse(inX)
	if got := r.pages(t, "/v1/files", tokenOfA); !slices.Equal(got, append(inY, inX...)) {
		t.Errorf("with a key again: %q", got)
	}
	if a := r.get(t, "/v1/vector_stores", tokenOfA); a.status != 200 || a.header.Get("X-Proxy-Left-Out") != "" {
		t.Errorf("%d %v", a.status, a.header)
	}
}

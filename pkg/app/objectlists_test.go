package app_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"openai-api-proxy/pkg/openai"
)

// listing is a page of objects.
type listing struct {
	Object  string
	Data    []struct{ ID string }
	FirstID *string `json:"first_id"`
	LastID  *string `json:"last_id"`
	HasMore bool    `json:"has_more"`
}

func (r *rig) page(t testing.TB, path, token string) (l listing) {
	t.Helper()
	a := r.get(t, path, token)
	if err := json.Unmarshal([]byte(a.body), &l); a.status != 200 || err != nil || l.Object != "list" {
		t.Fatalf("%s: %d %s", path, a.status, a.body)
	}
	if n := len(l.Data); n > 0 && (*l.FirstID != l.Data[0].ID || *l.LastID != l.Data[n-1].ID) || n == 0 && l.FirstID != nil {
		t.Errorf("%s: its ends are not those of the list: %s", path, a.body)
	}
	if strings.Contains(a.body, marker(tokenOfB)) != (token == tokenOfB && len(l.Data) > 0) {
		t.Errorf("%s shows what is another's, or nothing: %s", path, a.body)
	}
	return l
}

// A list holds what the client and its group made, in whatever account, page by page, in both orders.
func TestListsOfObjects(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning})
	made, count := families(), 0
	for _, op := range openai.Published() {
		if op.Objects == nil || op.Objects.Lists == nil {
			continue
		}
		count++
		family := op.Objects.Lists.Family
		t.Run(string(family), func(t *testing.T) {
			if l := r.page(t, op.Path, tokenOfA); len(l.Data) != 0 || l.HasMore {
				t.Fatalf("before anything was made: %+v", l)
			}
			var ours []string // the newest first
			for i := range 7 {
				token := []string{tokenOfA, tokenOfToo}[i%2]
				ours = slices.Insert(ours, 0, r.makeOne(t, made[family], token))
				r.makeOne(t, made[family], tokenOfB)
			}
			for _, limit := range []int{1, 3, 7, 100} {
				for order, want := range map[string][]string{"desc": ours, "asc": reversed(ours)} {
					if got := r.pages(t, fmt.Sprintf("%s?limit=%d&order=%s", op.Path, limit, order), tokenOfToo); !slices.Equal(got, want) {
						t.Errorf("by %d, %s: %q, want %q", limit, order, got, want)
					}
				}
			}
			theirs := r.page(t, op.Path, tokenOfB)
			for query, status := range map[string]int{"?after=" + theirs.Data[0].ID: 404, "?after=x": 404, "?limit=0": 400, "?limit=x": 400, "?order=up": 400, "?what=x": 400} {
				if a := r.get(t, op.Path+query, tokenOfA); a.status != status {
					t.Errorf("%s: %d %s", query, a.status, a.body)
				}
			}
			if op.Objects.Lists.Before {
				if l := r.page(t, op.Path+"?limit=2&before="+ours[3], tokenOfA); len(l.Data) != 2 || l.Data[0].ID != ours[1] || l.Data[1].ID != ours[2] || !l.HasMore {
					t.Errorf("before %s of %q: %+v", ours[3], ours, l)
				}
			}
		})
	}
	if count < 10 {
		t.Errorf("%d lists", count)
	}
	used := mock.Stats()
	for i := 1; i <= 3; i++ {
		if used[keyNumber(i)].Requests == 0 {
			t.Errorf("account %d has nothing of it", i)
		}
	}
}

// pages are the ids of all pages.
func (r *rig) pages(t testing.TB, path, token string) (ids []string) {
	t.Helper()
	for at := path; ; {
		l := r.page(t, at, token)
		for _, o := range l.Data {
			ids = append(ids, o.ID)
		}
		if !l.HasMore || len(ids) > 50 {
			return ids
		}
		at = path + "&after=" + *l.LastID
	}
}

func reversed(ids []string) []string {
	ids = slices.Clone(ids)
	slices.Reverse(ids)
	return ids
}

// A filter leaves out what has another value, wherever that lies.
func TestFilteredLists(t *testing.T) {
	_, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning})
	var want []string
	for i := range 9 {
		purpose := []string{"batch", "assistants", "user_data"}[i%3]
		id := gjson.Get(r.post(t, "/v1/files", tokenOfA, `{"purpose":"`+purpose+`"}`).body, "id").Str
		if purpose == "batch" {
			want = slices.Insert(want, 0, id)
		}
	}
	for _, limit := range []string{"1", "2", "3", "50"} {
		if got := r.pages(t, "/v1/files?purpose=batch&limit="+limit, tokenOfA); !slices.Equal(got, want) {
			t.Errorf("by %s: %q, want %q", limit, got, want)
		}
	}
	if a := r.get(t, "/v1/batches?purpose=batch", tokenOfA); a.status != 400 {
		t.Errorf("a filter that this list has not: %d %s", a.status, a.body)
	}
}

// Who waits for a batch by looking at the list has its result all the same, and nobody else does.
func TestListsTellOfResults(t *testing.T) {
	_, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning})
	for range 3 {
		file := r.uploadLines(t, tokenOfA, "")
		r.post(t, "/v1/batches", tokenOfA, `{"input_file_id":"`+file+`"}`)
	}
	results := gjson.Get(r.get(t, "/v1/batches", tokenOfA).body, "data.#.output_file_id").Array()
	if len(results) != 3 {
		t.Fatalf("%v", results)
	}
	for _, id := range results {
		if a := r.get(t, "/v1/files/"+id.Str+"/content", tokenOfA); a.status != 200 || !strings.Contains(a.body, id.Str) {
			t.Errorf("a result: %d %s", a.status, a.body)
		}
		if a := r.get(t, "/v1/files/"+id.Str+"/content", tokenOfB); a.status != 404 {
			t.Errorf("another client: %d %s", a.status, a.body)
		}
	}
	before := r.page(t, "/v1/files", tokenOfToo).Data
	r.get(t, "/v1/batches", tokenOfToo)
	if after := r.page(t, "/v1/files", tokenOfToo).Data; len(after) != 6 || !slices.Equal(after, before) {
		t.Errorf("looking again moves them: %v, then %v", before, after)
	}
}

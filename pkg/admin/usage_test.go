package admin

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestStats(t *testing.T) {
	r := newRig(t)
	r.fill(5)
	for range 2 {
		r.finished("k000002", "a", "m1", 200)
	}
	r.finished("k000003", "b", "m2", 500)
	a := r.do("GET", "/api/stats", "").want(t, 200)
	if totals := a.doc["totals"].(map[string]any); totals["requests"] != 3.0 || totals["failures"] != 1.0 || len(a.doc["keys"].([]any)) != 7 {
		t.Errorf("stats %s", a.body)
	}
	a = r.do("GET", "/api/stats?top=1", "").want(t, 200)
	for kind, id := range map[string]string{"keys": "k000002", "clients": "a", "models": "m1"} {
		list := a.doc[kind].([]any)
		if len(list) != 1 || list[0].(map[string]any)["id"] != id {
			t.Errorf("top of %s: %v", kind, list)
		}
	}
	r.do("GET", "/api/stats?top=0", "").want(t, 400, "invalid_request")
}

func TestSeries(t *testing.T) {
	r := newRig(t)
	for i, model := range []string{"m1", "m1", "m1", "m2", "m2", "m3"} {
		r.finished("of-env", []string{"a", "b"}[i%2], model, 200)
	}
	series := func(query string) []any {
		return r.do("GET", "/api/usage?"+query, "").want(t, 200).doc["series"].([]any)
	}
	total := series("")
	if len(total) != 1 || total[0].(map[string]any)["totals"].(map[string]any)["requests"] != 6.0 {
		t.Errorf("total %v", total)
	}
	mean := total[0].(map[string]any)["totals"].(map[string]any)["latencyMs"].(float64)
	if mean != 20 {
		t.Errorf("mean of requests of 20 ms each: %v", mean)
	}
	models := series("by=model&top=1&step=hour")
	if len(models) != 2 || models[0].(map[string]any)["model"] != "m1" || models[1].(map[string]any)["id"] != "other" ||
		models[1].(map[string]any)["totals"].(map[string]any)["requests"] != 3.0 {
		t.Errorf("models %v", models)
	}
	pairs := series("by=client-model&step=day&id=" + url.QueryEscape("a/m1"))
	if len(pairs) != 1 || pairs[0].(map[string]any)["client"] != "a" || pairs[0].(map[string]any)["model"] != "m1" ||
		pairs[0].(map[string]any)["totals"].(map[string]any)["requests"] != 2.0 {
		t.Errorf("pairs %v", pairs)
	}
	if old := series("from=2020-01-01T00:00:00Z&to=2020-01-01T01:00:00Z"); len(old) != 0 {
		t.Errorf("long ago: %v", old)
	}
	for _, query := range []string{"step=week", "from=yesterday", "by=pool", "id=x", "from=2020-01-02T00:00:00Z&to=2020-01-01T00:00:00Z",
		"from=2020-01-01T00:00:00Z&to=2021-01-01T00:00:00Z", "top=0", "step=hour&step=day"} {
		r.do("GET", "/api/usage?"+query, "").want(t, 400, "invalid_request")
	}
}

func TestRequests(t *testing.T) {
	r := newRig(t)
	began := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	r.finished("k1", "a", "m1", 200)
	r.finished("k2", "a", "m2", 429)
	r.finished("k2", "b", "m2", 503)
	for query, want := range map[string]int{
		"": 3, "client=a": 2, "key=k2": 2, "model=m2&client=b": 1, "status=429": 1, "status=2xx": 1, "status=4xx": 1, "status=error": 2,
		"outcome=succeeded": 1, "minMs=20": 3, "minMs=21": 0, "replica=r1": 3, "replica=r2": 0, "operation=/v1/chat/completions": 3,
		"from=" + began: 3, "to=" + began: 0, "limit=2": 2,
	} {
		if a := r.do("GET", "/api/requests?"+query, "").want(t, 200); len(a.data()) != want {
			t.Errorf("%q: %d, want %d", query, len(a.data()), want)
		}
	}
	first := r.do("GET", "/api/requests?limit=2", "").want(t, 200)
	if first.data()[0]["client"] != "b" {
		t.Errorf("not the newest first: %s", first.body)
	}
	rest := r.do("GET", "/api/requests?limit=2&after="+first.doc["next"].(string), "").want(t, 200)
	if len(rest.data()) != 1 || rest.data()[0]["client"] != "a" || rest.doc["next"] != nil {
		t.Errorf("the rest: %s", rest.body)
	}
	newest := first.doc["newest"].(string)
	if a := r.do("GET", "/api/requests?newer="+newest, "").want(t, 200); len(a.data()) != 0 {
		t.Errorf("newer: %s", a.body)
	}
	r.finished("k1", "c", "m1", 200)
	a := r.do("GET", "/api/requests?newer="+newest, "").want(t, 200)
	if len(a.data()) != 1 || a.data()[0]["client"] != "c" {
		t.Fatalf("newer: %s", a.body)
	}
	id := a.data()[0]["id"].(string)
	if one := r.do("GET", "/api/requests/"+id, "").want(t, 200); one.doc["id"] != id || one.doc["totalMs"] != 20.0 || one.doc["tokensBasis"] != "exact" {
		t.Errorf("one: %s", one.body)
	}
	r.do("GET", "/api/requests/req_no-such", "").want(t, 404, "not_found")
	for _, query := range []string{"status=600", "status=xx", "after=nowhere", "newer=nowhere", "minMs=-1", "limit=1001", "outcome=lost"} {
		if a := r.do("GET", "/api/requests?"+query, "").want(t, 400, "invalid_request"); strings.Contains(a.body, "nowhere") {
			t.Errorf("repeated: %s", a.body)
		}
	}
}

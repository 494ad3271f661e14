package admin

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/proxy"
)

func TestKeyFromItsMakingToItsEnd(t *testing.T) {
	r := newRig(t)
	secret := secretNumber(1)
	made := r.do("POST", "/api/keys", text(map[string]any{"key": secret, "account": "org-a", "weight": 2, "tags": []string{"eu", "new"}, "quota": 500,
		"models": []string{"gpt-4o*"}, "note": "hello"})).want(t, 201)
	id := made.doc["id"].(string)
	if made.header.Get("Location") != "/api/keys/"+id || made.doc["key"] != "sk-...0001" || made.doc["state"] != "active" || made.doc["source"] != "api" {
		t.Errorf("made: %s", made.body)
	}
	tag := made.header.Get("ETag")
	if got := r.do("GET", "/api/keys/"+id, "").want(t, 200); got.header.Get("ETag") != tag || got.doc["note"] != "hello" {
		t.Errorf("read: %s", got.body)
	}
	changed := r.do("PATCH", "/api/keys/"+id, `{"note":null,"weight":7,"enabled":false}`, "Content-Type", patchType, "If-Match", tag).want(t, 200)
	if changed.doc["note"] != "" || changed.doc["weight"] != 7.0 || changed.doc["state"] != "disabled" || changed.doc["account"] != "org-a" {
		t.Errorf("changed: %s", changed.body)
	}
	r.do("PATCH", "/api/keys/"+id, `{"weight":8}`, "If-Match", tag).want(t, 409, "conflict")
	r.do("DELETE", "/api/keys/"+id, "", "If-Match", tag).want(t, 409, "conflict")
	r.do("POST", "/api/keys", text(map[string]any{"key": secret})).want(t, 409, "conflict")
	r.do("DELETE", "/api/keys/"+id, "", "If-Match", changed.header.Get("ETag")).want(t, 204)
	r.do("GET", "/api/keys/"+id, "").want(t, 404, "not_found")
	r.do("DELETE", "/api/keys/"+id, "").want(t, 404, "not_found")
	r.do("PATCH", "/api/keys/"+id, `{}`).want(t, 404, "not_found")

	var actions []string
	for _, note := range r.do("GET", "/api/audit", "").want(t, 200).data() {
		actions = append(actions, note["action"].(string))
		if note["actor"] != "admin" || note["address"] != "127.0.0.1" || note["subject"] != id {
			t.Errorf("noted: %v", note)
		}
	}
	if want := []string{"key.delete", "key.update", "key.create"}; !slices.Equal(actions, want) {
		t.Errorf("noted %v, want %v", actions, want)
	}
}

func TestConfiguredKeysAreOnlyDisabled(t *testing.T) {
	r := newRig(t)
	for _, id := range []string{"of-file", "of-env"} {
		before := r.do("GET", "/api/keys/"+id, "").want(t, 200)
		if before.doc["revision"] != 0.0 || before.header.Get("ETag") != `"0"` || before.doc["created"] != nil {
			t.Errorf("%s: %s", id, before.body)
		}
		r.do("DELETE", "/api/keys/"+id, "").want(t, 409, "conflict")
		r.do("PATCH", "/api/keys/"+id, `{"weight":2}`).want(t, 409, "conflict")
		off := r.do("PATCH", "/api/keys/"+id, `{"enabled":false}`, "If-Match", `"0"`).want(t, 200)
		if off.doc["enabled"] != false || off.doc["overridden"] != true || off.doc["state"] != "disabled" {
			t.Errorf("%s: %s", id, off.body)
		}
		r.do("PATCH", "/api/keys/"+id, `{"enabled":true}`, "If-Match", `"0"`).want(t, 409, "conflict")
		on := r.do("PATCH", "/api/keys/"+id, `{"enabled":null}`).want(t, 200)
		if on.doc["enabled"] != true || on.doc["overridden"] != false || on.doc["revision"] != 0.0 {
			t.Errorf("%s: %s", id, on.body)
		}
	}
	r.do("POST", "/api/keys/delete", `{"ids":["of-file"]}`).want(t, 409, "conflict")
}

func TestNoKeysWithoutAnEncryptionKey(t *testing.T) {
	r := newRig(t, settings{noBox: true})
	r.do("POST", "/api/keys", text(map[string]any{"key": secretNumber(1)})).want(t, 409, "conflict")
	r.do("POST", "/api/keys/import", secretNumber(1), "Content-Type", plainType).want(t, 409, "conflict")
}

// fill adds keys 1 to n of ten accounts.
func (r *rig) fill(n int) {
	r.t.Helper()
	for begin := 1; begin <= n; begin += 5000 {
		var all []map[string]any
		for i := begin; i < min(begin+5000, n+1); i++ {
			all = append(all, map[string]any{"key": secretNumber(i), "id": fmt.Sprintf("k%06d", i), "account": fmt.Sprintf("acc-%d", i%10),
				"weight": i%5 + 1, "note": fmt.Sprintf("Number %d", i), "tags": []string{fmt.Sprintf("t%d", i%3)}})
		}
		a, _ := r.raw("POST", "/api/keys/import", text(all))
		if a.want(r.t, 200); a.doc["created"] != float64(len(all)) {
			r.t.Fatalf("imported: %.300s", a.body)
		}
	}
}

func TestListing(t *testing.T) {
	r := newRig(t)
	r.fill(30)
	r.do("PATCH", "/api/keys/k000003", `{"models":["o1"],"pool":"gold","enabled":false}`).want(t, 200)
	for range 3 {
		r.finished("k000007", "a", "m", 200)
	}
	r.finished("k000009", "a", "m", 500)
	for query, want := range map[string]string{
		"q=NUMBER+7":                             "k000007",
		"q=...0012":                              "k000012",
		"pool=gold":                              "k000003",
		"state=disabled":                         "k000003",
		"state=disabled,invalid":                 "k000003",
		"source=file":                            "of-file",
		"source=environment,file&sort=-id":       "of-file of-env",
		"account=acc-4":                          "k000004 k000014 k000024",
		"tag=t0&limit=2":                         "k000003 k000006",
		"tag=eu":                                 "of-file",
		"model=o1&q=k00000&limit=1":              "k000001",
		"model=o1&state=disabled":                "k000003",
		"sort=-requests&limit=2":                 "k000007 k000009",
		"sort=-failures&limit=1":                 "k000009",
		"sort=-weight&source=api&limit=1":        "k000029",
		"sort=account&source=api&limit=2":        "k000010 k000020",
		"sort=created&limit=2":                   "of-env of-file",
		"sort=-state&limit=1":                    "k000003",
		"sort=weight&account=acc-4&state=active": "k000004 k000014 k000024",
		"q=nothing-has-this":                     "",
	} {
		a := r.do("GET", "/api/keys?"+query, "").want(t, 200)
		if got := strings.Join(a.ids(), " "); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	if all := r.do("GET", "/api/keys", "").want(t, 200); len(all.data()) != 32 || all.doc["total"] != 32.0 || all.doc["next"] != nil {
		t.Errorf("all: %v of %v", len(all.data()), all.doc["total"])
	}
	used := r.do("GET", "/api/keys/k000009", "").doc["usage"].(map[string]any)
	if used["requests"] != 1.0 || used["failures"] != 1.0 || used["successRate"] != 0.0 {
		t.Errorf("used: %v", used)
	}
}

// Whatever a list is sorted by, its pages together are the list, also when keys come and go between them.
func TestPages(t *testing.T) {
	r := newRig(t)
	r.fill(60)
	for _, order := range keyOrders {
		for _, dash := range []string{"", "-"} {
			sort := dash + order
			whole := r.do("GET", "/api/keys?limit=1000&sort="+sort, "").ids()
			var paged []string
			query := "limit=7&sort=" + sort
			for pages := 0; ; pages++ {
				a := r.do("GET", "/api/keys?"+query, "").want(t, 200)
				paged = append(paged, a.ids()...)
				next, more := a.doc["next"].(string)
				if !more {
					break
				}
				query = "limit=7&sort=" + sort + "&after=" + url.QueryEscape(next)
				if pages > 20 {
					t.Fatal("no end")
				}
			}
			if !slices.Equal(whole, paged) {
				t.Errorf("%s: pages %v\nwant %v", sort, paged, whole)
			}
		}
	}
	first := r.do("GET", "/api/keys?limit=5", "").want(t, 200)
	last := first.ids()[4]
	r.do("DELETE", "/api/keys/"+last, "").want(t, 204)
	r.do("POST", "/api/keys", text(map[string]any{"key": secretNumber(900), "id": "a-first"})).want(t, 201)
	second := r.do("GET", "/api/keys?limit=1&after="+first.doc["next"].(string), "").want(t, 200)
	if got := second.ids()[0]; got <= last || got != "k000006" {
		t.Errorf("after %s comes %s", last, got)
	}
	r.do("GET", "/api/keys?sort=weight&after="+first.doc["next"].(string), "").want(t, 400, "invalid_request")
}

func TestImport(t *testing.T) {
	r := newRig(t)
	lines := "\ufeff# two of them\n" + secretNumber(1) + "\r\n\n  " + secretNumber(2) + "\n" + secretNumber(1) + "\n" + fileSecret + "\nwith a space\n" + adminToken
	a := r.do("POST", "/api/keys/import?account=org-x&tags=a,b&weight=4&note=many&pool=p&models=gpt-4o*,o1", lines, "Content-Type", "text/plain; charset=utf-8").want(t, 200)
	var got imported
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, l := range got.Results {
		told = append(told, fmt.Sprintf("%d %s", l.Line, l.Status))
	}
	if want := []string{"2 created", "4 created", "5 exists", "6 exists", "7 invalid", "8 exists"}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	if got.Created != 2 || got.Skipped != 3 || got.Failed != 1 || got.Results[3].ID != "of-file" || got.Results[2].ID != got.Results[0].ID || got.Results[5].ID != "" {
		t.Errorf("told %s", a.body)
	}
	k := r.do("GET", "/api/keys/"+got.Results[1].ID, "").want(t, 200)
	if k.doc["account"] != "org-x" || k.doc["weight"] != 4.0 || k.doc["pool"] != "p" || !reflect.DeepEqual(k.doc["tags"], []any{"a", "b"}) ||
		!reflect.DeepEqual(k.doc["models"], []any{"gpt-4o*", "o1"}) || k.doc["note"] != "many" {
		t.Errorf("made %s", k.body)
	}
	objects := `["` + secretNumber(3) + `",{"key":"` + secretNumber(4) + `","account":"own"},{"key":"` + secretNumber(5) + `","wieght":2},7,null,{}]`
	a, _ = r.raw("POST", "/api/keys/import?account=org-y", objects)
	if a.want(t, 200); a.doc["created"] != 2.0 || a.doc["failed"] != 4.0 {
		t.Errorf("told %s", a.body)
	}
	if !strings.Contains(a.body, "did you mean") {
		t.Errorf("no hint: %s", a.body)
	}
	if own := r.do("GET", "/api/keys?account=own", "").data(); len(own) != 1 {
		t.Errorf("the default won over the element: %v", own)
	}
	r.do("POST", "/api/keys/import", strings.Repeat(secretNumber(1)+"\n", 5001), "Content-Type", plainType).want(t, 413, "request_too_large")
	r.do("POST", "/api/keys/import", "{}").want(t, 400, "invalid_request")
	r.do("POST", "/api/keys/import?weight=1001", secretNumber(6), "Content-Type", plainType).want(t, 400, "invalid_request")
	r.do("POST", "/api/keys/import?account=a+b", secretNumber(6), "Content-Type", plainType).want(t, 400, "invalid_request")
	if empty := r.do("POST", "/api/keys/import", "# nothing\n", "Content-Type", plainType).want(t, 200); empty.doc["created"] != 0.0 {
		t.Errorf("told %s", empty.body)
	}
}

func TestExport(t *testing.T) {
	r := newRig(t)
	r.fill(2500)
	a := r.do("GET", "/api/keys/export", "").want(t, 200)
	var all []map[string]any
	if err := json.Unmarshal([]byte(a.body), &all); err != nil || len(all) != 2502 {
		t.Fatalf("%d keys, %v", len(all), err)
	}
	for _, k := range all {
		if k["key"] != nil || k["id"] == "" {
			t.Fatalf("exported %v", k)
		}
	}
	a = r.do("GET", "/api/keys/export?source=file", "").want(t, 200)
	if want := `[{"id":"of-file","weight":3,"models":["gpt-4o*"],"quota":[{"requests":1000,"period":"day"}],"enabled":true,"note":"by the file","tags":["eu"]}` + "\n]"; a.body != want {
		t.Errorf("exported %s\nwant %s", a.body, want)
	}
	if a = r.do("GET", "/api/keys/export?q=no-such", ""); a.body != "[]" {
		t.Errorf("exported %s", a.body)
	}
	if note := r.do("GET", "/api/audit?limit=1", "").data()[0]; note["action"] != "key.export" {
		t.Errorf("noted %v", note)
	}
}

func TestDeleteMany(t *testing.T) {
	r := newRig(t)
	r.fill(20)
	a := r.do("POST", "/api/keys/delete", `{"ids":["k000001","no-such","k000002"]}`).want(t, 404, "not_found")
	if e := a.doc["error"].(map[string]any); e["param"] != "ids[1]" {
		t.Errorf("told %s", a.body)
	}
	if a := r.do("POST", "/api/keys/delete", `{"ids":["k000001","k000002","k000001"]}`).want(t, 200); a.doc["deleted"] != 2.0 {
		t.Errorf("told %s", a.body)
	}
	if a := r.do("GET", "/api/keys?source=api&limit=1", ""); a.doc["total"] != 18.0 {
		t.Errorf("left %v", a.doc["total"])
	}
}

func TestAskAndReset(t *testing.T) {
	r := newRig(t)
	r.fill(12)
	r.mock.Fault(mockopenai.Fault{Key: secretNumber(3), Kind: "401"})
	if a := r.do("POST", "/api/keys/k000003/test", "").want(t, 200); a.doc["ok"] != false || a.doc["outcome"] != "key_rejected" || a.doc["state"] != "invalid" {
		t.Fatalf("told %s", a.body)
	}
	if a := r.do("POST", "/api/keys/k000004/test", "").want(t, 200); a.doc["ok"] != true || a.doc["outcome"] != "served" || a.doc["status"] != 200.0 {
		t.Errorf("told %s", a.body)
	}
	many := r.do("POST", "/api/keys/test?source=api", "").want(t, 200)
	if many.doc["ok"] != 11.0 || many.doc["failed"] != 1.0 {
		t.Errorf("told %s", many.body)
	}
	if a := r.do("GET", "/api/keys?state=invalid", ""); strings.Join(a.ids(), " ") != "k000003" || a.data()[0]["nextProbe"] == nil || a.data()[0]["reason"] != "invalid" {
		t.Errorf("listed %s", a.body)
	}
	if a := r.do("POST", "/api/keys/k000003/reset", "").want(t, 200); a.doc["state"] != "active" {
		t.Errorf("reset %s", a.body)
	}
	two := r.do("POST", "/api/keys/test", `{"ids":["k000003","k000005"]}`).want(t, 200)
	if two.doc["ok"] != 1.0 {
		t.Errorf("told %s", two.body)
	}
	r.mock.Fault(mockopenai.Fault{Key: secretNumber(3), Kind: "none"})
	if a := r.do("POST", "/api/keys/reset", `{"ids":["k000003","k000005"]}`).want(t, 200); a.doc["reset"] != 2.0 {
		t.Errorf("told %s", a.body)
	}
	if a := r.do("GET", "/api/keys?state=invalid", ""); a.doc["total"] != 0.0 {
		t.Errorf("listed %s", a.body)
	}
	r.do("POST", "/api/keys/no-such/test", "").want(t, 404, "not_found")
	r.do("POST", "/api/keys/no-such/reset", "").want(t, 404, "not_found")
	r.do("POST", "/api/keys/reset", `{"ids":["no-such"]}`).want(t, 404, "not_found")
	r.do("POST", "/api/keys/test?q=k", `{"ids":["k000003"]}`).want(t, 400, "invalid_request")
	actions := text(r.do("GET", "/api/audit", "").data())
	for _, action := range []string{"key.test", "key.reset"} {
		if !strings.Contains(actions, action) {
			t.Errorf("%s is not noted", action)
		}
	}
}

// A field that keys or clients get has to be shown, here or on purpose not.
func TestEveryFieldIsShown(t *testing.T) {
	for _, c := range []struct {
		of, shown reflect.Type
		differs   map[string]string
	}{
		{reflect.TypeFor[proxy.Key](), reflect.TypeFor[keyAnswer](), map[string]string{"Secret": "Key", "Endpoint": "BaseURL"}},
		{reflect.TypeFor[proxy.Client](), reflect.TypeFor[clientAnswer](), map[string]string{"Zone": "TimeZone", "Strict": "Mode", "AllowUncounted": "OnStateLoss"}},
	} {
		for i := range c.of.NumField() {
			name := c.of.Field(i).Name
			if other := c.differs[name]; other != "" {
				name = other
			}
			if _, found := c.shown.FieldByName(name); !found {
				t.Errorf("%s.%s is not in %s", c.of, c.of.Field(i).Name, c.shown)
			}
		}
	}
}

package admin

import (
	"strings"
	"testing"
	"time"
)

// What was stored before is adopted by a client or a group, listed, and taken from it.
func TestObjectsAreAdopted(t *testing.T) {
	r := newRig(t)
	r.do("POST", "/api/keys", `{"id":"k1","key":"`+secretNumber(1)+`","account":"org-a"}`).want(t, 201)
	r.do("POST", "/api/clients", `{"id":"solo"}`).want(t, 201)
	r.do("POST", "/api/clients", `{"id":"one","group":"team"}`).want(t, 201)
	a := r.do("POST", "/api/objects", `{"client":"solo","account":"org-a","ids":["file-1","vs_1","file-2"],"created":"2026-01-02T03:04:05Z"}`).want(t, 200)
	if a.doc["adopted"] != 3.0 {
		t.Errorf("%s", a.body)
	}
	r.do("POST", "/api/objects", `{"group":"team","account":"org-a","family":"prompt","ids":["named-by-hand"]}`).want(t, 200)
	ids := func(query string) string {
		t.Helper()
		a := r.do("GET", "/api/objects?"+query, "").want(t, 200)
		var all []string
		for _, o := range a.data() {
			all = append(all, o["id"].(string))
			if o["account"] != "org-a" {
				t.Errorf("%v", o)
			}
		}
		if next, more := a.doc["next"].(string); more {
			all = append(all, "then "+next)
		}
		return strings.Join(all, " ")
	}
	for query, want := range map[string]string{"client=solo&family=file": "file-2 file-1", "client=solo&family=file&limit=1": "file-2 then file-2",
		"client=solo&family=file&after=file-2": "file-1", "client=solo&family=vector_store": "vs_1", "client=solo&family=batch": "",
		"client=one&family=prompt": "named-by-hand", "group=team&family=prompt": "named-by-hand", "client=default&family=file": ""} {
		if got := ids(query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	r.do("POST", "/api/objects/disown", `{"client":"solo","ids":["file-1","file-9"]}`).want(t, 200)
	if got := ids("client=solo&family=file"); got != "file-2" {
		t.Errorf("after one was disowned: %q", got)
	}
	note := r.do("GET", "/api/audit?limit=1", "").data()[0]
	if note["action"] != "object.disown" || note["subject"] != "c/solo" {
		t.Errorf("noted %v", note)
	}
	for body, status := range map[string]int{
		`{"account":"org-a","ids":["file-1"]}`:                                       400,
		`{"client":"solo","group":"team","account":"org-a","ids":["file-1"]}`:        400,
		`{"client":"nobody","account":"org-a","ids":["file-1"]}`:                     404,
		`{"group":"nobody","account":"org-a","ids":["file-1"]}`:                      404,
		`{"client":"solo","account":"org-z","ids":["file-1"]}`:                       400,
		`{"client":"solo","account":"org-a","ids":[]}`:                               400,
		`{"client":"solo","account":"org-a","ids":["what"]}`:                         400,
		`{"client":"solo","account":"org-a","ids":["file-1 2"]}`:                     400,
		`{"client":"solo","account":"org-a","family":"odd","ids":["file-1"]}`:        400,
		`{"client":"solo","account":"org-a","ids":["file-1"],"created":"yesterday"}`: 400,
	} {
		if a := r.do("POST", "/api/objects", body); a.status != status {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	r.do("GET", "/api/objects?client=solo", "").want(t, 400)
	r.do("GET", "/api/objects?client=solo&family=file&after=file-z", "").want(t, 404)
	r.store.Off(true)
	r.do("GET", "/api/objects?client=solo&family=file", "").want(t, 503, "state_unavailable")
	r.do("POST", "/api/objects", `{"client":"solo","account":"org-a","ids":["file-1"]}`).want(t, 503, "state_unavailable")
	r.do("POST", "/api/objects/disown", `{"client":"solo","ids":["file-1"]}`).want(t, 503, "state_unavailable")
}

// What would be forgotten at once is not adopted, and nothing of the same request is.
func TestAdoptedTooLate(t *testing.T) {
	r := newRig(t)
	r.do("POST", "/api/keys", `{"id":"k1","key":"`+secretNumber(1)+`","account":"org-a"}`).want(t, 201)
	r.do("POST", "/api/clients", `{"id":"solo"}`).want(t, 201)
	adopt := func(ids string, age time.Duration) reply {
		return r.do("POST", "/api/objects", `{"client":"solo","account":"org-a","ids":`+ids+`,"created":"`+time.Now().Add(-age).UTC().Format(time.RFC3339)+`"}`)
	}
	const day = 24 * time.Hour
	a := adopt(`["file-1","resp_1"]`, 31*day).want(t, 400)
	if message := a.message(); !strings.Contains(string(a.body), `"param":"created"`) || !strings.Contains(message, "resp_1") || !strings.Contains(message, "30 days") {
		t.Errorf("%s", a.body)
	}
	listed := func(family string) int {
		return len(r.do("GET", "/api/objects?client=solo&family="+family, "").want(t, 200).data())
	}
	if n := listed("file"); n != 0 {
		t.Errorf("%d files are adopted with what is refused", n)
	}
	adopt(`["resp_1"]`, 29*day).want(t, 200)
	adopt(`["file-1"]`, 300*day).want(t, 200)
	if listed("response") != 1 || listed("file") != 1 {
		t.Errorf("%d responses and %d files", listed("response"), listed("file"))
	}
}

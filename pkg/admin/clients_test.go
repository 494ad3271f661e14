package admin

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"openai-api-proxy/pkg/admission"
	"openai-api-proxy/pkg/openai"
)

func TestClientFromItsMakingToItsEnd(t *testing.T) {
	r := newRig(t)
	auth := func() map[string]any {
		return r.do("GET", "/api/settings", "").want(t, 200).doc["auth"].(map[string]any)
	}
	if now := auth(); now["mode"] != "keys" || now["permanent"] != false {
		t.Errorf("auth %v", now)
	}
	made := r.do("POST", "/api/clients", `{"id":"team-a","rpm":60,"models":["gpt-4o*"],"ips":["10.0.0.0/8"]}`).want(t, 201)
	token, _ := made.doc["token"].(string)
	if !strings.HasPrefix(token, "sk-proxy-") || made.header.Get("Location") != "/api/clients/team-a" || made.doc["burst"] != 60.0 {
		t.Fatalf("made %s", made.body)
	}
	if now := auth(); now["mode"] != "clients" || now["permanent"] != true {
		t.Errorf("auth %v", now)
	}
	read := r.do("GET", "/api/clients/team-a", "").want(t, 200)
	if strings.Contains(read.body, token) {
		t.Error("the token is shown again")
	}
	changed := r.do("PATCH", "/api/clients/team-a", `{"rpm":120,"burst":null,"ips":null}`, "If-Match", read.header.Get("ETag")).want(t, 200)
	if changed.doc["rpm"] != 120.0 || changed.doc["burst"] != 120.0 || len(changed.doc["ips"].([]any)) != 0 {
		t.Errorf("changed %s", changed.body)
	}
	r.do("PATCH", "/api/clients/team-a", `{"rpm":1}`, "If-Match", read.header.Get("ETag")).want(t, 409, "conflict")
	r.do("PATCH", "/api/clients/team-a", `{"token":"sk-test-another-token-0000001"}`).want(t, 400, "invalid_request")

	turned := r.do("POST", "/api/clients/team-a/rotate", `{"keepOldFor":"24h"}`).want(t, 200)
	tokens := turned.doc["tokens"].([]any)
	if turned.doc["token"] == token || len(tokens) != 2 || tokens[0].(map[string]any)["until"] != nil {
		t.Fatalf("rotated %s", turned.body)
	}
	until, err := time.Parse(time.RFC3339, tokens[1].(map[string]any)["until"].(string))
	if left := time.Until(until); err != nil || left < 23*time.Hour || left > 25*time.Hour {
		t.Errorf("kept until %s", until)
	}
	if again := r.do("POST", "/api/clients/team-a/rotate", "").want(t, 200); again.doc["token"] == turned.doc["token"] {
		t.Error("the same token")
	}
	for _, keep := range []string{"721h", "-1s", "1 day", "24"} {
		r.do("POST", "/api/clients/team-a/rotate", `{"keepOldFor":"`+keep+`"}`).want(t, 400, "invalid_request")
	}
	r.do("POST", "/api/clients", `{"id":"team-a"}`).want(t, 409, "conflict")
	r.do("POST", "/api/clients", `{"id":"team-b","token":"`+fileSecret+`"}`).want(t, 409, "conflict")
	r.do("DELETE", "/api/clients/team-a", "").want(t, 204)
	r.do("GET", "/api/clients/team-a", "").want(t, 404, "not_found")
	r.do("POST", "/api/clients/team-a/rotate", "").want(t, 404, "not_found")
	if now := auth(); now["mode"] != "clients" {
		t.Errorf("the v1 way is back: %v", now)
	}
	var actions []string
	for _, note := range r.do("GET", "/api/audit", "").data() {
		actions = append(actions, note["action"].(string))
	}
	want := []string{"client.delete", "client.rotate", "client.rotate", "client.update", "client.create"}
	if !slices.Equal(actions, want) {
		t.Errorf("noted %v, want %v", actions, want)
	}
}

func TestListingClients(t *testing.T) {
	r := newRig(t, settings{clients: true})
	for _, spec := range []string{`{"id":"a","rpm":10,"pool":"gold"}`, `{"id":"b","models":["o1"],"token":"sk-test-client-b-000000wxyz"}`, `{"id":"c","enabled":false,"rpm":5}`} {
		r.do("POST", "/api/clients", spec).want(t, 201)
	}
	r.finished("of-env", "c", "m", 200)
	for query, want := range map[string]string{
		"":                       "a b c env-client",
		"enabled=false":          "c",
		"source=environment":     "env-client",
		"pool=gold":              "a",
		"model=gpt-4o":           "a c env-client",
		"q=wxyz":                 "b",
		"sort=-rpm&limit=2":      "env-client a",
		"sort=-requests&limit=1": "c",
	} {
		if a := r.do("GET", "/api/clients?"+query, "").want(t, 200); strings.Join(a.ids(), " ") != want {
			t.Errorf("%s: %v, want %s", query, a.ids(), want)
		}
	}
	r.do("PATCH", "/api/clients/env-client", `{"rpm":1}`).want(t, 409, "conflict")
	if off := r.do("PATCH", "/api/clients/env-client", `{"enabled":false}`).want(t, 200); off.doc["overridden"] != true || off.doc["enabled"] != false {
		t.Errorf("disabled %s", off.body)
	}
	r.do("DELETE", "/api/clients/env-client", "").want(t, 409, "conflict")
	r.do("POST", "/api/clients/env-client/rotate", "").want(t, 409, "conflict")
}

// How the quotas stand is told in dollars, exactly, also of many clients; while the state is away it is not known, and the
// clients are listed all the same.
func TestBalancesOfClients(t *testing.T) {
	r := newRig(t)
	const quota = `"quota":[{"usd":0.5,"period":"month"},{"tokens":1000,"period":"total"}]`
	for i := range 40 {
		r.do("POST", "/api/clients", fmt.Sprintf(`{"id":"c%02d",%s}`, i, quota)).want(t, 201)
	}
	r.do("POST", "/api/clients", `{"id":"free"}`).want(t, 201)
	spend := admission.Ask{Op: &openai.Operation{Method: "POST", Path: "/v1/chat/completions", Model: openai.ModelInJSON},
		Head: &openai.Head{Model: "m", Readable: true}, Length: 30, Price: func(string, openai.Usage) (int64, bool) { return 7, true }}
	c, _ := r.Catalog.Current().Client("c07")
	p, err := r.permits.Admit(t.Context(), c.Client, spend)
	if err != nil {
		t.Fatal(err)
	}
	p.Settle(t.Context(), admission.Spent{Usage: openai.Usage{Input: 900, Output: 300, Basis: openai.Exact}, Cost: 123_456_789, Priced: true})
	const money, tokens = `{"measure":"usd","period":"month","limit":0.5,"used":0.123456789,"left":0.376543211,"resetsAt":"`,
		`{"measure":"tokens","period":"total","limit":1000,"used":1200,"left":0,"resetsAt":null}]`
	var one reply
	for range 6000 { // it is settled in the background
		if one = r.do("GET", "/api/clients/c07", "").want(t, 200); strings.Contains(one.body, money) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !strings.Contains(one.body, money) || !strings.Contains(one.body, tokens) {
		t.Errorf("one of them: %s", one.body)
	}
	all := r.do("GET", "/api/clients?limit=100", "").want(t, 200)
	if strings.Count(all.body, `"used":0,"left":0.5,`) != 39 || strings.Count(all.body, money) != 1 || !strings.Contains(all.body, `"balances":[]`) {
		t.Errorf("all of them: %s", all.body)
	}
	r.store.Off(true)
	if away := r.do("GET", "/api/clients?limit=100", "").want(t, 200); len(away.data()) != 41 || strings.Contains(away.body, `"measure"`) {
		t.Errorf("while the state is away: %s", away.body)
	}
}

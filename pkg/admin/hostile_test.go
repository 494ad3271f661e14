package admin

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// bodies are examples of what each operation with a body accepts.
var bodies = map[string]string{
	"POST /keys": `{"key":"%s"}`, "PATCH /keys/{id}": `{"weight":2}`, "POST /keys/import": `["%s"]`, "POST /keys/delete": `{"ids":["no-such"]}`,
	"POST /keys/test": `{"ids":["of-env"]}`, "POST /keys/reset": `{"ids":["of-env"]}`, "POST /clients": `{"token":"%s-client"}`,
	"PATCH /clients/{id}": `{"rpm":7}`, "POST /clients/{id}/rotate": `{"keepOldFor":"1h"}`, "PATCH /settings": `{"strategy":"random"}`,
	"POST /objects": `{"client":"mine","account":"mine","ids":["file-1"]}`, "POST /objects/disown": `{"client":"mine","ids":["file-1"]}`,
}

// Nothing of the management API is open, and nothing takes what is not in the document.
func TestHostileInput(t *testing.T) {
	r := newRig(t, settings{clients: true})
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	for _, o := range r.contract.operations() {
		path := "/api" + strings.ReplaceAll(o.path, "{id}", "of-env")
		for _, token := range []string{"", "Bearer", "Bearer " + clientToken, "Basic " + adminToken, "Bearer " + adminToken + "x"} {
			a, _ := r.raw(strings.ToUpper(o.method), path, "", "Authorization", token)
			if a.status != 401 && a.status != 429 {
				t.Errorf("%s: %q got %d", o.name(), token, a.status)
			}
		}
		a := r.do(strings.ToUpper(o.method), path+"?sk-test-unknown-parameter=1", bodies[o.name()])
		if a.status != 400 || strings.Contains(a.body, "sk-test-unknown") {
			t.Errorf("%s: an unknown parameter: %d %s", o.name(), a.status, a.body)
		}
		if a := r.do(strings.ToUpper(o.method), path+"?a=%zz", bodies[o.name()]); a.status != 400 {
			t.Errorf("%s: a broken query: %d", o.name(), a.status)
		}
		if o.is["requestBody"] == nil {
			continue
		}
		if bodies[o.name()] == "" {
			t.Errorf("%s has a body of which this test knows no example", o.name())
		}
		method, target := strings.ToUpper(o.method), path
		if strings.HasPrefix(o.path, "/clients/") {
			target = strings.ReplaceAll(path, "of-env", "env-client")
		}
		for name, c := range map[string]struct{ body, kind string }{
			"huge": {strings.Repeat("x", mostBody+1), jsonType}, "deep": {deep, jsonType}, "no JSON": {`{"a":`, jsonType}, "two texts": {`{} {}`, jsonType},
			"a text": {`"sk-test-in-the-wrong-place"`, jsonType}, "null": {`null`, jsonType}, "another type": {`{}`, "application/xml"},
			"a form": {"a=b", "application/x-www-form-urlencoded"}, "another charset": {`{}`, jsonType + "; charset=latin1"},
			"no UTF-8": {"{\"a\":\"\xff\"}", jsonType}, "an unknown member": {`{"sk-test-wrong-name-000001":1}`, jsonType},
			"a number for a list": {`{"ids":7,"models":7,"keepOldFor":7}`, jsonType},
		} {
			a := r.do(method, target, c.body, "Content-Type", c.kind)
			if want := map[string]int{"huge": 413}[name]; a.status != max(want, 400) && !(a.status == 409 && strings.Contains(a.body, "only enabled")) {
				t.Errorf("%s: %s: %d %.200s", o.name(), name, a.status, a.body)
			}
			if strings.Contains(a.body, "sk-test-") {
				t.Errorf("%s: %s is repeated: %s", o.name(), name, a.body)
			}
		}
		if a := r.do(method, target, "{}", "Content-Encoding", "gzip"); a.status != 400 {
			t.Errorf("%s: an encoded body: %d", o.name(), a.status)
		}
	}
}

func TestOddPaths(t *testing.T) {
	r := newRig(t)
	for _, id := range []string{"%20", "a%2Fb", "%00", "..", "%2e%2e", "a%5Cb", "%F0%9F%92%A9", "a;b", strings.Repeat("a", 5000), "sk-test-key-in-the-path-0001", "%22%3E%3Cscript%3E", "a%0D%0Ab"} {
		for _, method := range []string{"GET", "PATCH", "DELETE"} {
			a, _ := r.raw(method, "/api/keys/"+id, "{}")
			if a.status != 404 && a.status != 400 || strings.Contains(a.body, "sk-test") || strings.Contains(a.body, "script") {
				t.Errorf("%s %.40s: %d %s", method, id, a.status, a.body)
			}
		}
	}
	for _, method := range []string{"PUT", "POST", "OPTIONS", "TRACE", "HEAD", "QUERY"} {
		if a, _ := r.raw(method, "/api/keys/of-env", ""); a.status != 404 {
			t.Errorf("%s: %d", method, a.status)
		}
	}
	for _, match := range []string{`"x"`, `1`, `W/"1"`, `"1","2"`, `"-1"`, `""`} {
		if a := r.do("PATCH", "/api/keys/of-env", `{"enabled":true}`, "If-Match", match); a.status != 400 {
			t.Errorf("If-Match %s: %d", match, a.status)
		}
	}
}

// Canaries: no secret, nor twelve characters of one, is in any answer of any operation, nor in what is remembered of them,
// whatever field it is sent in. The operations are those of the document, so a new one is looked at by itself.
func TestSecretsAreNowhere(t *testing.T) {
	r := newRig(t, settings{clients: true})
	canary := func(s string) string { return "sk-test-" + s + strings.Repeat(s+"7q", 8) }
	secrets := map[string]string{"admin token": adminToken, "key of the file": fileSecret, "key of the environment": envSecret,
		"token of a client": clientToken, "key that was added": canary("kA"), "key in an array": canary("kB"), "token that was sent": canary("tC"),
		"key in a wrong field": canary("wD")}
	wrong := secrets["key in a wrong field"]
	made := r.do("POST", "/api/keys", text(map[string]any{"key": secrets["key that was added"], "id": "of-env-2"})).want(t, 201)
	var seen strings.Builder
	note := func(a reply) { fmt.Fprintln(&seen, a.status, a.header, a.body) }
	note(made)
	note(r.do("POST", "/api/keys/import", text([]string{secrets["key in an array"], "with a space " + wrong})).want(t, 200))
	// The one answer that may hold a token is that of who made it; here it is the operator's own.
	a := r.do("POST", "/api/clients", text(map[string]any{"id": "c1", "token": secrets["token that was sent"]})).want(t, 201)
	note(reply{body: strings.Replace(a.body, `"token":"`+secrets["token that was sent"]+`"`, "", 1)})

	for _, o := range r.contract.operations() {
		if o.path == "/events" {
			continue // TestEvents; what it tells is what the lists show
		}
		method := strings.ToUpper(o.method)
		for _, id := range []string{"of-env", "of-env-2", "env-client", "c1", url.PathEscape(wrong)} {
			path := "/api" + strings.ReplaceAll(o.path, "{id}", id)
			if method == "DELETE" && id != url.PathEscape(wrong) {
				continue
			}
			for _, body := range []string{"", `{}`, fmt.Sprintf(strings.ReplaceAll(bodies[o.name()], "%s", "%[1]s"), secrets["key that was added"]),
				text(map[string]any{"key": wrong, "weight": wrong}), text(map[string]any{wrong: wrong}), text([]any{wrong + " ", map[string]any{"id": wrong + "/"}}),
				text(map[string]any{"key": wrong, "note": "it is " + wrong}), text(map[string]any{"key": wrong, "id": wrong}),
				text(map[string]any{"key": secrets["key that was added"] + "-2", "tags": []string{adminToken}}), text(map[string]any{"account": fileSecret}),
				text(map[string]any{"id": wrong, "token": wrong}), text(map[string]any{"pool": clientToken}),
				text(map[string]any{"ids": []string{wrong}}), text(map[string]any{"keepOldFor": wrong}), text(map[string]any{"enabled": wrong}),
				text(map[string]any{"strategy": wrong, "failover." + wrong: 1})} {
				a, _ := r.raw(method, path, body)
				if strings.HasSuffix(o.path, "/rotate") || o.name() == "POST /clients" {
					if token, is := a.doc["token"].(string); is {
						a.body = strings.Replace(a.body, `"token":"`+token+`"`, "", 1)
					}
				}
				note(a)
				if !strings.Contains(o.path, "{id}") && id != "of-env" {
					break
				}
			}
			for _, name := range []string{"q", "state", "sort", "after", "limit", "from", "step", "account", wrong} {
				a, _ := r.raw(method, path+"?"+url.QueryEscape(name)+"="+url.QueryEscape(wrong), "")
				note(a)
			}
		}
	}
	for _, path := range []string{"/api/keys?limit=1000", "/api/clients", "/api/keys/export", "/api/audit?limit=1000", "/api/stats", "/api/settings", "/metrics"} {
		a, _ := r.raw("GET", path, "")
		note(a)
	}
	if seen.Len() < 100_000 || strings.Count(seen.String(), "\n200 ") < 50 {
		t.Errorf("only %d bytes, %d times 200", seen.Len(), strings.Count(seen.String(), "\n200 "))
	}
	for name, secret := range secrets {
		for i := 0; i+12 <= len(secret); i++ {
			if window := secret[i : i+12]; strings.Contains(seen.String(), window) && window != "sk-test-key-" {
				at := strings.Index(seen.String(), window)
				t.Errorf("%q of the %s is shown: ...%s...", window, name, seen.String()[max(0, at-300):min(seen.Len(), at+80)])
				break
			}
		}
	}
}

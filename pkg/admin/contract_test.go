package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// contract holds requests and answers against the document.
type contract struct {
	doc      map[string]any
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema // by pointer
	seen     map[string]bool               // operation and status
}

const documentURL = "https://example.test/openapi.json"

func newContract(t testing.TB, text []byte) *contract {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource(documentURL, doc); err != nil {
		t.Fatal(err)
	}
	return &contract{doc.(map[string]any), c, map[string]*jsonschema.Schema{}, map[string]bool{}}
}

// operation is one of the document, with the pointer to it.
type operation struct {
	method, path string // as written there: "/keys/{id}"
	pointer      string
	is           map[string]any
}

func (o operation) name() string { return strings.ToUpper(o.method) + " " + o.path }

func (c *contract) operations() (all []operation) {
	for path, item := range c.doc["paths"].(map[string]any) {
		for method, is := range item.(map[string]any) {
			if method == "parameters" {
				continue
			}
			pointer := "/paths/" + escape(path) + "/" + method
			all = append(all, operation{method, path, pointer, is.(map[string]any)})
		}
	}
	return all
}

func escape(s string) string {
	return url.PathEscape(strings.ReplaceAll(strings.ReplaceAll(s, "~", "~0"), "/", "~1"))
}

// find is the operation that a request is; a literal path wins over one with a slot.
func (c *contract) find(method, path string) (found operation, ok bool) {
	path = strings.TrimPrefix(path, "/api")
	for _, o := range c.operations() {
		if o.method != strings.ToLower(method) || !fits(o.path, path) {
			continue
		}
		if !ok || !strings.Contains(o.path, "{") {
			found, ok = o, true
		}
	}
	return found, ok
}

func fits(template, path string) bool {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if want[i] != got[i] && want[i] != "{id}" {
			return false
		}
	}
	return true
}

// at follows a pointer, through references.
func (c *contract) at(pointer string) (map[string]any, string) {
	var node any = c.doc
	for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		plain, _ := url.PathUnescape(part)
		plain = strings.ReplaceAll(strings.ReplaceAll(plain, "~1", "/"), "~0", "~")
		object, _ := node.(map[string]any)
		if node = object[plain]; node == nil {
			return nil, pointer
		}
	}
	object, _ := node.(map[string]any)
	if ref, is := object["$ref"].(string); is {
		return c.at(strings.TrimPrefix(ref, "#"))
	}
	return object, pointer
}

func (c *contract) schema(t testing.TB, pointer string) *jsonschema.Schema {
	t.Helper()
	if c.schemas[pointer] == nil {
		s, err := c.compiler.Compile(documentURL + "#" + pointer)
		if err != nil {
			t.Fatalf("%s: %v", pointer, err)
		}
		c.schemas[pointer] = s
	}
	return c.schemas[pointer]
}

func (c *contract) valid(t testing.TB, pointer string, text []byte) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return c.schema(t, pointer).Validate(v)
}

// checkRequest holds a request that was accepted against the document.
func (c *contract) checkRequest(t testing.TB, o operation, req *http.Request, body []byte) {
	t.Helper()
	documented := map[string]string{} // name to the pointer of its schema
	for _, base := range []string{o.pointer, o.pointer[:strings.LastIndex(o.pointer, "/")]} {
		node, _ := c.at(base)
		list, _ := node["parameters"].([]any)
		for _, p := range list {
			one, pointer := p.(map[string]any), ""
			if ref, is := one["$ref"].(string); is {
				one, pointer = c.at(strings.TrimPrefix(ref, "#"))
			}
			if pointer != "" {
				documented[one["name"].(string)] = pointer + "/schema"
			} else {
				documented[one["name"].(string)] = ""
			}
		}
	}
	for name := range req.URL.Query() {
		if _, known := documented[name]; !known {
			t.Errorf("%s: the parameter %s is accepted and not documented", o.name(), name)
		}
	}
	kind, _, _ := strings.Cut(req.Header.Get("Content-Type"), ";")
	if len(body) == 0 {
		return
	}
	pointer := o.pointer + "/requestBody/content/" + escape(kind) + "/schema"
	if node, _ := c.at(pointer); node == nil {
		t.Errorf("%s: a body of type %s is accepted and not documented", o.name(), kind)
	} else if kind != plainType {
		if err := c.valid(t, pointer, body); err != nil {
			t.Errorf("%s: accepted %.300s: %v", o.name(), body, err)
		}
	}
}

// checkAnswer holds an answer against the document.
func (c *contract) checkAnswer(t testing.TB, o operation, status int, header http.Header, body []byte) {
	t.Helper()
	c.seen[fmt.Sprintf("%s %d", o.name(), status)] = true
	node, pointer := c.at(fmt.Sprintf("%s/responses/%d", o.pointer, status))
	if node == nil {
		t.Errorf("%s: the status %d is not documented: %.200s", o.name(), status, body)
		return
	}
	if status == http.StatusTooManyRequests && header.Get("Retry-After") == "" {
		t.Errorf("%s: 429 without Retry-After", o.name())
	}
	if header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: may be cached", o.name())
	}
	content, _ := node["content"].(map[string]any)
	if content == nil {
		if len(body) > 0 {
			t.Errorf("%s %d: a body where none is documented: %.100s", o.name(), status, body)
		}
		return
	}
	kind, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	if content[kind] == nil {
		t.Errorf("%s %d: the type %q is not documented", o.name(), status, kind)
		return
	}
	if kind != jsonType {
		return
	}
	if err := c.valid(t, pointer+"/content/"+escape(kind)+"/schema", body); err != nil {
		t.Errorf("%s %d: %v\n%.600s", o.name(), status, err, body)
	}
	headers, _ := node["headers"].(map[string]any)
	for name := range headers {
		if header.Get(name) == "" {
			t.Errorf("%s %d: no header %s", o.name(), status, name)
		}
	}
}

// Every route that is mounted is in the document, and the other way round.
func TestRoutesAreDocumented(t *testing.T) {
	r := newRig(t)
	mounted := map[string]bool{}
	for _, route := range r.engine.Routes() {
		if path, is := strings.CutPrefix(route.Path, "/api/"); is {
			mounted[route.Method+" /"+strings.ReplaceAll(path, ":id", "{id}")] = true
		}
	}
	documented := map[string]bool{}
	ids := map[string]bool{}
	for _, o := range r.contract.operations() {
		documented[o.name()] = true
		if !mounted[o.name()] {
			t.Errorf("%s is documented and not mounted", o.name())
		}
		id, _ := o.is["operationId"].(string)
		if id == "" || ids[id] || o.is["summary"] == "" {
			t.Errorf("%s needs an operationId of its own and a summary", o.name())
		}
		ids[id] = true
	}
	for name := range mounted {
		if !documented[name] {
			t.Errorf("%s is mounted and not documented", name)
		}
	}
	if len(mounted) < 29 {
		t.Errorf("only %d routes", len(mounted))
	}
}

// Examples of the document are valid themselves.
func TestExamplesAreValid(t *testing.T) {
	r := newRig(t)
	n := 0
	var walk func(pointer string, node any)
	walk = func(pointer string, node any) {
		object, ok := node.(map[string]any)
		if !ok {
			return
		}
		if example, has := object["example"]; has && object["schema"] != nil && !strings.Contains(pointer, "headers") {
			text, _ := json.Marshal(example)
			if err := r.contract.valid(t, pointer+"/schema", text); err != nil {
				t.Errorf("%s: %v", pointer, err)
			}
			n++
		}
		for name, child := range object {
			walk(pointer+"/"+escape(name), child)
		}
	}
	walk("/paths", r.contract.doc["paths"])
	walk("/components/responses", r.contract.doc["components"].(map[string]any)["responses"])
	if n < 15 {
		t.Errorf("only %d examples", n)
	}
}

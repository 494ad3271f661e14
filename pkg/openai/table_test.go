package openai

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// The table as it is written down: every family is made, can be found again and, unless only a month takes it away, be
// deleted or listed; and nothing that is closed lies where somebody might look for something else.
func TestTable(t *testing.T) {
	seen, count := map[string]bool{}, map[Class]int{}
	for _, op := range Published() {
		at := op.Method + " " + op.Path
		if seen[at] {
			t.Errorf("%s stands there twice", at)
		}
		seen[at] = true
		count[op.Class]++
		under := isClosed(op.Path) || at == "DELETE /v1/models/{model}" || at == "POST /v1/realtime/calls" // beside what is open
		if shut := op.Class >= Administration; shut != under {
			t.Errorf("%s: closed %v, lies among what is closed %v", at, shut, under)
		}
		if op.Class == Stateful != (op.Objects != nil) {
			t.Errorf("%s: its objects are %+v", at, op.Objects)
		}
		checkObjects(t, at, op)
	}
	if count[Stateless] < 15 || count[Stateful] < 120 || count[Administration] < 110 || count[Minting] < 11 {
		t.Errorf("%v", count)
	}
}

func checkObjects(t *testing.T, at string, op Operation) {
	t.Helper()
	o := op.Objects
	if o == nil {
		return
	}
	if o.Drops && (len(o.Slots) == 0 || o.Slots[len(o.Slots)-1] == "") {
		t.Errorf("%s drops what has no owner", at)
	}
	if len(o.Slots) > 0 && o.Slots[0] == "" {
		t.Errorf("%s begins with an object of no family", at)
	}
	if o.Lists != nil && (op.Method != http.MethodGet || len(o.Slots) > 0 || o.Lists.Limit < 1 || o.Lists.Limit > o.Lists.Most) {
		t.Errorf("%s lists %+v", at, *o.Lists)
	}
}

func TestBadTables(t *testing.T) {
	for _, text := range []string{"GET /v1/x", "GET /v2/x stateless", "GET /v1/x odd", "GET /v1/x stateful odd", "GET /v1/x stateful makes=file",
		"GET /v1/x stateful makes=odd:id", "GET /v1/x stateless drops", "GET /v1/x stateful drops", "GET /v1/x stateful most=1",
		"GET /v1/x stateful lists=file most=many", "GET /v1/x stateful lists=odd", "GET /v1/x stateful when=ever", "GET /v1/x stateful runs=",
		"POST /v1/x stateless socket"} {
		if all, err := readTable("# a table\n\n" + text); err == nil {
			t.Errorf("%q is read as %+v", text, all)
		}
	}
}

// description is what is read of OpenAI's description: paths, and what each of them has.
type description struct {
	Info  struct{ Version string }
	Paths map[string]map[string]any
}

// What a newer description has that the table has not, and the other way round. It is a tool: see operations.txt.
func TestNewerDocument(t *testing.T) {
	path := os.Getenv("OPENAPI")
	if path == "" {
		t.Skip("OPENAPI names no description, a file of YAML or JSON")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var d description
	if strings.HasSuffix(path, ".json") {
		err = json.Unmarshal(text, &d)
	} else {
		err = yaml.Unmarshal(text, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	more, less := d.difference(Published())
	t.Logf("version %s: %d operations to add, %d gone", d.Info.Version, len(more), len(less))
	for _, at := range more {
		t.Errorf("+ %s", at)
	}
	for _, at := range less {
		t.Errorf("- %s", at)
	}
}

// difference lists what only the document has and what only the table has. Names of slots are each one's own affair.
func (d *description) difference(table []Operation) (more, less []string) {
	theirs, ours := map[string]string{}, map[string]string{}
	for path, item := range d.Paths {
		path, _, _ = strings.Cut(path, "?")
		for method := range item {
			if method = strings.ToUpper(method); slices.Contains(methods, method) {
				theirs[method+" "+unnamed("/v1"+path)] = fmt.Sprintf("%-6s /v1%s", method, path)
			}
		}
	}
	for _, op := range table {
		at := op.Method + " " + unnamed(op.Path)
		if op.Socket || op.Beyond && theirs[at] == "" {
			continue // the description has no sockets, and not everything that the SDKs have
		}
		if ours[at] = fmt.Sprintf("%-6s %s", op.Method, op.Path); theirs[at] == "" {
			less = append(less, ours[at])
		}
	}
	for at, text := range theirs {
		if ours[at] == "" {
			more = append(more, text)
		}
	}
	slices.Sort(more)
	slices.Sort(less)
	return more, less
}

// unnamed is a template whose slots have no names.
func unnamed(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if isSlot(s) {
			segments[i] = "{}"
		}
	}
	return strings.Join(segments, "/")
}

func TestDifference(t *testing.T) {
	d := description{Paths: map[string]map[string]any{"/files/{id}": {"get": 1, "head": 1, "summary": 1}, "/files?beta=true": {"post": 1}, "/new": {"post": 1}}}
	more, less := d.difference([]Operation{{Method: "GET", Path: "/v1/files/{file}"}, {Method: "POST", Path: "/v1/files"}, {Method: "GET", Path: "/v1/old"},
		{Method: "GET", Path: "/v1/beyond", Beyond: true}})
	if !slices.Equal(more, []string{"POST   /v1/new"}) || !slices.Equal(less, []string{"GET    /v1/old"}) {
		t.Errorf("%q, %q", more, less)
	}
}

// Package pkg_test holds the floors: which package may import which. It is policy, written down once; do not change it
// to make a build pass.
package pkg_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "openai-api-proxy/pkg/"

// may lists all project imports there are, besides those of proxy and openai, which anyone above them may use.
var may = map[string]string{
	"openai":           "",
	"proxy":            "openai",
	"price":            "",
	"state":            "",
	"state/memstate":   "state",
	"state/statetest":  "state",
	"state/redisstate": "state",
	"seal":             "",
	"trace":            "",
	"catalog":          "config seal state",
	"auth":             "state",
	"admission":        "state",
	"balancer":         "state",
	"journal":          "-",
	"usage":            "journal state",
	"alert":            "state",
	"http1":            "-",
	"upstream":         "http1",
	"relay":            "admission balancer price upstream usage",
	"edge":             "auth relay",
	"admin":            "auth admission balancer catalog usage state",
	"config":           "price",
	"redistest":        "-",
	"chaos":            "-",
	"rollout":          "-", // tests of the real binary
	"app":              "*",
	"mockopenai":       "-", // the upstream's side: nothing of ours
	"cmd/mockopenai":   "mockopenai",
	"cli":              "mockopenai",
	"openai-api-proxy": "app cli config state/redisstate",
}

func TestFloors(t *testing.T) {
	seen := 0
	for _, root := range []string{".", "../cmd"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "conformance" || d.Name() == "testdata") {
				return filepath.SkipDir // a module of its own
			}
			if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "statetest") {
				return nil
			}
			seen++
			checkFile(t, path)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 50 {
		t.Errorf("only %d files found", seen)
	}
}

func checkFile(t *testing.T, path string) {
	t.Helper()
	from := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../cmd/")
	if from == "mockopenai" && strings.HasPrefix(path, "../cmd/") {
		from = "cmd/mockopenai"
	}
	allowed, known := may[from]
	if !known {
		t.Errorf("%s: package %s is on no floor", path, from)
		return
	}
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	for _, spec := range f.Imports {
		full, _ := strconv.Unquote(spec.Path.Value)
		to, ours := strings.CutPrefix(full, module)
		if !ours || allowed == "*" {
			continue
		}
		ground := (to == "proxy" || to == "openai") && allowed != "-" && from != "openai" && to != from
		if !ground && !slices.Contains(strings.Fields(allowed), to) {
			t.Errorf("%s: %s may not import %s", path, from, to)
		}
	}
}

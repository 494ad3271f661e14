package config

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what is found over what is expected")

// vars are the variables of a test.
type vars map[string]string

// source has these variables, and the files of a folder.
func (v vars) source(dir string) Source {
	return Source{Dir: dir, ReadFile: os.ReadFile,
		Env: func(name string) (string, bool) { text, set := v[name]; return text, set }}
}

// files is a source without a disk.
func (v vars) files(files map[string]string) Source {
	src := v.source("")
	src.ReadFile = func(path string) ([]byte, error) {
		if text, ok := files[path]; ok {
			return []byte(text), nil
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return src
}

// load loads what has to be right.
func load(t *testing.T, src Source) *Config {
	t.Helper()
	c, err := Load(src)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// mistakes are those of what has to be wrong.
func mistakes(t *testing.T, src Source) string {
	t.Helper()
	c, err := Load(src)
	var ms Mistakes
	if !errors.As(err, &ms) || c != nil || len(ms) == 0 {
		t.Fatalf("a configuration that has mistakes gave %v, %v", c, err)
	}
	return err.Error()
}

// TestFixtures loads every file of testdata. Its name is the verdict: a good file is followed by what it prints as, a
// bad one by its mistakes. -update writes these, to be read before they are believed.
func TestFixtures(t *testing.T) {
	inJSON, _ := filepath.Glob("testdata/*.json") // the patterns are right, so there is no error
	inYAML, _ := filepath.Glob("testdata/*.yaml")
	paths := append(inJSON, inYAML...)
	if len(paths) < 20 {
		t.Fatalf("%d fixtures only", len(paths))
	}
	for _, path := range paths {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			src := vars{"CONFIG_FILE": name}.source("testdata")
			verdict, _, _ := strings.Cut(name, "_")
			switch verdict {
			case "good":
				expect(t, path+".print", printed(t, load(t, src)))
			case "bad":
				got := mistakes(t, src)
				expect(t, path+".mistakes", got+"\n")
				if strings.Contains(got, "sk-test") {
					t.Error("a mistake shows a secret")
				}
			default:
				t.Error("the name says neither good nor bad")
			}
		})
	}
}

func printed(t *testing.T, c *Config) string {
	t.Helper()
	var b strings.Builder
	if err := c.Print(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// expect compares with a file.
func expect(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Both languages have one meaning.
func TestSameInJSONAndYAML(t *testing.T) {
	a := load(t, vars{"CONFIG_FILE": "good_full.json"}.source("testdata"))
	b := load(t, vars{"CONFIG_FILE": "good_full.yaml"}.source("testdata"))
	a.File, b.File = "", "" // the rest is to be the same
	if x, y := printed(t, a), printed(t, b); x != y {
		t.Errorf("JSON:\n%s\nYAML:\n%s", x, y)
	}
}

func TestFingerprint(t *testing.T) {
	of := func(keys string) string {
		return load(t, vars{"OPENAI_API_KEYS": keys}.files(nil)).Fingerprint()
	}
	first := of(`[{"id":"a","key":"sk-test-1"},{"id":"b","key":"sk-test-2"}]`)
	if len(first) != 10 || first != of(`[{"key":"sk-test-2","id":"b","weight":1},{"id":"a","key":"sk-test-1"}]`) {
		t.Errorf("%q is not kept by another order", first)
	}
	elsewhere := vars{"OPENAI_API_KEYS": `[{"id":"a","key":"sk-test-1"},{"id":"b","key":"sk-test-2"}]`, "LISTEN_ADDR": "127.0.0.1:10001",
		"ADMIN_ADDR": "127.0.0.1:10002", "DATA_DIR": "elsewhere"}
	if load(t, elsewhere.files(nil)).Fingerprint() != first {
		t.Error("a replica that listens elsewhere has another one")
	}
	for _, other := range []string{`[{"id":"a","key":"sk-test-1"},{"id":"b","key":"sk-test-3"}]`,
		`[{"id":"a","key":"sk-test-1"},{"id":"b","key":"sk-test-2","weight":2}]`} {
		if of(other) == first {
			t.Errorf("%s does not change it", other)
		}
	}
}

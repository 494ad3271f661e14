package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	block = regexp.MustCompile("(?s)(?:<!-- example: (\\w+) -->\n)?```(\\w+)\n(.*?)```")
	// outside are blocks that cannot run here: they need an image engine, a real key, or are this very run.
	outside = regexp.MustCompile(`docker |go run \./cmd|make test`)
)

type example struct{ name, language, text string }

func examples(t *testing.T, file string) (all []example) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", file))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range block.FindAllStringSubmatch(string(text), -1) {
		all = append(all, example{m[1], m[2], m[3]})
	}
	return all
}

func TestBothReadmesHaveTheSameExamples(t *testing.T) {
	english, chinese := examples(t, "README.md"), examples(t, "README.zh-CN.md")
	if len(english) < 10 || len(english) != len(chinese) {
		t.Fatalf("%d examples and %d", len(english), len(chinese))
	}
	for i := range english {
		if english[i] != chinese[i] {
			t.Errorf("example %d differs:\n%s\n%s", i, english[i].text, chinese[i].text)
		}
	}
}

// Every example does what it says, as it stands: only the port and the data directory are those of the test.
func TestReadmeExamples(t *testing.T) {
	all := examples(t, "README.md")
	file := filepath.Join(t.TempDir(), "config.yaml")
	for _, e := range all {
		if e.name == "config" {
			os.WriteFile(file, []byte(e.text), 0o600)
		}
	}
	r := start(t, "OPENAI_API_KEYS=", "CLIENT_TOKENS=", "CONFIG_FILE="+file)
	here := strings.NewReplacer("127.0.0.1:10000", "127.0.0.1:"+r.port, "data/admin-token", r.dir+"/admin-token").Replace
	setup, ran := "", 0
	for _, e := range all {
		if e.name == "env" {
			setup = here(e.text)
		}
	}
	for i, e := range all {
		text := here(e.text)
		if e.name == "config" || e.name == "env" || outside.MatchString(text) {
			continue
		}
		ran++
		t.Run(fmt.Sprint(i, " ", e.language), func(t *testing.T) {
			out := runExample(t, e.language, setup, text)
			if !regexp.MustCompile(`token|"status":"ok"|oap_`).MatchString(out) {
				t.Errorf("it printed %q", out)
			}
		})
	}
	if ran < 6 {
		t.Errorf("only %d examples ran", ran)
	}
}

func TestBothOperatorsGuidesHaveTheSameExamples(t *testing.T) {
	english, chinese := examples(t, "docs/operators.md"), examples(t, "docs/operators.zh-CN.md")
	if len(english) < 8 || !slices.Equal(english, chinese) {
		t.Errorf("%d examples and %d, or they differ", len(english), len(chinese))
	}
}

// Every example of the operators' guide, in its order, against one running proxy.
func TestOperatorsGuide(t *testing.T) {
	r := start(t, "OPENAI_API_KEYS=", "CLIENT_TOKENS=", "OPENAI_API_KEY="+keyA)
	here := strings.NewReplacer("127.0.0.1:10000", "127.0.0.1:"+r.port, "data/admin-token", r.dir+"/admin-token").Replace
	setup := "export TOKEN=" + keyA + "\n"
	for i, e := range examples(t, "docs/operators.md") {
		if e.name == "env" {
			setup += here(e.text)
			continue
		}
		if strings.Contains(e.text, "X-Proxy-Debug") { // by then there is a client, whose token nobody has kept
			made := runExample(t, "bash", setup, `curl -H "$ADMIN" -H 'Content-Type: application/json' $PROXY/api/clients -d '{"id":"guide"}'`)
			var client struct{ Token string }
			if err := json.Unmarshal([]byte(made), &client); err != nil {
				t.Fatalf("%v: %s", err, made)
			}
			setup += "\nexport TOKEN=" + client.Token + "\n"
		}
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			if out := runExample(t, e.language, setup, here(e.text)); len(out) < 20 || strings.Contains(out, "sk-test-operators") {
				t.Errorf("it printed %q", out)
			}
		})
	}
}

// The examples of the page on stored objects: what was there before is given to a client, listed, and taken away.
func TestObjectsGuide(t *testing.T) {
	english := examples(t, "docs/objects.md")
	if chinese := examples(t, "docs/objects.zh-CN.md"); !slices.Equal(english, chinese) {
		t.Error("the two pages have other examples")
	}
	r := start(t, fmt.Sprintf(`OPENAI_API_KEYS=[{"id":"a","key":%q,"account":"org-a"}]`, keyA), fmt.Sprintf(`CLIENT_TOKENS=[{"id":"other","token":%q}]`, token))
	setup := fmt.Sprintf("export PROXY=http://127.0.0.1:%s ADMIN=\"Authorization: Bearer $(cat %s/admin-token)\"\n", r.port, r.dir)
	ran := 0
	for i, e := range english {
		if e.language != "bash" {
			continue
		}
		ran++
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			if out := runExample(t, e.language, setup, e.text); !strings.Contains(out, `"file-abc123"`) {
				t.Errorf("it printed %q", out)
			}
		})
	}
	if ran == 0 {
		t.Error("there is none")
	}
}

// runExample runs an example as its reader would and returns what it printed.
func runExample(t *testing.T, language, setup, text string) string {
	t.Helper()
	var command string
	switch language {
	case "bash":
		command = setup + "\n" + strings.ReplaceAll(text, "curl ", "curl -sS --fail-with-body ")
	case "js":
		script := filepath.Join("node", "example.mjs")
		os.WriteFile(script, []byte(text), 0o600)
		defer os.Remove(script)
		command = setup + "\ncd node && node example.mjs"
	case "go":
		dir, err := os.MkdirTemp(".", "example")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		os.WriteFile(filepath.Join(dir, "main.go"), []byte(text), 0o600)
		command = setup + "\ngo run ./" + dir
	case "python":
		script := filepath.Join(t.TempDir(), "example.py")
		os.WriteFile(script, []byte(text), 0o600)
		command = setup + "\npython3 " + script
	default:
		t.Fatalf("nobody knows how to run %s", language)
	}
	p := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", command)
	out, err := p.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

package cli_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"openai-api-proxy/pkg/cli"
)

var block = regexp.MustCompile("(?s)```(\\w+)\n(.*?)```")

// Both pages show the same, name every command, and their examples do what they say.
func TestDocs(t *testing.T) {
	english, chinese := page(t, "docs/cli.md"), page(t, "docs/cli.zh-CN.md")
	if e, c := block.FindAllString(english, -1), block.FindAllString(chinese, -1); len(e) < 4 || !slices.Equal(e, c) {
		t.Errorf("%d blocks and %d differ", len(e), len(c))
	}
	for line := range strings.Lines(cli.Help()) {
		if name := words(line); strings.HasPrefix(line, "  ") && len(name) > 0 && cli.Knows(name[0]) {
			for _, text := range []string{english, chinese} {
				if !strings.Contains(text, "`"+name[0]) || name[0] == "keys" && !strings.Contains(text, name[1]) {
					t.Errorf("nothing is said of %s", strings.Join(name[:2], " "))
				}
			}
		}
	}
	p, dir := start(t, nil), t.TempDir()
	s, ran := shellFor(p.url), 0
	t.Chdir(dir)
	os.WriteFile("key.txt", []byte("sk-test-docs-extra-0001\n"), 0o600)
	os.WriteFile("keys.txt", []byte("# finance\nsk-test-docs-bulk-0001\n"), 0o600)
	for _, m := range block.FindAllStringSubmatch(english, -1) {
		for line := range strings.Lines(m[2]) {
			at := strings.Index(line, "openai-api-proxy ")
			if m[1] != "bash" || at < 0 {
				continue
			}
			ran++
			line = strings.NewReplacer("'", "", ")", "").Replace(strings.TrimSpace(line[at+len("openai-api-proxy "):]))
			line, from, _ := strings.Cut(line, " < ")
			in, _ := os.ReadFile(from)
			s.ok(t, string(in), words(line))
		}
	}
	if ran < 8 {
		t.Errorf("only %d examples ran", ran)
	}
}

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

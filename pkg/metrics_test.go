package pkg_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	quotedName = regexp.MustCompile(`"(oap_[a-z_]+)"`)
	anyName    = regexp.MustCompile(`oap_[a-z_]+`)
)

// Every metric is in both READMEs, and neither they nor the dashboard nor an alert speak of one that there is not.
func TestMetricsAreDocumented(t *testing.T) {
	there := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range quotedName.FindAllStringSubmatch(string(text), -1) {
			there[m[1]] = true
		}
		return err
	})
	if err != nil || len(there) < 15 {
		t.Fatalf("%d metrics, %v", len(there), err)
	}
	for file, all := range map[string]bool{"README.md": true, "README.zh-CN.md": true,
		"deploy/observability/alerts.yml": false, "deploy/observability/grafana/openai-api-proxy.json": false} {
		text, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Fatal(err)
		}
		named := map[string]bool{}
		for _, name := range anyName.FindAllString(string(text), -1) {
			name = strings.TrimSuffix(name, "_bucket")
			named[name] = true
			if !there[name] {
				t.Errorf("%s speaks of %s, which there is not", file, name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(there)) {
			if all && !named[name] {
				t.Errorf("%s says nothing of %s", file, name)
			}
		}
	}
}

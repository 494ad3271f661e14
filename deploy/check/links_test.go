package check

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	fenced  = regexp.MustCompile("(?s)```.*?```")
)

// Every link of the documentation that stays in the repository leads to a file that is there, and to a heading of it.
func TestLinks(t *testing.T) {
	pages, seen := []string{"README.md", "README.zh-CN.md", "pkg/state/README.md"}, 0
	more, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil || len(more) < 4 {
		t.Fatalf("%d pages, %v", len(more), err)
	}
	for _, page := range more {
		pages = append(pages, filepath.Join("docs", filepath.Base(page)))
	}
	for _, page := range pages {
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(string(read(t, page)), ""), -1) {
			to, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(to, ":") {
				continue // leads out of here
			}
			seen++
			target := page
			if to != "" {
				target = filepath.Join(filepath.Dir(page), to)
			}
			if text := read(t, target); anchor != "" && !anchors(string(text))[anchor] {
				t.Errorf("%s: %s has no heading for %s", page, target, anchor)
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d links found", seen)
	}
}

// anchors are the names that a page's headings get: lower case, hyphens for spaces, no punctuation.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		all[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])] = true
	}
	return all
}

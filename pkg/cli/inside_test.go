package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// An import is cut where the API wants it, and lines keep their numbers.
func TestSplit(t *testing.T) {
	var text strings.Builder
	var keys []string
	for i := range 12_000 {
		if i%100 == 0 {
			text.WriteString("# a comment\n\n")
		}
		keys = append(keys, fmt.Sprintf("sk-test-split-%08d", i))
		text.WriteString(keys[i] + "\r\n")
	}
	lines, err := split([]byte(text.String()))
	if err != nil || len(lines) != 3 {
		t.Fatalf("%d parts, %v", len(lines), err)
	}
	all := strings.Split(text.String(), "\n")
	for _, p := range lines {
		for i, line := range strings.Split(strings.TrimSuffix(string(p.text), "\n"), "\n") {
			if all[p.first+i] != line {
				t.Fatalf("line %d is %q, want %q", p.first+i+1, line, all[p.first+i])
			}
		}
	}
	array, _ := json.Marshal(keys)
	parts, err := split(append([]byte("\ufeff "), array...))
	if err != nil || len(parts) != 3 || parts[2].first != 10_000 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	var last []string
	if json.Unmarshal(parts[2].text, &last) != nil || len(last) != 2000 || last[0] != keys[10_000] {
		t.Errorf("the last part has %d, beginning with %v", len(last), last[:1])
	}
	huge, _ := json.Marshal([]string{strings.Repeat("a", 2<<20), strings.Repeat("b", 2<<20)})
	if parts, err := split(huge); err != nil || len(parts) != 2 {
		t.Errorf("%d parts, %v", len(parts), err)
	}
	if _, err := split([]byte(`{"keys":[]}`)); err == nil {
		t.Error("an object was taken for keys")
	}
}

// Columns line up where letters are twice as wide, and nothing that others wrote reaches the terminal as a command.
func TestTable(t *testing.T) {
	tab := &table{head: []string{"ID", "NOTE", "N"}}
	tab.add("a", "密钥 one", int64(1))
	tab.add("long-id", "evil\x1b[2J\nline\u202e", int64(22))
	var out bytes.Buffer
	tab.print(&out, true)
	want := "ID       NOTE           N\na        密钥 one       1\nlong-id  evil [2J line  22\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}

package price

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var listed = regexp.MustCompile(`(?m)^    "([^"]+)": \{"input"`)

// The list is sorted, names nothing twice and has no pattern that another one hides.
func TestListIsSane(t *testing.T) {
	var patterns []string
	for _, line := range listed.FindAllSubmatch(listText, -1) {
		patterns = append(patterns, string(line[1]))
	}
	if len(patterns) < 50 || len(patterns) != Listed() {
		t.Fatalf("%d lines, %d prices: one line for each", len(patterns), Listed())
	}
	if !slices.IsSorted(patterns) || len(slices.Compact(slices.Clone(patterns))) != len(patterns) {
		t.Error("not sorted, or something is there twice")
	}
	table := NewTable(nil)
	for _, p := range patterns {
		name := strings.ReplaceAll(p, "*", "x")
		if m, found := table.Find(name); !found || m.Pattern != p {
			t.Errorf("%s is not reached by %s", p, name)
		}
	}
	if AsOf().IsZero() || AsOf().After(time.Now()) || builtIn().source == "" {
		t.Errorf("as of %v, from %q", AsOf(), builtIn().source)
	}
}

// What is cached costs no more than what is not, output no less than input where there is any, and nothing by mistake a
// thousand times as much.
func TestListedRates(t *testing.T) {
	for _, m := range builtIn().all {
		if m.Cached > m.Input || m.Written < m.Input || m.Output > 0 && m.Output < m.Input || m.Input > 200_000*million || m.Output > 1_000_000*million {
			t.Errorf("%s: %+v", m.Pattern, m.Rates)
		}
		if err := m.Check(); err != nil {
			t.Errorf("%s: %v", m.Pattern, err)
		}
		if (m.Above > 0) != (m.Long != Rates{}) {
			t.Errorf("%s: long above %d: %+v", m.Pattern, m.Above, m.Long)
		}
	}
}

func TestListThatCannotBeRead(t *testing.T) {
	good := `{"asOf":"2026-01-02","source":"x","models":{"a":{"input":"1","output":"2"}}}`
	if _, err := readList([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"no date":          {"2026-01-02", "January"},
		"a number":         {`"input":"1"`, `"input":1`},
		"no output":        {`,"output":"2"`, ``},
		"negative":         {`"2"`, `"-2"`},
		"too fine":         {`"2"`, `"2.0000000001"`},
		"unknown field":    {`"input"`, `"inputs":"1","input"`},
		"cheaper if long":  {`"output":"2"`, `"output":"2","long":{"above":5,"input":"0.5","output":"2"}`},
		"incomplete long":  {`"output":"2"`, `"output":"2","long":{"above":5,"output":"2"}`},
		"not JSON":         {`}}}`, `}}`},
		"dearer than gold": {`"2"`, `"1000001"`},
	} {
		text := bytes.Replace([]byte(good), []byte(change[0]), []byte(change[1]), 1)
		if _, err := readList(text); err == nil {
			t.Errorf("%s: %s", name, text)
		}
	}
	if !json.Valid(listText) {
		t.Error("the list is not JSON")
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]int64{"2.50": 2_500_000_000, "0": 0, "0.075": 75_000_000, "1000000": mostRate, "0.000000001": 1} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "1e3", "$2", "1,5", ".5", "1000000.1", "99999999999999999999999", "0.0000000001", " 1"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

package proxy

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		patterns Patterns
		name     string
		want     bool
	}{
		{nil, "anything", true},
		{Patterns{"gpt-4o"}, "gpt-4o", true},
		{Patterns{"gpt-4o"}, "gpt-4o-mini", false},
		{Patterns{"gpt-4o*"}, "gpt-4o-mini", true},
		{Patterns{"gpt-4o*"}, "gpt-4o", true},
		{Patterns{"*-mini"}, "gpt-4o-mini", true},
		{Patterns{"*-mini"}, "gpt-4o-mini-2024", false},
		{Patterns{"g*4*i"}, "gpt-4o-mini", true},
		{Patterns{"g*5*i"}, "gpt-4o-mini", false},
		{Patterns{"*"}, "", true},
		{Patterns{"a", "b*"}, "bc", true},
		{Patterns{"**a**"}, "bab", true},
		{Patterns{strings.Repeat("a*", 30) + "b"}, strings.Repeat("a", 5000), false}, // no pattern may take long
	} {
		if got := c.patterns.Match(c.name); got != c.want {
			t.Errorf("%.40v on %.40s: %v", c.patterns, c.name, got)
		}
	}
}

func TestPeriods(t *testing.T) {
	at := time.Date(2024, 2, 29, 23, 59, 30, 5, time.FixedZone("elsewhere", 3600)) // 22:59:30 UTC
	for period, want := range map[Period][2]string{
		Minute: {"2024-02-29T22:59:00Z", "2024-02-29T23:00:00Z"},
		Hour:   {"2024-02-29T22:00:00Z", "2024-02-29T23:00:00Z"},
		Day:    {"2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"},
		Month:  {"2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"},
		Total:  {"0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
	} {
		if got := [2]string{period.Start(at).Format(time.RFC3339), period.End(at).Format(time.RFC3339)}; got != want {
			t.Errorf("%s: %v, want %v", period, got, want)
		}
	}
}

// However a secret is printed, it is not there.
func TestSecretsAreNotPrinted(t *testing.T) {
	const text = "sk-test-printed-0123456789abcdef"
	s := NewSecret(text)
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "in", struct{ S Secret }{s})
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "in", struct{ S Secret }{s})
	doc, err := json.Marshal(map[string]any{"secret": s, "list": []Secret{s}, "pointer": &s})
	if err != nil {
		t.Fatal(err)
	}
	out := fmt.Sprintf("%v %+v %#v %s %q %x %v", s, s, s, s, s, s, struct{ S *Secret }{&s}) + log.String() + string(doc) + s.Masked()
	for i := 0; i+8 <= len(text); i++ {
		if strings.Contains(out, text[i:i+8]) {
			t.Fatalf("%q is printed in %s", text[i:i+8], out)
		}
	}
	if s.Masked() != "sk-...cdef" || NewSecret("short").Masked() != "..." || s.Reveal() != text {
		t.Error(s.Masked())
	}
}

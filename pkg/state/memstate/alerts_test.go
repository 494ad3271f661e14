package memstate

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/statetest"
)

func TestAlertsAreBounded(t *testing.T) {
	for name, s := range map[string]*Store{"memory": New(), "file": opened(t, t.TempDir())} {
		s.alerts.most, s.alerts.kept = 5, 10
		t.Run(name, func(t *testing.T) { statetest.BoundedAlerts(t, s, 5, 10) })
	}
}

// What operators were told is on disk before anybody else is: a process that is killed does not say it again.
func TestAlertsAfterACrash(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	clock := WithClock(func() time.Time { return now })
	s := opened(t, dir, clock)
	for name, life := range map[string]time.Duration{"timed": time.Hour, "lasting": 0} {
		if first, err := s.Tell(t.Context(), state.Alert{Name: name, Text: []byte(`{}`)}, "", life); !first || err != nil {
			t.Fatal(first, err)
		}
	}
	onDisk, err := os.ReadFile(filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "state.db"), onDisk, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		later         time.Duration
		timed, latest bool
	}{{time.Minute, false, true}, {2 * time.Hour, true, true}} {
		now = now.Add(c.later)
		s := opened(t, dir, clock)
		if names, err := s.Lasting(t.Context()); err != nil || len(names) != 1 || names[0] != "lasting" {
			t.Errorf("what lasts is %v, %v", names, err)
		}
		if all, err := s.Told(t.Context(), "", 10); err != nil || len(all) != 2 || all[0].ID != "2" {
			t.Errorf("told were %v, %v", all, err)
		}
		if first, _ := s.Tell(t.Context(), state.Alert{Name: "timed", Text: []byte(`{}`)}, "", time.Hour); first != c.timed {
			t.Errorf("%v later it is told again: %v", c.later, first)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Names whose time is over are forgotten, on disk too.
func TestNamesThatAreFree(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	s := opened(t, dir, WithClock(func() time.Time { return now }))
	s.alerts.sweep = 4
	for _, name := range []string{"a", "b", "c", "d"} {
		s.Tell(t.Context(), state.Alert{Name: name, Text: []byte(`{}`)}, "", time.Minute)
	}
	now = now.Add(time.Hour)
	s.Tell(t.Context(), state.Alert{Name: "e", Text: []byte(`{}`)}, "", time.Minute)
	if n := len(s.alerts.held); n != 1 {
		t.Errorf("%d names are held", n)
	}
	s.Close()
	if n := len(opened(t, dir).alerts.held); n != 1 {
		t.Errorf("%d names are on disk", n)
	}
}

package statetest

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"openai-api-proxy/pkg/state"
)

// alertTests are the part of Run about who tells operators.
var alertTests = map[string]func(t *testing.T, s state.Store){
	"one tells":        oneTells,
	"alerts that last": lastingAlerts,
	"latest alerts":    latestAlerts,
}

func alertOf(name string) state.Alert {
	return state.Alert{Name: name, Text: []byte(`{"text":"` + name + `"}`)}
}

// tells is Tell under a token that nobody else has.
func tells(t testing.TB, s state.Store, name string, life time.Duration) bool {
	t.Helper()
	first, err := s.Tell(t.Context(), alertOf(name), fresh("token"), life)
	if err != nil {
		t.Error(err)
	}
	return first
}

func ends(t testing.TB, s state.Store, name string) bool {
	t.Helper()
	first, err := s.End(t.Context(), alertOf(name), fresh("token"))
	if err != nil {
		t.Error(err)
	}
	return first
}

func isLasting(t testing.TB, s state.Store, name string) bool {
	t.Helper()
	names, err := s.Lasting(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(names, name)
}

// winners is how many of a crowd are told that they are the first.
func winners(t *testing.T, try func() bool) int64 {
	t.Helper()
	var won atomic.Int64
	crowd(t, 64, 1, func() {
		if try() {
			won.Add(1)
		}
	})
	return won.Load()
}

func oneTells(t *testing.T, s state.Store) {
	name := fresh("quota/c:team {a}/80 %")
	if n := winners(t, func() bool { return tells(t, s, name, time.Minute) }); n != 1 {
		t.Errorf("%d of 64 tell", n)
	}
	if isLasting(t, s, name) || ends(t, s, name) {
		t.Error("a name that is held for a time lasts until it ends")
	}
	if !tells(t, s, fresh("other"), time.Minute) {
		t.Error("another name is held too")
	}
	short := fresh("short")
	tells(t, s, short, 100*time.Millisecond)
	time.Sleep(200 * time.Millisecond)
	if !tells(t, s, short, time.Minute) || tells(t, s, short, time.Minute) {
		t.Error("a name is not free when its time is over, or not held again")
	}
}

func lastingAlerts(t *testing.T, s state.Store) {
	name := fresh("key/invalid/k1")
	if ends(t, s, name) {
		t.Error("what never began ends")
	}
	for range 2 {
		if n := winners(t, func() bool { return tells(t, s, name, 0) }); n != 1 || !isLasting(t, s, name) {
			t.Errorf("%d of 64 tell; it lasts: %v", n, isLasting(t, s, name))
		}
		if n := winners(t, func() bool { return ends(t, s, name) }); n != 1 || isLasting(t, s, name) {
			t.Errorf("%d of 64 end it; it lasts: %v", n, isLasting(t, s, name))
		}
	}
}

func latestAlerts(t *testing.T, s state.Store) {
	told := func(after string, limit int) (ids, names []string) {
		t.Helper()
		all, err := s.Told(t.Context(), after, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range all {
			if want := string(alertOf(a.Name).Text); string(a.Text) != want {
				t.Errorf("%s says %s, want %s", a.Name, a.Text, want)
			}
			ids, names = append(ids, a.ID), append(names, a.Name)
		}
		return ids, names
	}
	tells(t, s, fresh("before"), time.Minute)
	before, _ := told("", 1)
	a, b := fresh("a"), fresh("b")
	tells(t, s, a, time.Minute)
	tells(t, s, a, time.Minute)
	tells(t, s, b, 0)
	ends(t, s, b)
	ids, names := told(before[0], 100)
	if want := []string{b, b, a}; !slices.Equal(names, want) {
		t.Fatalf("told %v, want %v", names, want)
	}
	if _, names := told("", 2); !slices.Equal(names, []string{b, b}) {
		t.Errorf("the last two are %v", names)
	}
	if _, names := told(ids[2], 100); !slices.Equal(names, []string{b, b}) {
		t.Errorf("after %s come %v", ids[2], names)
	}
	if _, names := told(ids[0], 100); len(names) != 0 {
		t.Errorf("after the last come %v", names)
	}
	if _, err := s.Told(t.Context(), "no id", 1); err == nil {
		t.Error("an id that is none is taken")
	}
}

// BoundedAlerts is for a store whose bounds are so low.
func BoundedAlerts(t *testing.T, s state.Store, most, kept int) {
	for i := range most + 2 {
		if first := tells(t, s, fmt.Sprintf("lasting-%d", i), 0); first != (i < most) {
			t.Errorf("name %d of at most %d: %v", i+1, most, first)
		}
	}
	if !ends(t, s, "lasting-0") || !tells(t, s, "another", 0) {
		t.Error("a place that is free is not given")
	}
	for i := range kept {
		tells(t, s, fmt.Sprintf("timed-%d", i), time.Minute)
	}
	all, err := s.Told(t.Context(), "", 10*kept)
	if err != nil || len(all) != kept || all[kept-1].Name != "timed-0" {
		t.Errorf("%d of at most %d are kept, %v", len(all), kept, err)
	}
}

package proxy

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// Days and months begin where the clocks of a zone say so, on the days on which these change too.
func TestPeriodsInZones(t *testing.T) {
	for _, c := range []struct {
		zone       string
		period     Period
		at         string
		start, end string
	}{
		{"Asia/Shanghai", Month, "2026-01-31T16:00:00Z", "2026-01-31T16:00:00Z", "2026-02-28T16:00:00Z"},
		{"Asia/Kolkata", Hour, "2026-01-31T16:31:00Z", "2026-01-31T16:30:00Z", "2026-01-31T17:30:00Z"},
		{"Europe/Berlin", Day, "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},  // 23 hours
		{"Europe/Berlin", Day, "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},  // 25 hours
		{"Europe/Berlin", Hour, "2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"}, // the first 2:30
		{"Europe/Berlin", Hour, "2026-10-25T01:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"}, // the second
		{"America/Havana", Day, "2026-11-01T12:00:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"}, // two midnights
		{"Africa/Cairo", Day, "2026-04-24T12:00:00Z", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"},   // no midnight
		{"Pacific/Apia", Day, "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"},   // the 30th is left out
		{"UTC", Total, "2026-03-29T12:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
	} {
		at, _ := time.Parse(time.RFC3339, c.at)
		z := zone(t, c.zone)
		start, end := c.period.StartIn(at, z).UTC().Format(time.RFC3339), c.period.EndIn(at, z).UTC().Format(time.RFC3339)
		if start != c.start || end != c.end {
			t.Errorf("%s of %s in %s: %s to %s, want %s to %s", c.period, c.at, c.zone, start, end, c.start, c.end)
		}
	}
}

// Whatever the zone does, each moment is in one period, which begins where the one before it ends.
func TestPeriodsFollowOneAnother(t *testing.T) {
	var zones []*time.Location
	for _, name := range []string{"UTC", "Europe/Berlin", "America/Havana", "America/Sao_Paulo", "Africa/Cairo", "Asia/Beirut",
		"Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu", "America/St_Johns", "Asia/Gaza", "Atlantic/Azores"} {
		zones = append(zones, zone(t, name))
	}
	rapid.Check(t, func(t *rapid.T) {
		z := rapid.SampledFrom(zones).Draw(t, "zone")
		p := rapid.SampledFrom([]Period{Hour, Day, Month}).Draw(t, "period")
		at := time.Unix(rapid.Int64Range(1_200_000_000, 1_900_000_000).Draw(t, "at"), 0)
		for range 40 {
			start, end := p.StartIn(at, z), p.EndIn(at, z)
			if start.After(at) || !end.After(at) {
				t.Fatalf("%v is not in %v to %v", at.In(z), start, end)
			}
			if again := p.StartIn(end.Add(-1), z); !again.Equal(start) {
				t.Fatalf("the period of %v begins at %v, by its last moment at %v", at.In(z), start, again)
			}
			if next := p.StartIn(end, z); !next.Equal(end) {
				t.Fatalf("after the end %v begins a period at %v", end, next)
			}
			at = end
		}
	})
}

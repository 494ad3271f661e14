package proxy

import "time"

// StartIn is when the period that holds t began by the clocks of a zone. Starts never go back while t goes on, also where
// clocks do: an hour that is there twice is two hours, and a day of 23 or 25 hours is one day.
func (p Period) StartIn(t time.Time, zone *time.Location) time.Time {
	t = t.In(zone)
	switch p {
	case Minute:
		return t.Add(-time.Duration(t.Second())*time.Second - time.Duration(t.Nanosecond()))
	case Hour:
		return Minute.StartIn(t, zone).Add(-time.Duration(t.Minute()) * time.Minute)
	case Day:
		return midnight(t.Year(), t.Month(), t.Day(), zone)
	case Month:
		return midnight(t.Year(), t.Month(), 1, zone)
	default:
		return time.Time{}
	}
}

// EndIn is when that period ends; the zero time for Total, which never does.
func (p Period) EndIn(t time.Time, zone *time.Location) time.Time {
	start := p.StartIn(t, zone)
	switch p {
	case Minute:
		return start.Add(time.Minute)
	case Hour:
		return start.Add(time.Hour)
	case Day:
		return midnight(start.Year(), start.Month(), start.Day()+1, zone)
	case Month:
		return midnight(start.Year(), start.Month()+1, 1, zone)
	default:
		return time.Time{}
	}
}

// midnight is the first moment of a day. Where clocks go forward at midnight the day begins at one, and where they go back
// behind it, it has two midnights, of which the first is meant; time.Date promises neither.
func midnight(year int, month time.Month, day int, zone *time.Location) time.Time {
	at := time.Date(year, month, day, 0, 0, 0, 0, zone)
	want := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	from, to := at.ZoneBounds()
	switch order := dateOf(at).Compare(want); {
	case order < 0: // there is no midnight, and this is a time before the gap
		return to
	case from.IsZero() || at.Sub(from) > 24*time.Hour:
		return at
	case order > 0: // the whole day is left out
		return from
	}
	_, now := at.Zone()
	_, before := from.Add(-1).Zone()
	if first := at.Add(time.Duration(now-before) * time.Second); first.Before(from) && now < before {
		return first
	}
	if from.Before(at) && dateOf(from).Equal(want) && dateOf(from.Add(-1)).Before(want) {
		return from
	}
	return at
}

func dateOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

// Sooner is the earlier of two ends; the zero time is none.
func Sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

package redisstate

import (
	"errors"
	"testing"
	"time"

	"openai-api-proxy/pkg/redistest"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/statetest"
)

func TestAlertsAreBounded(t *testing.T) {
	s := opened(t, redistest.Start(t).URL())
	s.alerts.most, s.alerts.kept = 5, 10
	statetest.BoundedAlerts(t, s, 5, 10)
}

// An answer that was lost is given again to whoever asked, and to nobody else.
func TestAlertsThatAreToldTwice(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	a := state.Alert{Name: "key/k1", Text: []byte(`{}`)}
	for _, life := range []time.Duration{0, time.Minute} {
		for range 2 {
			if first, err := s.Tell(t.Context(), a, "mine", life); !first || err != nil {
				t.Errorf("life %v: %v, %v", life, first, err)
			}
			if first, err := s.Tell(t.Context(), a, "theirs", life); first || err != nil {
				t.Errorf("life %v: another is the first too: %v", life, err)
			}
		}
	}
	for range 2 {
		if first, err := s.End(t.Context(), a, "mine"); !first || err != nil {
			t.Errorf("end: %v, %v", first, err)
		}
		if first, err := s.End(t.Context(), a, "theirs"); first || err != nil {
			t.Errorf("another ends it too: %v", err)
		}
	}
	if all, err := s.Told(t.Context(), "", 10); err != nil || len(all) != 3 {
		t.Errorf("%d alerts are remembered, %v", len(all), err)
	}
	for _, key := range server.Keys("oap:{alerts}*") {
		if left, err := s.slow.TTL(t.Context(), key).Result(); err != nil || left <= 0 {
			t.Errorf("%s lives %v, %v", key, left, err)
		}
	}
}

func TestAlertsWithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	server.Kill()
	_, err := s.Tell(t.Context(), state.Alert{Name: "a"}, "mine", time.Minute)
	_, err2 := s.End(t.Context(), state.Alert{Name: "a"}, "mine")
	_, err3 := s.Lasting(t.Context())
	_, err4 := s.Told(t.Context(), "", 1)
	for _, err := range []error{err, err2, err3, err4} {
		if !errors.Is(err, state.ErrUnavailable) {
			t.Errorf("%v", err)
		}
	}
}

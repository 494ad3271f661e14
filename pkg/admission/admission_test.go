package admission

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// store answers as it is told, and remembers what it was asked.
type store struct {
	verdict state.Verdict
	err     error

	mu      sync.Mutex // guards subject and charges
	subject string
	charges []state.Charge
}

func (s *store) Settle(context.Context, []state.Settlement) error { return s.err }
func (s *store) Renew(context.Context, []state.Held) error        { return s.err }

func (s *store) Spend(_ context.Context, subject, _ string, charges []state.Charge) (state.Verdict, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subject, s.charges = subject, append(s.charges, charges...)
	return s.verdict, s.err
}

func away() error { return fmt.Errorf("dial: %w", state.ErrUnavailable) }

// open makes an Admission that logs to the returned buffer.
func open(t *testing.T, s buckets, replicas func() int) (*Admission, *bytes.Buffer) {
	var log bytes.Buffer
	a := New(s, Options{Replicas: replicas, Log: slog.New(slog.NewTextHandler(&log, nil)), Metrics: prometheus.NewRegistry()})
	t.Cleanup(func() { a.Close() })
	return a, &log
}

func value(t *testing.T, c prometheus.Counter) int {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return int(families[0].GetMetric()[0].GetCounter().GetValue())
}

func kindOf(err error) proxy.Kind {
	var f *proxy.Fault
	if errors.As(err, &f) {
		return f.Kind
	}
	return ""
}

var limited = &proxy.Client{ID: "team-a", RPM: 60, Burst: 5}

func TestNoLimitCostsNoCall(t *testing.T) {
	s := &store{err: away()}
	a, _ := open(t, s, nil)
	permit, err := a.Admit(t.Context(), &proxy.Client{ID: "free"}, nothing())
	h := http.Header{}
	permit.Header(h)
	if err != nil || len(s.charges) != 0 || len(h) != 0 || value(t, a.metrics.admitted) != 1 {
		t.Errorf("err %v, charges %v, headers %v, counted %d", err, s.charges, h, value(t, a.metrics.admitted))
	}
}

func TestAdmitted(t *testing.T) {
	s := &store{verdict: state.Verdict{OK: true,
		Balances: []state.Balance{{Limit: "rpm", Left: 3, Reset: 1500*time.Millisecond + 1}}}}
	a, _ := open(t, s, nil)
	permit, err := a.Admit(t.Context(), limited, nothing())
	if err != nil {
		t.Fatal(err)
	}
	want := state.Charge{Limit: "rpm", Cost: 1, Rate: state.Rate{Count: 60, Per: time.Minute, Burst: 5}}
	if s.subject != "c:team-a" || len(s.charges) != 1 || s.charges[0] != want {
		t.Errorf("charged %v to %q, want %v", s.charges, s.subject, want)
	}
	checkHeader(t, permit, "60", "3", "1.501s")
	if value(t, a.metrics.admitted) != 1 || value(t, a.metrics.refused) != 0 {
		t.Error("not counted as admitted, once")
	}
}

func TestRefused(t *testing.T) {
	wait := 1200*time.Millisecond - 1
	s := &store{verdict: state.Verdict{Refused: "rpm", RetryAfter: wait,
		Balances: []state.Balance{{Limit: "rpm", Reset: 6 * time.Minute}}}}
	a, _ := open(t, s, nil)
	permit, err := a.Admit(t.Context(), limited, nothing())
	var f *proxy.Fault
	if !errors.As(err, &f) || f.Kind != proxy.RateLimited || f.RetryAfter != wait {
		t.Fatalf("got %+v", err)
	}
	if want := "rate limit of 60 requests per minute reached; try again in 1.2s"; f.Public != want {
		t.Errorf("told %q, want %q", f.Public, want)
	}
	checkHeader(t, permit, "60", "0", "6m0s")
	if value(t, a.metrics.admitted) != 0 || value(t, a.metrics.refused) != 1 {
		t.Error("not counted as refused, once")
	}
}

func checkHeader(t *testing.T, p *Permit, limit, remaining, reset string) {
	t.Helper()
	h := http.Header{}
	p.Header(h)
	for name, want := range map[string]string{"x-ratelimit-limit-requests": limit,
		"x-ratelimit-remaining-requests": remaining, "x-ratelimit-reset-requests": reset} {
		if got := h.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestNilPermit(t *testing.T) {
	h := http.Header{}
	(*Permit)(nil).Header(h)
	if len(h) != 0 {
		t.Errorf("wrote %v", h)
	}
}

func TestOtherErrors(t *testing.T) {
	left, leave := context.WithCancel(t.Context())
	leave()
	tests := map[string]struct {
		ctx  context.Context
		err  error
		want proxy.Kind
	}{
		"caller left":                  {left, context.Canceled, proxy.CallerLeft},
		"caller left, seen as outage":  {left, away(), proxy.CallerLeft},
		"mistake of ours in the seam":  {t.Context(), errors.New("no such limit"), proxy.Internal},
		"the store's own deadline hit": {t.Context(), away(), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a, _ := open(t, &store{err: tt.err}, nil)
			permit, err := a.Admit(tt.ctx, limited, nothing())
			permit.Header(http.Header{})
			if kindOf(err) != tt.want {
				t.Errorf("got %v, want kind %q", err, tt.want)
			}
			undecided := 0
			if tt.want == "" {
				undecided = 1
			}
			if n := value(t, a.metrics.undecided); n != undecided {
				t.Errorf("%d undecided, want %d", n, undecided)
			}
		})
	}
}

func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{err: away()}
		a, log := open(t, s, func() int { return 2 })
		client := &proxy.Client{ID: "team-a", RPM: 60, Burst: 10}
		admit := func() error {
			_, err := a.Admit(t.Context(), client, nothing())
			return err
		}
		for i := range 5 {
			if err := admit(); err != nil {
				t.Fatalf("request %d of half the burst: %v", i+1, err)
			}
		}
		var f *proxy.Fault
		if err := admit(); !errors.As(err, &f) || f.Kind != proxy.RateLimited || f.RetryAfter != 2*time.Second {
			t.Fatalf("got %v, want a refusal for 2s, which is half the rate", err)
		}
		time.Sleep(f.RetryAfter)
		if err := admit(); err != nil {
			t.Errorf("came back when told: %v", err)
		}
		if n := value(t, a.metrics.undecided); n != 7 {
			t.Errorf("%d undecided, want 7", n)
		}
		if strings.Count(log.String(), "level=WARN") != 1 || strings.Contains(log.String(), "level=INFO") {
			t.Errorf("the log is\n%s", log)
		}

		s.err, s.verdict = nil, state.Verdict{OK: true, Balances: []state.Balance{{Limit: "rpm", Left: 1}}}
		if err := admit(); err != nil || strings.Contains(log.String(), "level=INFO") {
			t.Errorf("over after a single answer: %v\n%s", err, log)
		}
		time.Sleep(calm)
		for range 3 {
			if err := admit(); err != nil {
				t.Error(err)
			}
		}
		if strings.Count(log.String(), "level=INFO") != 1 || !strings.Contains(log.String(), "undecided=7") {
			t.Errorf("the end is not logged once:\n%s", log)
		}
	})
}

func TestManyAtOnceDuringAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := open(t, &store{err: away()}, nil)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				_, err := a.Admit(t.Context(), limited, nothing())
				if kind := kindOf(err); err != nil && kind != proxy.RateLimited {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := value(t, a.metrics.admitted); n != int(limited.Burst) {
			t.Errorf("%d admitted, want the burst of %d", n, limited.Burst)
		}
	})
}

package usage

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

var served = &proxy.Record{Client: "team-a", Model: "gpt-4o", Status: 200,
	Attempts: []proxy.Attempt{{Key: "k1"}}, Total: time.Second}

// drawRecord draws a record from few names, so that sums meet.
func drawRecord(t *rapid.T) *proxy.Record {
	rec := &proxy.Record{
		Client: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "client"),
		Model:  rapid.SampledFrom([]string{"", "m1", "m2"}).Draw(t, "model"),
		Status: rapid.SampledFrom([]int{200, 400, 429, 499, 503}).Draw(t, "status"),
		Total:  time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "total")),
		Cut:    rapid.Bool().Draw(t, "cut"),
		Gone:   rapid.Bool().Draw(t, "gone"),
		Usage: openai.Usage{Input: rapid.Int64Range(0, 1000).Draw(t, "input"),
			Output: rapid.Int64Range(0, 1000).Draw(t, "output")},
	}
	for range rapid.IntRange(0, 3).Draw(t, "attempts") {
		rec.Attempts = append(rec.Attempts, proxy.Attempt{Key: rapid.SampledFrom([]string{"k1", "k2"}).Draw(t, "key"),
			Outcome: rapid.SampledFrom([]proxy.Outcome{proxy.Served, proxy.Throttled, proxy.CallerGone}).Draw(t, "outcome")})
	}
	return rec
}

// Whatever fails and whenever totals are read, each record is counted once.
func TestEachRecordCountsOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newShelf()
		m, _ := still(s)
		want, named := sums{}, names{}
		check := func(what string, usage []state.Usage) {
			slices.SortFunc(usage, func(a, b state.Usage) int { return whose{a.Kind, a.ID}.compare(whose{b.Kind, b.ID}) })
			if !reflect.DeepEqual(usage, want.totals()) {
				t.Fatalf("%s:\n%+v\nwant\n%+v", what, usage, want.totals())
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"record": func(t *rapid.T) {
				rec := drawRecord(t)
				m.Record(rec)
				want.add(rec, named.of(rec))
			},
			"write": func(t *rapid.T) { _ = m.flush(context.Background()) },
			"break": func(t *rapid.T) { s.fail(away()) },
			"mend":  func(t *rapid.T) { s.fail(nil) },
			"read": func(t *rapid.T) {
				totals, err := m.Totals(context.Background())
				if broken := s.err != nil; broken != (err != nil) {
					t.Fatalf("read with error %v from a store with error %v", err, s.err)
				}
				if err == nil {
					check("read", totals.Usage)
				}
			},
		})
		s.fail(nil)
		if err := m.flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		check("stored", s.sums.list())
		series, requests := sums{}, 0
		for _, b := range s.batches {
			series.merge(b.Series)
			requests += len(b.Requests)
		}
		if !reflect.DeepEqual(series.list(), want.series()) || int64(requests) != want.requests() {
			t.Fatalf("%d requests, and series\n%+v\nwant %d and\n%+v", requests, series.list(), want.requests(), want.series())
		}
	})
}

func TestWritesInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		m := New(s, options(&bytes.Buffer{}))
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { m.Record(served) })
		}
		all.Wait()
		if s.called() != 0 {
			t.Error("written before the interval ended")
		}
		time.Sleep(defaultFlush)
		synctest.Wait()
		if got := s.sums.requests(); got != 100 || s.called() != 1 {
			t.Errorf("%d requests in %d writes, want 100 in 1", got, s.called())
		}
		time.Sleep(10 * defaultFlush)
		synctest.Wait()
		if s.called() != 1 {
			t.Errorf("%d writes although there was nothing to write", s.called()-1)
		}
		m.Record(served)
		if err := m.Close(); err != nil || s.sums.requests() != 101 {
			t.Errorf("closed with %v and %d requests", err, s.sums.requests())
		}
		if err := m.Close(); err != nil {
			t.Errorf("closed again: %v", err)
		}
	})
}

func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := newShelf(), &bytes.Buffer{}
		m := New(s, options(log))
		s.fail(away())
		m.Record(served)
		time.Sleep(5 * defaultFlush)
		synctest.Wait()
		if n := value(t, m.failed); n != 5 || strings.Count(log.String(), "level=WARN") != 1 {
			t.Errorf("%d errors counted, want 5; the log is\n%s", n, log)
		}
		s.fail(nil)
		time.Sleep(2 * defaultFlush)
		synctest.Wait()
		if s.sums.requests() != 1 || strings.Count(log.String(), "level=INFO") != 1 {
			t.Errorf("%d requests after the outage; the log is\n%s", s.sums.requests(), log)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseWaitsForAStoreToReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		m := New(s, options(&bytes.Buffer{}))
		s.fail(away())
		m.Record(served)
		time.AfterFunc(patience/2, func() { s.fail(nil) })
		if err := m.Close(); err != nil || s.sums.requests() != 1 {
			t.Errorf("closed with %v and %d requests", err, s.sums.requests())
		}
	})
}

func TestCloseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		m := New(s, options(&bytes.Buffer{}))
		s.fail(away())
		m.Record(served)
		start := time.Now()
		err := m.Close()
		if !errors.Is(err, state.ErrUnavailable) || !strings.Contains(err.Error(), "1 requests") {
			t.Errorf("closed with %v", err)
		}
		if took := time.Since(start); took > patience {
			t.Errorf("took %s", took)
		}
	})
}

func TestCloseLeavesAStoreThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		s.block = make(chan struct{})
		m := New(s, options(&bytes.Buffer{}))
		m.Record(served)
		start := time.Now()
		if err := m.Close(); err == nil {
			t.Error("closed as if all was written")
		}
		if took := time.Since(start); took > 3*patience {
			t.Errorf("took %s", took)
		}
		close(s.block)
	})
}

// A batch on its way is neither pending nor stored; a reader must not miss it, nor wait for ever.
func TestTotalsDuringAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		s.block = make(chan struct{})
		m := New(s, options(&bytes.Buffer{}))
		m.Record(served)
		time.Sleep(defaultFlush)
		synctest.Wait() // the write hangs
		m.Record(served)

		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.Totals(hasty); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v from a caller out of time", err)
		}
		time.AfterFunc(time.Second, func() { close(s.block) })
		totals, err := m.Totals(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(totals.Usage, func(u state.Usage) bool { return u.Kind == state.OfAll })
		if got := totals.Usage[i].Requests; got != 2 {
			t.Errorf("%d requests, want the one written and the one pending", got)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
}

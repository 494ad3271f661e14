package memstate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/statetest"
)

// childDir names the variable that makes this test binary the process that is killed in TestCrash.
const childDir = "MEMSTATE_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		spendUntilKilled(dir)
	}
	if dir := os.Getenv(catalogDir); dir != "" {
		applyUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

func opened(t *testing.T, dir string, opts ...Option) *Store {
	t.Helper()
	s, err := Open(dir, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSuite(t *testing.T) {
	t.Run("memory", func(t *testing.T) { statetest.Run(t, func(*testing.T) state.Store { return New() }) })
	t.Run("file", func(t *testing.T) {
		statetest.Run(t, func(t *testing.T) state.Store { return opened(t, t.TempDir()) })
	})
}

func TestBounds(t *testing.T) {
	for name, s := range map[string]*Store{"memory": New(), "file": opened(t, t.TempDir())} {
		s.series.mostSeries, s.mostScanned = 20, 57
		t.Run(name, func(t *testing.T) { statetest.Bounded(t, s, s.series.mostSeries, s.mostScanned) })
	}
}

// Against a model, while hours and days go by.
func TestMachine(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	statetest.Machine(t, New(WithClock(clock)), clock, func(d time.Duration) { now = now.Add(d) })
}

// What was settled beyond the mark is in the file before Settle returns.
func TestSettledIsWritten(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir)
	total := state.Charge{Limit: "tokens/total", Cost: 10, Quota: state.Quota{Limit: 10_000, Period: proxy.Total}}
	s.Spend(t.Context(), "c:one", "r", []state.Charge{total})
	if err := s.Settle(t.Context(), []state.Settlement{{Subject: "c:one", Reservation: "r", Amounts: []state.Spending{{Charge: total, Spent: 7_000}}}}); err != nil {
		t.Fatal(err)
	}
	bytes, err := os.ReadFile(filepath.Join(dir, "state.db")) // as a kill would leave it
	if err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	os.WriteFile(filepath.Join(other, "state.db"), bytes, 0o600)
	total.Cost = 0
	v, err := opened(t, other).Spend(t.Context(), "c:one", "", []state.Charge{total})
	if err != nil || v.Balances[0].Left > 3_000 || v.Balances[0].Left < 2_800 {
		t.Errorf("%+v, %v", v, err)
	}
}

var day = state.Charge{Limit: "requests/day", Cost: 1, Quota: state.Quota{Limit: 10_000, Period: proxy.Day}}

// After a clean end everything is as it was.
func TestReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := opened(t, dir)
	who := state.Subject{Scope: proxy.ByModel, ID: "account", Model: "m"}
	rate := state.Charge{Limit: "rpm", Cost: 3, Rate: state.Rate{Count: 1, Per: time.Minute, Burst: 10}}
	s.Advance(t.Context(), "pool", 41)
	s.Spend(t.Context(), "c:one", "", []state.Charge{day, rate})
	s.Rest(t.Context(), state.Rest{Subject: who, Reason: proxy.Cooling, Until: time.Now().Add(time.Hour), Repeat: 2})
	s.Rest(t.Context(), state.Rest{Subject: state.Subject{Scope: proxy.ByKey, ID: "k"}, Until: time.Now().Add(time.Hour)})
	s.Wake(t.Context(), state.Subject{Scope: proxy.ByKey, ID: "k"})
	s.Count(t.Context(), state.Batch{Totals: []state.Usage{{Kind: state.OfKey, ID: "k", Counts: state.Counts{Requests: 7}}}})
	before, _ := s.Totals(t.Context())
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}

	s = opened(t, dir)
	if first, _ := s.Advance(t.Context(), "pool", 1); first != 41 {
		t.Errorf("the cursor stands at %d", first)
	}
	day, rate := day, rate
	day.Cost, rate.Cost = 0, 0
	v, err := s.Spend(t.Context(), "c:one", "", []state.Charge{day, rate})
	if err != nil || v.Balances[0].Left != 9_999 || v.Balances[1].Left != 7 {
		t.Errorf("balances %+v, %v", v.Balances, err)
	}
	if rests, _ := s.Rests(t.Context()); len(rests) != 1 || rests[0].Subject != who || rests[0].Repeat != 2 {
		t.Errorf("rests %+v", rests)
	}
	after, _ := s.Totals(t.Context())
	if !after.Since.Equal(before.Since) || len(after.Usage) != 1 || after.Usage[0].Requests != 7 {
		t.Errorf("totals %+v", after)
	}
}

// After a kill nobody may spend what was spent already: what is counted is at least what was given, and not much more.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), childDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	given := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if given++; given == 1234 {
			child.Process.Kill()
		}
	}
	child.Wait()
	if given < 1234 {
		t.Fatalf("the child gave %d", given)
	}
	s := opened(t, dir)
	read := day
	read.Cost = 0
	v, err := s.Spend(t.Context(), "k:key", "", []state.Charge{read})
	if err != nil {
		t.Fatal(err)
	}
	counted := int(day.Quota.Limit - v.Balances[0].Left)
	if slack := int(day.Quota.Limit/100) + 1; counted < given || counted > given+2*slack {
		t.Errorf("%d given before the kill, %d counted after it", given, counted)
	}
}

// spendUntilKilled prints a line for each unit that it was given.
func spendUntilKilled(dir string) {
	s, err := Open(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	end := time.Now().Add(time.Minute)
	for time.Now().Before(end) {
		v, err := s.Spend(context.Background(), "k:key", "", []state.Charge{day})
		if err != nil || !v.OK {
			break
		}
		fmt.Println("given")
		time.Sleep(100 * time.Microsecond)
	}
	os.Exit(0)
}

func TestInUse(t *testing.T) {
	dir := t.TempDir()
	opened(t, dir)
	_, err := Open(dir)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v", err)
	}
}

func TestUnusableDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o600)
	if _, err := Open(filepath.Join(file, "data")); err == nil || !strings.Contains(err.Error(), "empty DATA_DIR") {
		t.Errorf("%v", err)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	opened(t, dir).Close()
	db, err := bbolt.Open(filepath.Join(dir, "state.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(metaBucket).Put(versionKey, []byte("2")) })
	db.Close()
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("%v", err)
	}
}

func TestPeriods(t *testing.T) {
	now := time.Date(2026, 1, 31, 23, 59, 59, 0, time.UTC)
	s := New(WithClock(func() time.Time { return now }))
	month := state.Charge{Limit: "requests/month", Cost: 1, Quota: state.Quota{Limit: 1, Period: proxy.Month}}
	s.Spend(t.Context(), "k:a", "", []state.Charge{month})
	v, _ := s.Spend(t.Context(), "k:a", "", []state.Charge{month})
	if v.OK || v.RetryAfter != time.Second {
		t.Errorf("%+v", v)
	}
	now = now.Add(time.Second)
	if v, _ := s.Spend(t.Context(), "k:a", "", []state.Charge{month}); !v.OK {
		t.Errorf("in the next month: %+v", v)
	}
	now = now.Add(-time.Minute) // the clock goes back: January is not opened again
	if v, _ := s.Spend(t.Context(), "k:a", "", []state.Charge{month}); v.OK {
		t.Errorf("the clock went back: %+v", v)
	}
}

func TestIdleSubjectsAreForgotten(t *testing.T) {
	now := time.Now()
	dir := t.TempDir()
	s := opened(t, dir, WithClock(func() time.Time { return now }))
	rate := state.Charge{Limit: "rpm", Cost: 1, Rate: state.Rate{Count: 1, Per: time.Minute, Burst: 10}}
	for i := range 3 * sweepAtOnce {
		s.Spend(t.Context(), fmt.Sprint("c:", i), "", []state.Charge{rate})
	}
	now = now.Add(time.Hour)
	for range 5 {
		s.limits.prune(now)
	}
	if n := len(s.limits.subjects); n != 0 {
		t.Errorf("%d subjects remembered", n)
	}
	s.Close()
	if n := len(opened(t, dir).limits.subjects); n != 0 {
		t.Errorf("%d subjects in the file", n)
	}
}

func TestRestsAreBounded(t *testing.T) {
	s := New()
	until := time.Now().Add(time.Hour)
	for i := range mostRests + 10 {
		s.Rest(t.Context(), state.Rest{Subject: state.Subject{Scope: proxy.ByModel, ID: "a", Model: fmt.Sprint(i)}, Until: until})
		if i > mostRests+5 {
			break
		}
	}
	if n := len(s.rests.all); n > mostRests {
		t.Errorf("%d rests", n)
	}
}

func BenchmarkAdvance(b *testing.B) {
	s := New()
	b.ReportAllocs()
	for b.Loop() {
		s.Advance(b.Context(), "pool", 1)
	}
}

func BenchmarkSpend(b *testing.B) {
	s := New()
	charges := []state.Charge{{Limit: "rpm", Cost: 1, Rate: state.Rate{Count: 1 << 30, Per: time.Minute, Burst: 1 << 30}}}
	b.ReportAllocs()
	for b.Loop() {
		s.Spend(b.Context(), "c:one", "", charges)
	}
}

package memstate

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/statetest"
)

// clock is a time that a test moves.
type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

var noon = time.Date(2026, 5, 4, 12, 0, 30, 0, time.UTC)

// still opens a Store that writes when it is told to, and at its end.
func still(t *testing.T, dir string, c *clock) *Store {
	t.Helper()
	s := New(WithClock(c.read))
	f, err := openFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.load(s); err != nil {
		t.Fatal(err)
	}
	s.file = f
	close(s.done) // there is no flusher to wait for
	t.Cleanup(func() { s.Close() })
	return s
}

func batch(at time.Time, key string, ids ...string) state.Batch {
	one := []state.Usage{{Kind: state.OfKey, ID: key, Counts: state.Counts{Requests: int64(len(ids)), Time: 7}}}
	b := state.Batch{At: at, Totals: one, Series: one}
	for _, id := range ids {
		b.Requests = append(b.Requests, statetest.Packed(state.Request{ID: id, Method: "POST", Status: 200, Outcome: "succeeded",
			At: at.Truncate(time.Millisecond)})...)
	}
	return b
}

func counted(t *testing.T, s *Store, b state.Batch) {
	t.Helper()
	if err := s.Count(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// all is what every step has for the key, and every remembered request.
func all(t *testing.T, s *Store, key string) (series [3][]state.Point, ids []string) {
	t.Helper()
	for i, step := range state.Steps {
		for to := s.now().Add(step.Length()); s.now().Sub(to) < step.Kept(); to = to.Add(-1000 * step.Length()) {
			q := state.SeriesQuery{Step: step, From: to.Add(-1000 * step.Length()), To: to, Kind: state.OfKey, ID: key}
			found, err := s.Series(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			series[i] = append(found, series[i]...)
		}
	}
	for next, first := "", true; first || next != ""; first = false {
		page, err := s.Requests(t.Context(), state.RequestQuery{After: next, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Requests {
			ids = append(ids, r.ID)
		}
		next = page.Next
	}
	return series, ids
}

// What is in memory, in the file, and in both is one history: before a write, after it, after a clean end.
func TestHistoryIsReopened(t *testing.T) {
	dir, c := t.TempDir(), &clock{noon}
	s := still(t, dir, c)
	for i := range 5 {
		counted(t, s, batch(c.now, "k", fmt.Sprint("a", i), fmt.Sprint("b", i)))
		if i == 2 {
			if err := s.flush(false); err != nil {
				t.Fatal(err)
			}
			s.series.settle(c.now.Add(72 * time.Hour)) // as if all were over: what follows reads the steps anew
			if len(s.series.steps) != 0 || len(s.requests.all()) != 0 {
				t.Errorf("%d steps and %d requests are still in memory", len(s.series.steps), len(s.requests.all()))
			}
		}
		c.now = c.now.Add(20 * time.Second)
	}
	series, ids := all(t, s, "k")
	want := [3][]int64{{4, 6}, {10}, {10}} // 12:00:30, :50; 12:01:10, :30, :50
	for i := range series {
		var got []int64
		for _, p := range series[i] {
			got = append(got, p.Requests)
		}
		if !reflect.DeepEqual(got, want[i]) {
			t.Errorf("by %s: %v, want %v", state.Steps[i], got, want[i])
		}
	}
	if want := []string{"b4", "a4", "b3", "a3", "b2", "a2", "b1", "a1", "b0", "a0"}; !reflect.DeepEqual(ids, want) {
		t.Errorf("requests %v, want %v", ids, want)
	}
	before, err := s.Requests(t.Context(), state.RequestQuery{Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = still(t, dir, c)
	again, idsAgain := all(t, s, "k")
	if !reflect.DeepEqual(again, series) || !reflect.DeepEqual(idsAgain, ids) {
		t.Errorf("reopened:\n%+v\n%v\nwant\n%+v\n%v", again, idsAgain, series, ids)
	}
	c.now = c.now.Add(-time.Hour) // the clock went back: positions do not
	counted(t, s, batch(c.now, "k", "late"))
	page, err := s.Requests(t.Context(), state.RequestQuery{Limit: 3, Since: before.Newest})
	if err != nil || len(page.Requests) != 1 || page.Requests[0].ID != "late" || page.Next != "" {
		t.Errorf("followed over a restart: %+v, %v", page, err)
	}
}

// A file of before there was a history is read, and goes on with one.
func TestOlderFile(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir)
	counted(t, s, batch(time.Now(), "k", "one"))
	s.Close()
	db, err := bbolt.Open(filepath.Join(dir, "state.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, step := range state.Steps {
			if err := tx.DeleteBucket(stepBucket(step)); err != nil {
				return err
			}
		}
		// As it was written before there was a time.
		usage := `{"Kind":"key","ID":"k","Requests":1,"Successes":0,"Failures":0,"Input":5,"Cached":0,"Output":0,"Reasoning":0,"Latency":[1]}`
		if err := tx.Bucket(usageBucket).Put([]byte("key\x00k"), []byte(usage)); err != nil {
			return err
		}
		return tx.DeleteBucket(requestBucket)
	})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	s = opened(t, dir)
	counted(t, s, batch(time.Now(), "k", "two"))
	totals, _ := s.Totals(t.Context())
	if u := totals.Usage[0]; u.Requests != 2 || u.Input != 5 || u.Time != 7 || u.Latency[0] != 1 {
		t.Errorf("totals %+v", totals.Usage)
	}
	if series, ids := all(t, s, "k"); len(series[2]) != 1 || series[2][0].Requests != 1 || !reflect.DeepEqual(ids, []string{"two"}) {
		t.Errorf("%+v, %v", series, ids)
	}
}

// records counts what the file holds.
func records(t *testing.T, s *Store) (n map[string]int) {
	t.Helper()
	n = map[string]int{}
	s.file.db.View(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{[]byte("minute"), []byte("hour"), []byte("day"), requestBucket} {
			tx.Bucket(name).ForEach(func(k, v []byte) error { n[string(name)]++; return nil })
		}
		return nil
	})
	return n
}

// What is too old is not found any more, at once, and is deleted with a flush; each step keeps its own time.
func TestHistoryIsPruned(t *testing.T) {
	c := &clock{noon}
	s := still(t, t.TempDir(), c)
	counted(t, s, batch(c.now, "k", "one", "two"))
	steps := []struct {
		later time.Duration
		want  [4]int // minutes, hours, days, requests
	}{
		{47 * time.Hour, [4]int{1, 1, 1, 2}},
		{2 * time.Hour, [4]int{0, 1, 1, 2}},
		{5 * 24 * time.Hour, [4]int{0, 1, 1, 0}}, // 7 days and an hour
		{29 * 24 * time.Hour, [4]int{0, 0, 1, 0}},
		{366 * 24 * time.Hour, [4]int{0, 0, 0, 0}},
	}
	for i, step := range steps {
		c.now = c.now.Add(step.later)
		series, ids := all(t, s, "k")
		if got := [4]int{len(series[0]), len(series[1]), len(series[2]), len(ids)}; got != step.want {
			t.Errorf("step %d: %v found, want %v", i, got, step.want)
		}
		counted(t, s, batch(c.now, "other")) // something to write
		if err := s.flush(false); err != nil {
			t.Fatal(err)
		}
		s.series.settle(c.now)
		n := records(t, s)
		got := [4]int{n["minute"], n["hour"], n["day"], n["requests"]}
		for j := range 3 { // less what was written for the other, now and before
			others, err := s.Series(t.Context(), state.SeriesQuery{Step: state.Steps[j], From: noon, To: c.now.Add(time.Minute), Kind: state.OfKey, ID: "other"})
			if err != nil {
				t.Fatal(err)
			}
			got[j] -= len(others)
		}
		if got != step.want {
			t.Errorf("step %d: %v in the file, want %v", i, got, step.want)
		}
	}
	if len(s.series.steps) != 3 {
		t.Errorf("%d steps in memory", len(s.series.steps))
	}
}

func TestRequestsInTheFileAreBounded(t *testing.T) {
	s := still(t, t.TempDir(), &clock{noon})
	s.mostRemembered = 100
	for i := range 30 {
		var ids []string
		for j := range 10 {
			ids = append(ids, fmt.Sprint(i*10+j))
		}
		counted(t, s, batch(noon, "k", ids...))
		if err := s.flush(false); err != nil {
			t.Fatal(err)
		}
	}
	if _, ids := all(t, s, "k"); len(ids) != 100 || ids[0] != "299" || ids[99] != "200" || records(t, s)["requests"] != 100 {
		t.Errorf("%d requests, %v", len(ids), ids)
	}
}

func TestRequestsInMemoryAreBounded(t *testing.T) {
	for kept, want := range map[int]int{1000: 1000, 250_000: mostRecent} {
		s := New(WithRequests(kept))
		for i := range mostRecent/100 + 1 {
			var ids []string
			for j := range 100 {
				ids = append(ids, fmt.Sprint(i*100+j))
			}
			counted(t, s, batch(time.Now(), "k", ids...))
		}
		if _, ids := all(t, s, "k"); len(ids) != want || ids[0] != fmt.Sprint(mostRecent+99) {
			t.Errorf("%d requests are there of %d, want %d", len(ids), kept, want)
		}
	}
}

// Without a file there is less of it, and what is old goes.
func TestHistoryInMemoryIsBounded(t *testing.T) {
	c := &clock{noon}
	s := New(WithClock(c.read))
	s.series.mostPoints = 50
	for i := range 3 * mostRecent / 100 {
		var ids []string
		for j := range 100 {
			ids = append(ids, fmt.Sprint(i*100+j))
		}
		counted(t, s, batch(c.now, "k", ids...))
		c.now = c.now.Add(time.Minute)
	}
	series, ids := all(t, s, "k")
	if len(ids) != mostRecent || ids[0] != fmt.Sprint(3*mostRecent-1) {
		t.Errorf("%d requests remembered", len(ids))
	}
	if n := len(series[0]) + len(series[1]) + len(series[2]); n < 50 || n > 53 || len(series[1]) != 5 || len(series[2]) != 1 {
		t.Errorf("%d minutes, %d hours, %d days in memory", len(series[0]), len(series[1]), len(series[2]))
	}
	counted(t, s, batch(noon.Add(-50*time.Hour), "k", "of long ago")) // a minute that is not kept any more
	c.now = c.now.Add(state.RequestsKept + time.Second)
	if _, ids := all(t, s, "k"); len(ids) != 0 {
		t.Errorf("%d old requests", len(ids))
	}
}

// While the file cannot be written the history goes on in memory, and is written when it can be.
func TestHistoryOutlivesAFailingFile(t *testing.T) {
	c := &clock{noon}
	s := still(t, t.TempDir(), c)
	path := s.file.db.Path()
	s.file.db.Close() // every transaction fails now
	counted(t, s, state.Batch{})
	err := s.Count(t.Context(), batch(c.now, "k", "one"))
	if err == nil { // the step could not be read, so that nothing may be added to it
		t.Error("added to what is not known")
	}
	if got := s.requests.all(); len(got) != 0 {
		t.Errorf("%d requests of a batch that was refused", len(got))
	}
	if s.file.db, err = bbolt.Open(path, 0o600, nil); err != nil {
		t.Fatal(err)
	}
	counted(t, s, batch(c.now, "k", "one"))
	s.file.db.Close()
	counted(t, s, batch(c.now, "k", "two"))
	if err := s.flush(false); err == nil {
		t.Fatal("written to a closed file")
	}
	s.series.settle(c.now.Add(time.Hour))
	if s.file.db, err = bbolt.Open(path, 0o600, nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if series, ids := all(t, s, "k"); len(series[0]) != 1 || series[0][0].Requests != 2 || len(ids) != 2 {
			t.Errorf("%+v, %v", series, ids)
		}
		if err := s.flush(false); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkCount(b *testing.B) {
	for name, s := range map[string]*Store{"memory": New(), "file": nil} {
		b.Run(name, func(b *testing.B) {
			if s == nil {
				var err error
				if s, err = Open(b.TempDir()); err != nil {
					b.Fatal(err)
				}
				defer s.Close()
			}
			var ids []string
			for i := range 500 {
				ids = append(ids, fmt.Sprint("req_", i))
			}
			one := batch(time.Now(), "k", ids...)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if err := s.Count(b.Context(), one); err != nil {
					b.Fatal(err)
				}
				n++
				if n%20 == 0 { // a second's worth
					if err := s.flush(false); err != nil {
						b.Fatal(err)
					}
				}
			}
			if s.file != nil {
				if info, err := os.Stat(s.file.db.Path()); err == nil {
					b.ReportMetric(float64(info.Size())/float64(500*n), "file-B/request")
				}
			}
		})
	}
}

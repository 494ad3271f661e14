package memstate

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"openai-api-proxy/pkg/state"
)

// The bucket has two kinds of records: of names, under "name/<name>", until when each is held, and of alerts, under "told/" and
// their number.
var (
	alertsBucket = []byte("alerts")
	heldPrefix   = []byte("name/")
	toldPrefix   = []byte("told/")
)

// alerts are what operators were told. There is one instance and no answer is lost, so tokens are not needed.
type alerts struct {
	mu     sync.Mutex           // guards the rest; held while the file is written, which is seldom
	held   map[string]time.Time // until when; the zero time: until it ends
	latest []toldAlert          // oldest first
	sweep  int                  // size of held at which names that are free are next looked for
	most   int                  // names that are held until they end, and alerts that are kept; lower in tests
	kept   int
}

type toldAlert struct {
	Number uint64          `json:"number"`
	Name   string          `json:"name"`
	Text   json.RawMessage `json:"text"`
}

// heldRecord is a name on disk.
type heldRecord struct {
	Until int64 `json:"until"` // unix ms; 0: until it ends
}

const firstAlertSweep = 1024

func newAlerts() alerts {
	return alerts{held: map[string]time.Time{}, sweep: firstAlertSweep, most: state.MostLasting, kept: state.AlertsKept}
}

// Tell writes to disk before it answers.
func (s *Store) Tell(ctx context.Context, a state.Alert, _ string, life time.Duration) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, unavailable(err)
	}
	al, now := &s.alerts, s.now()
	al.mu.Lock()
	defer al.mu.Unlock()
	if until, held := al.held[a.Name]; held && (until.IsZero() || now.Before(until)) {
		return false, nil
	}
	var until time.Time
	if life > 0 {
		until = now.Add(life)
	} else if al.lastingLocked() >= al.most {
		return false, nil
	}
	free := al.freeLocked(now)
	err := s.writeAlert(al.numberedLocked(a), func(b *bbolt.Bucket) error {
		var errs []error
		for _, name := range free {
			errs = append(errs, b.Delete(heldKey(name)))
		}
		return errors.Join(append(errs, write(b, heldKey(a.Name), heldRecord{unixMilli(until)}))...)
	})
	if err != nil {
		return false, unavailable(err)
	}
	for _, name := range free {
		delete(al.held, name)
	}
	al.held[a.Name] = until
	al.rememberLocked(a)
	return true, nil
}

// End writes to disk before it answers.
func (s *Store) End(ctx context.Context, a state.Alert, _ string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, unavailable(err)
	}
	al := &s.alerts
	al.mu.Lock()
	defer al.mu.Unlock()
	if until, held := al.held[a.Name]; !held || !until.IsZero() {
		return false, nil
	}
	err := s.writeAlert(al.numberedLocked(a), func(b *bbolt.Bucket) error { return b.Delete(heldKey(a.Name)) })
	if err != nil {
		return false, unavailable(err)
	}
	delete(al.held, a.Name)
	al.rememberLocked(a)
	return true, nil
}

// Lasting lists names.
func (s *Store) Lasting(ctx context.Context) (names []string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, unavailable(err)
	}
	s.alerts.mu.Lock()
	defer s.alerts.mu.Unlock()
	for name, until := range s.alerts.held {
		if until.IsZero() {
			names = append(names, name)
		}
	}
	return names, nil
}

// Told goes backwards.
func (s *Store) Told(ctx context.Context, after string, limit int) ([]state.Alert, error) {
	if err := ctx.Err(); err != nil {
		return nil, unavailable(err)
	}
	s.alerts.mu.Lock()
	defer s.alerts.mu.Unlock()
	latest, begin := s.alerts.latest, 0
	if after != "" {
		number, err := strconv.ParseUint(after, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not the id of an alert", after)
		}
		begin = sort.Search(len(latest), func(i int) bool { return latest[i].Number > number })
	}
	begin = max(begin, len(latest)-max(limit, 1))
	all := make([]state.Alert, 0, len(latest)-begin)
	for _, a := range slices.Backward(latest[begin:]) {
		all = append(all, state.Alert{ID: strconv.FormatUint(a.Number, 10), Name: a.Name, Text: slices.Clone(a.Text)})
	}
	return all, nil
}

func (al *alerts) lastingLocked() (n int) {
	for _, until := range al.held {
		if until.IsZero() {
			n++
		}
	}
	return n
}

// freeLocked are names that nobody holds any more, looked for whenever there are twice as many.
func (al *alerts) freeLocked(now time.Time) (names []string) {
	if len(al.held) < al.sweep {
		return nil
	}
	for name, until := range al.held {
		if !until.IsZero() && !now.Before(until) {
			names = append(names, name)
		}
	}
	al.sweep = max(2*(len(al.held)-len(names)), firstAlertSweep)
	return names
}

func (al *alerts) numberedLocked(a state.Alert) toldAlert {
	n := uint64(1)
	if len(al.latest) > 0 {
		n = al.latest[len(al.latest)-1].Number + 1
	}
	return toldAlert{n, a.Name, slices.Clone(a.Text)}
}

func (al *alerts) rememberLocked(a state.Alert) {
	al.latest = append(al.latest, al.numberedLocked(a))
	al.latest = al.latest[max(0, len(al.latest)-al.kept):]
}

// writeAlert writes an alert and what goes with it, and deletes the one that is forgotten for it.
func (s *Store) writeAlert(a toldAlert, more func(*bbolt.Bucket) error) error {
	if s.file == nil {
		return nil
	}
	return s.file.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(alertsBucket)
		errs := []error{write(b, toldKey(a.Number), a), more(b)}
		if kept := uint64(s.alerts.kept); a.Number > kept {
			errs = append(errs, b.Delete(toldKey(a.Number-kept)))
		}
		return errors.Join(errs...)
	})
}

func heldKey(name string) []byte { return append(slices.Clone(heldPrefix), name...) }

func toldKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64(slices.Clone(toldPrefix), number)
}

func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// loadAlerts reads all records; those of alerts stand in the order of their numbers.
func loadAlerts(b *bbolt.Bucket, al *alerts) error {
	return each(b, func(key string, text json.RawMessage) { al.load(key, text) })
}

// load takes over one record of the file. One that cannot be read is of a newer version: it is left alone.
func (al *alerts) load(key string, text json.RawMessage) {
	if name, ok := strings.CutPrefix(key, string(heldPrefix)); ok {
		var r heldRecord
		if json.Unmarshal(text, &r) != nil {
			return
		}
		al.held[name] = time.Time{}
		if r.Until != 0 {
			al.held[name] = time.UnixMilli(r.Until)
		}
		return
	}
	var a toldAlert
	if json.Unmarshal(text, &a) == nil {
		al.latest = append(al.latest, a)
	}
}

package memstate

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"openai-api-proxy/pkg/state"
)

// ErrInUse means that another process has the directory.
var ErrInUse = errors.New("in use by another process: one DATA_DIR serves one process; to run several, give each its own")

const (
	// formatVersion of the file. A newer one is not touched.
	formatVersion = 1
	lockWait      = 400 * time.Millisecond
)

var (
	metaBucket    = []byte("meta")
	cursorsBucket = []byte("cursors")
	limitsBucket  = []byte("limits")
	restsBucket   = []byte("rests")
	usageBucket   = []byte("usage")
	requestBucket = []byte("requests")
	sourceBucket  = []byte("sources")
	versionKey    = []byte("format")
	sinceKey      = []byte("since")
)

// file is the state on disk: a bbolt database, a bucket for each kind of record, JSON values.
type file struct{ db *bbolt.DB }

func openFile(dir string) (*file, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unusable(dir, err)
	}
	db, err := bbolt.Open(filepath.Join(dir, "state.db"), 0o600, &bbolt.Options{Timeout: lockWait})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("the data directory %s is %w", dir, ErrInUse)
	case err != nil:
		return nil, unusable(dir, err)
	}
	return &file{db}, nil
}

func unusable(dir string, err error) error {
	return fmt.Errorf("the data directory %s cannot be used (an empty DATA_DIR keeps the state in memory): %w", dir, err)
}

func (f *file) close() error { return f.db.Close() }

// limitRecord is a limit on disk: times in unix nanoseconds.
type limitRecord struct {
	Arrival map[string]int64       `json:"arrival,omitempty"`
	Burst   map[string]int64       `json:"burst,omitempty"` // tolerance of each arrival; older files have none
	Quotas  map[string]quotaRecord `json:"quotas,omitempty"`
}

type quotaRecord struct {
	Start int64 `json:"start"` // unix seconds
	End   int64 `json:"end"`   // unix seconds; 0: never
	Used  int64 `json:"used"`  // ahead of what was given while the process runs
}

// record is what is written of a limit: what was used when that is final, otherwise the mark ahead of it.
func (l *limit) record(final bool) limitRecord {
	r := limitRecord{Arrival: map[string]int64{}, Burst: map[string]int64{}, Quotas: map[string]quotaRecord{}}
	for name, a := range l.arrival {
		r.Arrival[name], r.Burst[name] = a.at.UnixNano(), int64(a.tolerance)
	}
	for name, q := range l.quotas {
		used := q.mark
		if final {
			used = q.used
		}
		r.Quotas[name] = quotaRecord{unix(q.start), unix(q.end), used}
	}
	return r
}

func (r limitRecord) limit() *limit {
	l := &limit{arrival: map[string]arrival{}, quotas: map[string]*quota{}}
	for name, at := range r.Arrival {
		l.arrival[name] = arrival{time.Unix(0, at), time.Duration(r.Burst[name])}
	}
	for name, q := range r.Quotas {
		l.quotas[name] = &quota{start: fromUnix(q.Start), end: fromUnix(q.End), used: q.Used, mark: q.Used}
	}
	return l
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func fromUnix(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}

// writeLimit writes one record, to disk before it returns.
func (f *file) writeLimit(subject string, r limitRecord) error {
	return f.db.Update(func(tx *bbolt.Tx) error {
		return write(tx.Bucket(limitsBucket), []byte(subject), r)
	})
}

func write(b *bbolt.Bucket, key []byte, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return b.Put(key, text)
}

// load reads all but the history, and makes the buckets that are missing: all of a new file, some of an older version's.
func (f *file) load(s *Store) error {
	return f.db.Update(func(tx *bbolt.Tx) error {
		names := [][]byte{metaBucket, cursorsBucket, limitsBucket, restsBucket, usageBucket, requestBucket, sourceBucket, objectsBucket, alertsBucket}
		for _, step := range state.Steps {
			names = append(names, stepBucket(step))
		}
		for _, name := range names {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		if err := loadMeta(tx.Bucket(metaBucket), s); err != nil {
			return err
		}
		if last, _ := tx.Bucket(requestBucket).Cursor().Last(); last != nil {
			s.requests.last = positionOf(last)
		}
		return errors.Join(
			loadCatalog(tx, &s.catalog),
			each(tx.Bucket(cursorsBucket), func(pool string, at int64) { s.cursors.at[pool] = at }),
			each(tx.Bucket(limitsBucket), func(subject string, r limitRecord) { s.limits.subjects[subject] = r.limit() }),
			each(tx.Bucket(restsBucket), func(_ string, r state.Rest) { s.rests.all[r.Subject] = r }),
			each(tx.Bucket(usageBucket), func(_ string, u state.Usage) { s.usage.all[usageName{u.Kind, u.ID}] = &u.Counts }),
			each(tx.Bucket(sourceBucket), s.sources.load),
			each(tx.Bucket(objectsBucket), s.objects.load),
			loadAlerts(tx.Bucket(alertsBucket), &s.alerts))
	})
}

func loadMeta(meta *bbolt.Bucket, s *Store) error {
	if found := meta.Get(versionKey); found != nil {
		version, err := strconv.Atoi(string(found))
		if err != nil || version > formatVersion {
			return fmt.Errorf("the file has format %q, this version knows %d: it was written by a newer version", found, formatVersion)
		}
	}
	if since := meta.Get(sinceKey); since != nil {
		return s.usage.since.UnmarshalText(since)
	}
	text, err := s.usage.since.MarshalText()
	if err != nil {
		return err
	}
	return errors.Join(meta.Put(versionKey, []byte(strconv.Itoa(formatVersion))), meta.Put(sinceKey, text))
}

// each decodes every record of a bucket. A record that cannot be read is a damaged file, which is not to be guessed at.
func each[V any](b *bbolt.Bucket, see func(key string, value V)) error {
	return b.ForEach(func(k, text []byte) error {
		var value V
		if err := json.Unmarshal(text, &value); err != nil {
			return fmt.Errorf("record %q: %w", k, err)
		}
		see(string(k), value)
		return nil
	})
}

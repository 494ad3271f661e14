package memstate

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"openai-api-proxy/pkg/state"
)

// sources are the numbers of the last batches that were taken in, by their source.
type sources struct {
	mu    sync.Mutex // guards all below
	last  map[string]sourceRecord
	dirty map[string]bool
	safe  map[string]int64 // what the file has; see Counted
}

// sourceRecord is a source on disk.
type sourceRecord struct {
	Number int64 `json:"number"`
	At     int64 `json:"at"` // unix ms of its last batch: the oldest are forgotten first
}

func newSources() sources {
	return sources{last: map[string]sourceRecord{}, dirty: map[string]bool{}, safe: map[string]int64{}}
}

func (o *sources) load(source string, r sourceRecord) { o.last[source], o.safe[source] = r, r.Number }

// Counted is the last batch of the source that is in the file, or, where there is none, in memory.
func (s *Store) Counted(source string) int64 {
	s.sources.mu.Lock()
	defer s.sources.mu.Unlock()
	return s.sources.safe[source]
}

// has reports whether the batch was taken in before.
func (o *sources) has(b state.Batch) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return b.Source != "" && b.Number <= o.last[b.Source].Number
}

// took notes that the batch was taken in. Without a file nothing is safer than that.
func (o *sources) took(b state.Batch, now time.Time, safe bool) {
	if b.Source == "" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last[b.Source] = sourceRecord{b.Number, now.UnixMilli()}
	o.dirty[b.Source] = true
	if safe {
		o.safe[b.Source] = b.Number
		clear(o.dirty)
	}
}

func (o *sources) collect() map[string]sourceRecord {
	o.mu.Lock()
	defer o.mu.Unlock()
	changed := make(map[string]sourceRecord, len(o.dirty))
	for source := range o.dirty {
		changed[source] = o.last[source]
	}
	clear(o.dirty)
	return changed
}

func (o *sources) remark(changed map[string]sourceRecord) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for source := range changed {
		o.dirty[source] = true
	}
}

// written notes what is in the file now, and forgets the oldest sources where there are too many.
func (o *sources) written(changed map[string]sourceRecord) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for source, r := range changed {
		o.safe[source] = r.Number
	}
	for _, source := range tooMany(o.last) {
		delete(o.last, source)
		delete(o.safe, source)
	}
}

// writeSources writes the numbers, in the transaction that writes what they count, and deletes the oldest.
func (c changes) writeSources(tx *bbolt.Tx) error {
	if len(c.sources) == 0 {
		return nil
	}
	b := tx.Bucket(sourceBucket)
	var errs []error
	for source, r := range c.sources {
		errs = append(errs, write(b, []byte(source), r))
	}
	all := map[string]sourceRecord{}
	if b.Stats().KeyN > state.SourcesKept {
		errs = append(errs, each(b, func(source string, r sourceRecord) { all[source] = r }))
	}
	for _, source := range tooMany(all) {
		errs = append(errs, b.Delete([]byte(source)))
	}
	return errors.Join(errs...)
}

// tooMany are the sources that were heard of least lately, as many as there are beyond SourcesKept.
func tooMany(all map[string]sourceRecord) []string {
	over := len(all) - state.SourcesKept
	if over <= 0 {
		return nil
	}
	names := make([]string, 0, len(all))
	for source := range all {
		names = append(names, source)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(all[a].At, all[b].At), cmp.Compare(a, b)) })
	return names[:over]
}

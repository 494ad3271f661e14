package memstate

import (
	"encoding/json"
	"errors"
	"time"

	"go.etcd.io/bbolt"

	"openai-api-proxy/pkg/state"
)

// changes are copies of all records that changed, and which are gone.
type changes struct {
	cursors map[string]int64
	limits  map[string]*limitRecord // nil: gone
	rests   map[state.Subject]*state.Rest
	usage   map[usageName]*state.Usage

	series   map[stepAt]map[seriesName]point
	requests []kept
	sources  map[string]sourceRecord
	objects  map[objectName]*objectRecord // nil: gone
}

// flush writes what changed in one transaction. With final set quotas are written as used, not as marked ahead.
func (s *Store) flush(final bool) error {
	if s.file == nil {
		return nil
	}
	c := s.collect(final)
	if len(c.cursors)+len(c.limits)+len(c.rests)+len(c.usage)+len(c.series)+len(c.requests)+len(c.sources)+len(c.objects) == 0 {
		return nil
	}
	err := s.file.db.Update(func(tx *bbolt.Tx) error {
		if !final {
			c.keepMarks(tx.Bucket(limitsBucket), s.now())
		}
		return errors.Join(c.write(tx), c.writeHistory(tx), c.writeSources(tx), c.writeObjects(tx), s.prune(tx))
	})
	if err != nil {
		s.remark(c)
		return err
	}
	s.requests.written(c.requests)
	s.sources.written(c.sources)
	return nil
}

// collect copies what changed and forgets that it did.
func (s *Store) collect(final bool) changes {
	c := changes{cursors: map[string]int64{}, limits: map[string]*limitRecord{}, rests: map[state.Subject]*state.Rest{}}
	s.collectHistory(&c)
	c.objects = s.objects.collect()
	s.cursors.mu.Lock()
	for pool := range s.cursors.dirty {
		c.cursors[pool] = s.cursors.at[pool]
	}
	clear(s.cursors.dirty)
	s.cursors.mu.Unlock()

	s.limits.mu.Lock()
	if final { // every mark is to be taken back, not only those that changed in the last second
		for subject, l := range s.limits.subjects {
			r := l.record(true)
			c.limits[subject] = &r
		}
	}
	for subject := range s.limits.dirty {
		c.limits[subject] = nil
		if l := s.limits.subjects[subject]; l != nil {
			r := l.record(final)
			c.limits[subject] = &r
		}
	}
	clear(s.limits.dirty)
	s.limits.mu.Unlock()

	s.rests.mu.Lock()
	for subject := range s.rests.dirty {
		c.rests[subject] = nil
		if r, found := s.rests.all[subject]; found {
			c.rests[subject] = &r
		}
	}
	clear(s.rests.dirty)
	s.rests.mu.Unlock()
	return c
}

// collectHistory is collect for what batches change: whole batches only.
func (s *Store) collectHistory(c *changes) {
	s.counting.Lock()
	defer s.counting.Unlock()
	c.series, c.requests, c.sources = s.series.collect(), s.requests.all(), s.sources.collect()
	c.usage = map[usageName]*state.Usage{}
	s.usage.mu.Lock()
	defer s.usage.mu.Unlock()
	for name := range s.usage.dirty {
		c.usage[name] = &state.Usage{Kind: name.kind, ID: name.id, Counts: *s.usage.all[name]}
	}
	clear(s.usage.dirty)
}

// remark notes changes again that could not be written.
func (s *Store) remark(c changes) {
	s.cursors.mu.Lock()
	for pool := range c.cursors {
		s.cursors.dirty[pool] = true
	}
	s.cursors.mu.Unlock()
	s.limits.mu.Lock()
	for subject := range c.limits {
		s.limits.dirty[subject] = true
	}
	s.limits.mu.Unlock()
	s.rests.mu.Lock()
	for subject := range c.rests {
		s.rests.touchLocked(subject)
	}
	s.rests.mu.Unlock()
	s.usage.mu.Lock()
	for name := range c.usage {
		s.usage.dirty[name] = true
	}
	s.usage.mu.Unlock()
	s.series.remark(c.series)
	s.sources.remark(c.sources)
	s.objects.remark(c.objects)
}

// keepMarks takes over what Spend has written since the changes were collected: a mark never goes back, and a subject that
// was idle then may not be now.
func (c changes) keepMarks(b *bbolt.Bucket, now time.Time) {
	for subject, r := range c.limits {
		var written limitRecord
		if text := b.Get([]byte(subject)); text == nil || json.Unmarshal(text, &written) != nil {
			continue
		}
		if r == nil {
			if !written.limit().idle(now) {
				delete(c.limits, subject)
			}
			continue
		}
		for name, q := range written.Quotas {
			if mine := r.Quotas[name]; mine.Start < q.Start || mine.Start == q.Start && mine.Used < q.Used {
				r.Quotas[name] = q
			}
		}
	}
}

func (c changes) write(tx *bbolt.Tx) error {
	var errs []error
	for pool, at := range c.cursors {
		errs = append(errs, write(tx.Bucket(cursorsBucket), []byte(pool), at))
	}
	for subject, r := range c.limits {
		errs = append(errs, putOrDelete(tx.Bucket(limitsBucket), subject, r))
	}
	for subject, r := range c.rests {
		errs = append(errs, putOrDelete(tx.Bucket(restsBucket), string(subject.Scope)+"\x00"+subject.ID+"\x00"+subject.Model, r))
	}
	for name, u := range c.usage {
		errs = append(errs, putOrDelete(tx.Bucket(usageBucket), string(name.kind)+"\x00"+name.id, u))
	}
	return errors.Join(errs...)
}

// putOrDelete writes a record, or deletes it when it is gone.
func putOrDelete[V any](b *bbolt.Bucket, key string, value *V) error {
	if value == nil {
		return b.Delete([]byte(key))
	}
	return write(b, []byte(key), value)
}

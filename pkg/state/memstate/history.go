package memstate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"openai-api-proxy/pkg/state"
)

// mostPruned bounds what one flush deletes from a bucket.
const mostPruned = 5000

// The records of history begin with their time, big-endian, so that they stand in its order.

// stepBucket is the bucket of one step's points.
func stepBucket(step state.Step) []byte { return []byte(step) }

// stepPrefix begins the keys of all points of a step; the kind, a zero byte and the id follow.
func stepPrefix(at int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(at)) }

func pointKey(at int64, name seriesName) []byte {
	return append(append(append(stepPrefix(at), name.kind...), 0), name.id...)
}

func requestKey(p state.Position) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, p.Ms), p.Seq)
}

func positionOf(key []byte) state.Position {
	if len(key) != 16 {
		return state.Position{}
	}
	return state.Position{Ms: binary.BigEndian.Uint64(key), Seq: binary.BigEndian.Uint64(key[8:])}
}

// writeHistory writes the points that changed and the new requests.
func (c changes) writeHistory(tx *bbolt.Tx) error {
	var errs []error
	for when, names := range c.series {
		b := tx.Bucket(stepBucket(when.step))
		for name, p := range names {
			counts := p.counts()
			errs = append(errs, b.Put(pointKey(when.at, name), []byte(counts.Pack())))
		}
	}
	b := tx.Bucket(requestBucket)
	b.FillPercent = 0.9 // they are only ever added at the end
	for _, k := range c.requests {
		errs = append(errs, b.Put(requestKey(k.at), k.text))
	}
	return errors.Join(errs...)
}

// prune deletes what is too old, and of the requests what is too many.
func (s *Store) prune(tx *bbolt.Tx) error {
	now := s.now()
	var errs []error
	for _, step := range state.Steps {
		errs = append(errs, deleteBefore(tx.Bucket(stepBucket(step)), stepPrefix(now.Add(-step.Kept()).Unix())))
	}
	b := tx.Bucket(requestBucket)
	errs = append(errs, deleteBefore(b, requestKey(state.Position{Ms: uint64(now.Add(-state.RequestsKept).UnixMilli())})))
	first, _ := b.Cursor().First()
	last, _ := b.Cursor().Last()
	if over := int64(positionOf(last).Seq-positionOf(first).Seq) + 1 - int64(s.mostRemembered); over > 0 {
		errs = append(errs, deleteFirst(b, min(over, mostPruned), func([]byte) bool { return true }))
	}
	return errors.Join(errs...)
}

func deleteBefore(b *bbolt.Bucket, limit []byte) error {
	return deleteFirst(b, mostPruned, func(key []byte) bool { return bytes.Compare(key, limit) < 0 })
}

// deleteFirst deletes up to n records from the beginning of a bucket, as long as old says so.
func deleteFirst(b *bbolt.Bucket, n int64, old func(key []byte) bool) error {
	c := b.Cursor()
	for key, _ := c.First(); key != nil && n > 0 && old(key); key, _ = c.First() { // a cursor may skip one after a deletion
		if err := c.Delete(); err != nil {
			return err
		}
		n--
	}
	return nil
}

// reader reads the history in the file as it is at one time. Without a file there is none.
type reader struct{ tx *bbolt.Tx }

// reading calls read with a reader that is good until it returns.
func (s *Store) reading(read func(reader) error) error {
	if s.file == nil {
		return read(reader{})
	}
	var answer error
	err := s.file.db.View(func(tx *bbolt.Tx) error {
		answer = read(reader{tx})
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w: %w", state.ErrUnavailable, err)
	}
	return answer
}

// step reads all points of a step.
func (r reader) step(when stepAt, into points) {
	r.each(when.step, stepPrefix(when.at), func(rest, text []byte) {
		kind, id, _ := bytes.Cut(rest, []byte{0})
		into[seriesName{state.Kind(kind), string(id)}] = unpack(text)
	})
}

// points reads what is asked for of a step, in the order of ids.
func (r reader) points(q state.SeriesQuery, at time.Time) (found []namedPoint) {
	if r.tx == nil {
		return nil
	}
	if q.ID != "" {
		if text := r.tx.Bucket(stepBucket(q.Step)).Get(pointKey(at.Unix(), seriesName{q.Kind, q.ID})); text != nil {
			found = append(found, namedPoint{q.ID, *unpack(text)})
		}
		return found
	}
	r.each(q.Step, pointKey(at.Unix(), seriesName{q.Kind, ""}), func(id, text []byte) {
		found = append(found, namedPoint{string(id), *unpack(text)})
	})
	return found
}

// each shows the records of a step whose keys begin with the prefix, and what follows it.
func (r reader) each(step state.Step, prefix []byte, see func(rest, text []byte)) {
	if r.tx == nil {
		return
	}
	c := r.tx.Bucket(stepBucket(step)).Cursor()
	for key, text := c.Seek(prefix); bytes.HasPrefix(key, prefix); key, text = c.Next() {
		see(key[len(prefix):], text)
	}
}

func unpack(text []byte) *point {
	counts := state.Unpack(string(text))
	p := new(point)
	p.add(&counts)
	return p
}

// requests shows the requests of a span, newest first, as long as see wants more.
func (r reader) requests(asked span, see func(kept) bool) {
	if r.tx == nil {
		return
	}
	c := r.tx.Bucket(requestBucket).Cursor()
	key, text := c.Seek(requestKey(asked.before))
	if key == nil {
		key, text = c.Last()
	} else {
		key, text = c.Prev()
	}
	for ; key != nil; key, text = c.Prev() {
		k := kept{positionOf(key), text}
		if !asked.after.Before(k.at) || !see(k) {
			return
		}
	}
}

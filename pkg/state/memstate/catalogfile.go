package memstate

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"go.etcd.io/bbolt"

	"openai-api-proxy/pkg/state"
)

var (
	itemsBucket = []byte("items")
	notesBucket = []byte("notes")
	catalogKey  = []byte("catalog") // in meta: the version of the items
)

// writeCatalog writes a version of the catalog: the items that it changed and its note, to disk before it returns. There
// is nothing to do without a file.
func (f *file) writeCatalog(version int64, items []state.Item, n numbered, forgotten []numbered) error {
	if f == nil {
		return nil
	}
	return f.db.Update(func(tx *bbolt.Tx) error {
		errs := []error{writeVersion(tx, version), putNote(tx, n, forgotten)}
		for _, i := range items {
			errs = append(errs, putItem(tx.Bucket(itemsBucket), i))
		}
		return errors.Join(errs...)
	})
}

// replaceCatalog writes a catalog in the place of the one there is.
func (f *file) replaceCatalog(version int64, items map[itemName]state.Item) error {
	if f == nil {
		return nil
	}
	return f.db.Update(func(tx *bbolt.Tx) error {
		if err := tx.DeleteBucket(itemsBucket); err != nil {
			return err
		}
		bucket, err := tx.CreateBucket(itemsBucket)
		if err != nil {
			return err
		}
		errs := []error{writeVersion(tx, version)}
		for _, i := range items {
			errs = append(errs, putItem(bucket, i))
		}
		return errors.Join(errs...)
	})
}

func (f *file) writeNote(n numbered, forgotten []numbered) error {
	if f == nil {
		return nil
	}
	return f.db.Update(func(tx *bbolt.Tx) error { return putNote(tx, n, forgotten) })
}

func writeVersion(tx *bbolt.Tx, version int64) error {
	return tx.Bucket(metaBucket).Put(catalogKey, strconv.AppendInt(nil, version, 10))
}

// putItem writes an item as "<revision>:<value>", or deletes it.
func putItem(b *bbolt.Bucket, i state.Item) error {
	key := []byte(i.Kind + "/" + i.ID) // neither has a slash
	if i.Deleted {
		return b.Delete(key)
	}
	return b.Put(key, append(append(strconv.AppendInt(nil, i.Revision, 10), ':'), i.Value...))
}

// putNote writes a note and deletes those that are forgotten for it.
func putNote(tx *bbolt.Tx, n numbered, forgotten []numbered) error {
	b := tx.Bucket(notesBucket)
	errs := []error{write(b, noteKey(n.number), n.note)}
	for _, old := range forgotten {
		errs = append(errs, b.Delete(noteKey(old.number)))
	}
	return errors.Join(errs...)
}

func noteKey(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

// loadCatalog reads items and notes, and makes the buckets of a file that has none yet.
func loadCatalog(tx *bbolt.Tx, c *catalog) error {
	items, err := tx.CreateBucketIfNotExists(itemsBucket)
	if err != nil {
		return err
	}
	notes, err := tx.CreateBucketIfNotExists(notesBucket)
	if err != nil {
		return err
	}
	if found := tx.Bucket(metaBucket).Get(catalogKey); found != nil {
		if c.version, err = strconv.ParseInt(string(found), 10, 64); err != nil {
			return fmt.Errorf("version of the catalog: %w", err)
		}
	}
	return errors.Join(items.ForEach(c.loadItem), notes.ForEach(c.loadNote))
}

func (c *catalog) loadItem(key, text []byte) error {
	kind, id, ok := bytes.Cut(key, []byte{'/'})
	revision, value, ok2 := bytes.Cut(text, []byte{':'})
	n, err := strconv.ParseInt(string(revision), 10, 64)
	if !ok || !ok2 || err != nil {
		return fmt.Errorf("record %q is not an item", key)
	}
	name := itemName{string(kind), string(id)}
	c.items[name] = copied(state.Item{Kind: name.kind, ID: name.id, Revision: n, Value: value})
	return nil
}

func (c *catalog) loadNote(key, text []byte) error {
	n := numbered{}
	if len(key) != 8 || json.Unmarshal(text, &n.note) != nil {
		return fmt.Errorf("record %x is not a note", key)
	}
	n.number = binary.BigEndian.Uint64(key)
	c.notes = append(c.notes, n)
	return nil
}

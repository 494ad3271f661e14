// Package journal keeps rows on disk until somebody else has them: a process that is killed has lost none, and the next one
// finds what has to be sent again, and under which name.
//
// A row is written before Append returns, with one write(2) and without waiting for the disk: it survives the end of the
// process, however it comes, and not that of the machine. Nothing is ever synced; what the kernel had not yet written at a
// power failure is gone. Rows are taken together to batches by marks among them. What a mark says never changes, so a batch
// that is sent again by another process is the same. When batches are counted elsewhere for good, the files that held
// their rows are deleted.
//
// Each process has a journal of its own, a directory that it holds locked. Its name is the source of the batches. One whose
// process has ended may be adopted by any other.
//
// A disk that is full, or that cannot be written, makes Append fail and breaks nothing: it is tried again once a second, in a
// new file. Half a row, or one whose bytes have changed, is passed over when rows are read, and no other with it.
package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// mostBytes bounds a journal: about 600,000 rows. Rows that come beyond it are refused; marks are not.
	mostBytes = 256 << 20
	// segmentBytes is when the next file is begun. It is read as a whole.
	segmentBytes = 4 << 20
	// tryAgain is how long nothing is written after a failure.
	tryAgain = time.Second
)

// ErrFull means that the journal has reached its bound.
var ErrFull = errors.New("the journal is full: what it holds waits to be counted")

// Batch is what a mark says: the rows from one number up to, and without, another are the batch with this number.
type Batch struct {
	Number    int64 // from 1, without gaps
	From, End int64
	At        time.Time // that the batch is of
	Marked    time.Time // when the mark was written; both in whole seconds
}

// Journal is the journal of one process.
type Journal struct {
	dir, source string
	lock        *os.File
	most        int64
	segment     int64
	create      func(path string) (file, error)

	mu       sync.Mutex // guards all below; held during a write
	segments []segment  // oldest first
	index    int        // of the last one
	file     file       // the last segment; nil: the next write begins another
	bytes    int64      // of all segments
	buffer   []byte
	failed   error     // of the last write; nil: it succeeded
	closed   bool      // somebody else may have it
	again    time.Time // when the next one is tried

	next    int64   // number of the next row
	cut     int64   // rows from this number on are in no batch
	last    int64   // number of the last batch
	counted int64   // batches up to this one need not be sent again
	marked  []Batch // those after it
	damaged int64   // rows that could not be read when the journal was opened
}

// Source is the name of the journal, which is that of its batches' source.
func (j *Journal) Source() string { return j.source }

// Append writes a row and returns its number, which are without gaps. An error means that it is not in the journal.
func (j *Journal) Append(row []byte) (int64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case len(row) > mostRow:
		return 0, fmt.Errorf("journal: a row of %d bytes is too long", len(row))
	case j.bytes+int64(headBytes+len(row)) > j.most:
		return 0, ErrFull
	}
	if err := j.writeLocked(frame{rowKind, j.next, row}); err != nil {
		return 0, err
	}
	j.next++
	j.segments[len(j.segments)-1].end = j.next
	return j.next - 1, nil
}

// Seal makes a batch of the rows that are in none yet, up to, and without, the one with the number end.
func (j *Journal) Seal(end int64, at time.Time) (Batch, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	b := Batch{Number: j.last + 1, From: j.cut, End: end, At: at.UTC().Truncate(time.Second), Marked: time.Now().UTC().Truncate(time.Second)}
	if end <= j.cut || end > j.next {
		return Batch{}, fmt.Errorf("journal: there are no rows %d to %d to seal", j.cut, end)
	}
	if err := j.writeLocked(frame{batchKind, b.Number, numbers(b.From, b.End, b.At.Unix(), b.Marked.Unix())}); err != nil {
		return Batch{}, err
	}
	j.last, j.cut = b.Number, b.End
	j.marked = append(j.marked, b)
	j.segments[len(j.segments)-1].last = b.Number
	return b, nil
}

// Counted says that the batches up to this number will not have to be sent again, and deletes the files that hold nothing
// else. It never fails: what cannot be written down is sent once more.
func (j *Journal) Counted(number int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	number = min(number, j.last)
	if number <= j.counted {
		return
	}
	_ = j.writeLocked(frame{countedKind, number, nil})
	j.counted = number
	j.keepMarked()
	whole := j.cut // the rows below are counted
	if len(j.marked) > 0 {
		whole = j.marked[0].From
	}
	for len(j.segments) > 1 && j.segments[0].end <= whole && j.segments[0].last <= number {
		if os.Remove(j.segments[0].path) != nil {
			return // the next time
		}
		j.bytes -= j.segments[0].bytes
		j.segments = j.segments[1:]
	}
}

// keepMarked forgets the batches that are counted.
func (j *Journal) keepMarked() {
	for len(j.marked) > 0 && j.marked[0].Number <= j.counted {
		j.marked = j.marked[1:]
	}
}

// Waiting are the batches that are not counted, oldest first.
func (j *Journal) Waiting() []Batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]Batch(nil), j.marked...)
}

// Uncut is the span of the rows that are in no batch.
func (j *Journal) Uncut() (from, end int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.cut, j.next
}

// Damaged is how many rows could not be read when the journal was opened.
func (j *Journal) Damaged() int64 { return j.damaged }

// Bytes is how long the journal is.
func (j *Journal) Bytes() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.bytes
}

// Close gives the journal up, and removes it if nothing of it is to be sent again. Otherwise it is there for whoever adopts
// it. What is written afterwards fails.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	var errs []error
	if j.file != nil {
		errs = append(errs, j.file.Close())
		j.file = nil
	}
	if len(j.marked) == 0 && j.cut >= j.next {
		errs = append(errs, j.remove())
	} else {
		errs = append(errs, j.lock.Close())
	}
	return errors.Join(errs...)
}

// remove deletes the journal, and then gives up the lock: nobody adopts half of it.
func (j *Journal) remove() error {
	away := filepath.Join(filepath.Dir(j.dir), gone+j.source)
	err := os.Rename(j.dir, away)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // it was never made
	}
	err = errors.Join(err, os.RemoveAll(away))
	if j.lock != nil {
		err = errors.Join(err, j.lock.Close())
	}
	return err
}

package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// magic begins every segment. Another one is of another version, and left alone.
const magic = "oapjrn1\n"

// ErrFormat means that a journal was written by another version.
var ErrFormat = errors.New("the journal has a format that this version does not know")

const segmentSuffix = ".rows"

// segment is a file of a journal.
type segment struct {
	path  string
	bytes int64
	first int64 // rows from this number
	end   int64 // up to, and without, this one
	last  int64 // number of the last batch that is marked in it; 0: none
}

// file is what of an os.File a journal writes to; another one in tests.
type file interface {
	Write([]byte) (int, error)
	Close() error
}

func create(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
}

// segmentPath is that of the segment with an index, which says in which order they were begun.
func segmentPath(dir string, index int) string {
	return filepath.Join(dir, fmt.Sprintf("%08d%s", index, segmentSuffix))
}

// segmentsIn lists the indexes of a directory's segments, in order.
func segmentsIn(dir string) (all []int, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name, ours := strings.CutSuffix(e.Name(), segmentSuffix)
		if index, err := strconv.Atoi(name); ours && err == nil {
			all = append(all, index)
		}
	}
	slices.Sort(all)
	return all, nil
}

// load reads what the segments of a directory say.
func (j *Journal) load() error {
	indexes, err := segmentsIn(j.dir)
	if err != nil {
		return err
	}
	for _, index := range indexes {
		j.index = index
		s := segment{path: segmentPath(j.dir, index), first: j.next, end: j.next}
		data, err := os.ReadFile(s.path)
		if err != nil {
			return err
		}
		if n := min(len(data), len(magic)); !bytes.Equal(data[:n], []byte(magic[:n])) {
			return fmt.Errorf("%s: %w", s.path, ErrFormat)
		}
		s.bytes = int64(len(data))
		eachFrame(data, func(f frame) bool { j.understand(&s, f); return true })
		j.segments = append(j.segments, s)
		j.bytes += s.bytes
	}
	return nil
}

// understand takes over what a frame says.
func (j *Journal) understand(s *segment, f frame) {
	switch f.kind {
	case startKind:
		var last, counted, cut, next int64
		readNumbers(f.holds, &last, &counted, &cut, &next)
		j.last, j.counted, j.cut = max(j.last, last), max(j.counted, counted), max(j.cut, cut)
		j.expect(s, next)
	case rowKind:
		j.expect(s, f.number)
		j.next, s.end = f.number+1, f.number+1
	case batchKind:
		b := Batch{Number: f.number}
		var at, marked int64
		readNumbers(f.holds, &b.From, &b.End, &at, &marked)
		b.At, b.Marked = time.Unix(at, 0).UTC(), time.Unix(marked, 0).UTC()
		j.last, j.cut, s.last = max(j.last, b.Number), max(j.cut, b.End), max(s.last, b.Number)
		j.marked = append(j.marked, b)
		if j.next < b.End { // its last rows are damaged: their numbers are not given again
			j.expect(s, b.End)
			s.end = b.End
		}
	case countedKind:
		j.counted = max(j.counted, f.number)
	}
}

// expect goes on to the row with this number. Those in between are damaged, unless they were counted and taken away.
func (j *Journal) expect(s *segment, number int64) {
	if len(j.segments) > 0 || s.first < s.end {
		j.damaged += number - j.next
	}
	j.next = number
	if s.first == s.end { // it has no row yet
		s.first, s.end = number, number
	}
}

// Read shows the rows of a span in their order, until see says no. What it shows is the caller's.
func (j *Journal) Read(from, end int64, see func(number int64, row []byte) bool) error {
	j.mu.Lock()
	segments := slices.Clone(j.segments)
	j.mu.Unlock()
	for _, s := range segments {
		if s.end <= from || s.first >= end {
			continue
		}
		data, err := os.ReadFile(s.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // counted meanwhile, so nobody needs it
		}
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		more := true
		eachFrame(data, func(f frame) bool {
			if f.kind == rowKind && f.number >= from {
				more = f.number < end && see(f.number, f.holds)
			}
			return more
		})
		if !more {
			return nil
		}
	}
	return nil
}

package journal

import (
	"errors"
	"fmt"
	"os"
	"time"
)

var errClosed = errors.New("the journal is closed")

// writeLocked writes a frame, if need be to a new file. After a failure, which may have left half of it, the file is not
// used any more, and nothing is tried for a second.
func (j *Journal) writeLocked(f frame) error {
	if j.closed {
		return errClosed
	}
	if j.failed != nil && time.Now().Before(j.again) {
		return j.failed
	}
	err := j.tryLocked(f)
	if err != nil {
		err = fmt.Errorf("journal: %w", err)
		j.again = time.Now().Add(tryAgain)
	}
	j.failed = err
	return err
}

func (j *Journal) tryLocked(f frame) error {
	if j.file != nil && j.segments[len(j.segments)-1].bytes >= j.segment {
		err := j.file.Close()
		j.file = nil
		if err != nil {
			return err
		}
	}
	if j.file == nil {
		if err := j.begin(); err != nil {
			return err
		}
	}
	j.buffer = appendFrame(j.buffer[:0], f)
	n, err := j.file.Write(j.buffer)
	j.segments[len(j.segments)-1].bytes += int64(n)
	j.bytes += int64(n)
	if err != nil {
		_ = j.file.Close() // that it could not be written is known
		j.file = nil
	}
	if cap(j.buffer) > segmentBytes/16 { // a long row is rare
		j.buffer = nil
	}
	return err
}

// begin makes a new segment the one that is written to. One that cannot be begun leaves nothing behind.
func (j *Journal) begin() error {
	j.index++ // also if it fails: a name is used once
	path := segmentPath(j.dir, j.index)
	file, err := j.create(path)
	if err != nil {
		return err
	}
	start := frame{startKind, 0, numbers(j.last, j.counted, j.cut, j.next)}
	text := appendFrame([]byte(magic), start)
	if _, err := file.Write(text); err != nil {
		_ = file.Close()
		_ = os.Remove(path)
		return err
	}
	j.file = file
	j.segments = append(j.segments, segment{path: path, bytes: int64(len(text)), first: j.next, end: j.next})
	j.bytes += int64(len(text))
	return nil
}

package journal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// disk is one on which so much more can be written; negative: any amount. What does not fit is written in part.
type disk struct{ room int }

type onDisk struct {
	file
	disk *disk
}

func (d *disk) create(path string) (file, error) {
	f, err := create(path)
	if err != nil {
		return nil, err
	}
	return onDisk{f, d}, nil
}

func (f onDisk) Write(p []byte) (int, error) {
	if f.disk.room < 0 || len(p) <= f.disk.room {
		f.disk.room -= min(len(p), max(f.disk.room, 0))
		return f.file.Write(p)
	}
	n, err := f.file.Write(p[:f.disk.room])
	f.disk.room = 0
	return n, errors.Join(err, syscall.ENOSPC)
}

// A disk that is full at any byte costs the rows that did not fit, and nothing else: what was there before stays, and what comes
// when there is room again is written.
func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for room := range 150 {
			d := Dir{Path: t.TempDir()}
			full := &disk{room: -1}
			j := begin(t, d)
			j.file.Close()
			j.file, j.create = nil, full.create
			full.room = room
			var want []string
			for _, row := range []string{"one", "two", "three", "four", "five", "six"} {
				_, err := j.Append([]byte(row))
				switch {
				case err == nil:
					want = append(want, row)
				case !errors.Is(err, syscall.ENOSPC):
					t.Fatal(err)
				}
			}
			if from, end := j.Uncut(); int(end-from) != len(want) {
				t.Fatalf("with %d bytes: %d rows, want %d", room, end-from, len(want))
			}
			if _, err := j.Append([]byte("too early")); err == nil && len(want) < 6 {
				t.Fatal("tried again at once")
			} else if err == nil {
				want = append(want, "too early")
			}
			full.room = -1
			time.Sleep(tryAgain)
			add(t, j, "later")
			want = append(want, "later")
			b := seal(t, j, int64(len(want)))
			if got := rows(t, j, 0, b.End); !slices.Equal(got, want) {
				t.Fatalf("with %d bytes: %q, want %q", room, got, want)
			}
			j.kill()
			again := adopt(t, d)
			if got := rows(t, again, 0, b.End); !slices.Equal(got, want) || !slices.Equal(again.Waiting(), []Batch{b}) || again.Damaged() != 0 {
				t.Fatalf("with %d bytes: the next process finds %q in %v, %d damaged", room, got, again.Waiting(), again.Damaged())
			}
			again.kill()
		}
	})
}

// A mark that cannot be written makes no batch.
func TestMarkOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := Dir{Path: t.TempDir()}
		full := &disk{room: -1}
		j := begin(t, d)
		j.file.Close()
		j.file, j.create = nil, full.create
		add(t, j, "a", "b")
		full.room = 5
		if _, err := j.Seal(1, minute); !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		if len(j.Waiting()) != 0 {
			t.Fatal("a batch without a mark")
		}
		full.room = -1
		time.Sleep(tryAgain)
		if b := seal(t, j, 2); b.Number != 1 || b.From != 0 {
			t.Errorf("the batch is %+v", b)
		}
		if _, err := j.Seal(2, minute); err == nil {
			t.Error("a batch of no rows")
		}
		if _, err := j.Seal(3, minute); err == nil {
			t.Error("a batch of rows that are not there")
		}
	})
}

// A directory that cannot be written makes no journal, and leaves nothing.
func TestReadOnly(t *testing.T) {
	path := t.TempDir() + "/file"
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if j, err := (Dir{Path: path}).New(); j != nil || !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("%v, %v", j, err)
	}
}

// Whatever is in a file, it is opened, and what is written behind it is found.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(nil), []byte("row"))
	f.Add(appendFrame(appendFrame(nil, frame{rowKind, 7, []byte("x")}), frame{batchKind, 3, numbers(7, 8, 9, 10)}), []byte("{}"))
	f.Add(appendFrame(nil, frame{startKind, 0, numbers(1, 2, 3, 4)})[:20], []byte{0, 0, 0, 0})
	f.Add(appendFrame(nil, frame{countedKind, 1 << 60, nil}), []byte{})
	f.Fuzz(func(t *testing.T, garbage, row []byte) {
		d := Dir{Path: t.TempDir()}
		dir := filepath.Join(d.Path, "source")
		if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(segmentPath(dir, 1), append([]byte(magic), garbage...), 0o600)); err != nil {
			t.Fatal(err)
		}
		j := adopt(t, d)
		from, end := j.Uncut()
		if err := j.Read(from, end, func(int64, []byte) bool { return true }); err != nil {
			t.Fatal(err)
		}
		number, err := j.Append(row)
		if err != nil {
			t.Fatal(err)
		}
		if got := rows(t, j, number, number+1); len(got) == 0 || got[len(got)-1] != string(row) {
			t.Fatalf("row %d is %q, want %q", number, got, row)
		}
		j.kill()
		again := adopt(t, d)
		if _, end := again.Uncut(); end <= number {
			t.Fatalf("the next process knows the rows up to %d, and %d was written", end, number)
		}
		again.kill()
	})
}

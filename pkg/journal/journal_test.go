package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var minute = time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)

func begin(t *testing.T, d Dir) *Journal {
	t.Helper()
	j, err := d.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.lock.Close() })
	return j
}

// kill ends a journal as the end of its process does: nothing is written, the lock is gone.
func (j *Journal) kill() {
	if j.file != nil {
		j.file.Close()
	}
	j.lock.Close()
}

func adopt(t *testing.T, d Dir) *Journal {
	t.Helper()
	j, err := d.Adopt()
	if err != nil {
		t.Fatal(err)
	}
	if j != nil {
		t.Cleanup(func() { _ = j.lock.Close() })
	}
	return j
}

func add(t *testing.T, j *Journal, rows ...string) {
	t.Helper()
	for _, row := range rows {
		if _, err := j.Append([]byte(row)); err != nil {
			t.Fatal(err)
		}
	}
}

func seal(t *testing.T, j *Journal, end int64) Batch {
	t.Helper()
	b, err := j.Seal(end, minute)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func rows(t *testing.T, j *Journal, from, end int64) (all []string) {
	t.Helper()
	if err := j.Read(from, end, func(_ int64, row []byte) bool { all = append(all, string(row)); return true }); err != nil {
		t.Fatal(err)
	}
	return all
}

func uncut(t *testing.T, j *Journal) []string {
	t.Helper()
	from, end := j.Uncut()
	return rows(t, j, from, end)
}

func segments(t *testing.T, j *Journal) (paths []string) {
	t.Helper()
	all, err := segmentsIn(j.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, index := range all {
		paths = append(paths, segmentPath(j.dir, index))
	}
	return paths
}

// What one process wrote the next one finds: the batches as they were cut, and the rows that were in none.
func TestReplay(t *testing.T) {
	d := Dir{Path: t.TempDir()}
	j := begin(t, d)
	add(t, j, "a", "b", "c", "d", "e")
	first, second := seal(t, j, 2), seal(t, j, 3)
	add(t, j, "f")
	if first.Number != 1 || second.Number != 2 || second.From != 2 || second.End != 3 {
		t.Errorf("batches %+v and %+v", first, second)
	}
	if adopt(t, d) != nil {
		t.Fatal("adopted while its process lives")
	}
	j.Counted(1)
	j.kill()

	again := adopt(t, d)
	if again.Source() != j.Source() || again.Damaged() != 0 {
		t.Errorf("source %s, want %s; %d damaged", again.Source(), j.Source(), again.Damaged())
	}
	if w := again.Waiting(); !slices.Equal(w, []Batch{second}) {
		t.Errorf("waiting: %+v, want %+v", w, second)
	}
	if got := rows(t, again, second.From, second.End); !slices.Equal(got, []string{"c"}) {
		t.Errorf("rows of the second batch: %q", got)
	}
	if got := uncut(t, again); !slices.Equal(got, []string{"d", "e", "f"}) {
		t.Errorf("in no batch: %q", got)
	}
	third := seal(t, again, 6)
	again.kill()

	last := adopt(t, d)
	if w := last.Waiting(); !slices.Equal(w, []Batch{second, third}) || third.Number != 3 {
		t.Errorf("waiting: %+v", w)
	}
	last.Counted(3)
	if err := last.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(d.Path); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := last.Append([]byte("late")); !errors.Is(err, errClosed) {
		t.Errorf("written to what is closed: %v", err)
	}
}

// Numbers go on where they were, also when the files that told them are gone.
func TestNumbersGoOn(t *testing.T) {
	d := Dir{Path: t.TempDir()}
	j := begin(t, d)
	j.segment = 200
	var row int64
	for number := int64(1); number <= 50; number++ {
		add(t, j, "x", "y", "z")
		row += 3
		if b := seal(t, j, row); b.Number != number {
			t.Fatalf("batch %d is the one with the number %d", number, b.Number)
		}
		j.Counted(number)
	}
	if n := len(segments(t, j)); n > 2 || j.Bytes() > 600 {
		t.Errorf("%d files, %d bytes, though all is counted", n, j.Bytes())
	}
	add(t, j, "last")
	j.kill()
	again := adopt(t, d)
	if got := uncut(t, again); !slices.Equal(got, []string{"last"}) || again.Damaged() != 0 {
		t.Errorf("in no batch: %q; %d damaged", got, again.Damaged())
	}
	if b := seal(t, again, row+1); b.Number != 51 || b.From != row {
		t.Errorf("the next batch: %+v", b)
	}
}

// Of a write that was cut at any byte the rows before it are there, and what is written afterwards too.
func TestTornAtEveryByte(t *testing.T) {
	d := Dir{Path: t.TempDir()}
	j := begin(t, d)
	want := []string{"first", "second, which is longer", "", "fourth"}
	var ends []int64 // of the file, by how many rows it holds then
	for _, row := range want {
		add(t, j, row)
		ends = append(ends, j.Bytes())
	}
	path := segments(t, j)[0]
	j.kill()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := range len(whole) + 1 {
		if err := os.WriteFile(path, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		there := 0
		for there < len(ends) && ends[there] <= int64(size) {
			there++
		}
		j := adopt(t, d)
		if got := uncut(t, j); !slices.Equal(got, want[:there]) {
			t.Fatalf("of %d bytes: %q, want %q", size, got, want[:there])
		}
		add(t, j, "later")
		j.kill()
		again := adopt(t, d)
		if got := uncut(t, again); !slices.Equal(got, append(slices.Clone(want[:there]), "later")) || again.Damaged() != 0 {
			t.Fatalf("of %d bytes and one row more: %q; %d damaged", size, got, again.Damaged())
		}
		again.kill()
		for _, more := range segments(t, again)[1:] {
			if err := os.Remove(more); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A byte that changed costs at most the row that it is in.
func TestDamagedAtEveryByte(t *testing.T) {
	d := Dir{Path: t.TempDir()}
	j := begin(t, d)
	want := []string{"first", "second, which is longer", "third", "fourth"}
	add(t, j, want...)
	path := segments(t, j)[0]
	j.kill()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := len(magic); at < len(whole); at++ {
		for _, bit := range []byte{1, 0x80, 0xff} {
			broken := slices.Clone(whole)
			broken[at] ^= bit
			if err := os.WriteFile(path, broken, 0o600); err != nil {
				t.Fatal(err)
			}
			j := adopt(t, d)
			got := uncut(t, j)
			missing := slices.DeleteFunc(slices.Clone(want), func(row string) bool { return slices.Contains(got, row) })
			if len(missing) > 1 || len(got) != len(want)-len(missing) {
				t.Fatalf("with byte %d changed: %q", at, got)
			}
			if len(missing) == 1 && missing[0] != want[0] && missing[0] != want[3] && j.Damaged() != 1 {
				t.Fatalf("with byte %d changed %q is missing, and %d are told to be damaged", at, missing, j.Damaged())
			}
			j.kill()
		}
	}
}

// The number of a row that is damaged is not given again, or the next row would be taken for it.
func TestDamagedLastRowOfABatch(t *testing.T) {
	d := Dir{Path: t.TempDir()}
	j := begin(t, d)
	add(t, j, "a", "b")
	b := seal(t, j, 2)
	path := segments(t, j)[0]
	j.kill()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[bytes.IndexByte(text, 'b')] = 'x' // the marks hold no such byte before it
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	again := adopt(t, d)
	add(t, again, "c")
	if got := uncut(t, again); !slices.Equal(got, []string{"c"}) || again.Damaged() != 1 {
		t.Errorf("in no batch: %q; %d damaged", got, again.Damaged())
	}
	if got := rows(t, again, b.From, b.End); !slices.Equal(got, []string{"a"}) {
		t.Errorf("in the batch: %q", got)
	}
}

// Each process has its own journal, and nobody adopts one whose process lives.
func TestSeveralProcesses(t *testing.T) {
	d := Dir{Path: filepath.Join(t.TempDir(), "not", "there", "yet")}
	if adopt(t, d) != nil {
		t.Fatal("adopted from nowhere")
	}
	a, b, c := begin(t, d), begin(t, d), begin(t, d)
	if a.Source() == b.Source() {
		t.Fatal("one source for two")
	}
	for i, j := range []*Journal{a, b, c} {
		add(t, j, fmt.Sprint(i))
	}
	a.kill()
	b.kill()
	x, y := adopt(t, d), adopt(t, d)
	if x == nil || y == nil || adopt(t, d) != nil {
		t.Fatal("not the two whose processes ended")
	}
	got := append(uncut(t, x), uncut(t, y)...)
	slices.Sort(got)
	if !slices.Equal(got, []string{"0", "1"}) {
		t.Errorf("adopted %q", got)
	}
}

func TestBound(t *testing.T) {
	j := begin(t, Dir{Path: t.TempDir(), Most: 1000})
	n := int64(0)
	var err error
	for ; err == nil; n++ {
		_, err = j.Append([]byte("some row"))
	}
	n--
	if !errors.Is(err, ErrFull) || j.Bytes() > 1000 || n < 30 {
		t.Fatalf("%v after %d rows and %d bytes", err, n, j.Bytes())
	}
	j.mu.Lock()
	j.segment = 10 // the next write begins another file
	j.mu.Unlock()
	b := seal(t, j, n)
	j.Counted(b.Number)
	add(t, j, "there is room again")
	if got := uncut(t, j); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

func TestOtherFormat(t *testing.T) {
	d := Dir{Path: t.TempDir()}
	j := begin(t, d)
	add(t, j, "a")
	path := segments(t, j)[0]
	j.kill()
	other := begin(t, d)
	add(t, other, "b")
	other.kill()
	if err := os.WriteFile(path, []byte("oapjrn2\n something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if found := adopt(t, d); found == nil || found.Source() != other.Source() {
		t.Fatal("one that cannot be read hides the others")
	}
	if _, err := d.Adopt(); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), path) {
		t.Errorf("told: %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("not left alone: %v", err)
	}
}

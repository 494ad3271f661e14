package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

var errTaken = errors.New("another process has it")

const (
	// making begins the name of a directory that is not locked yet, and so nobody's to adopt.
	making = ".new-"
	// gone begins the name of one that is being removed: without all of its files it would tell something else.
	gone = ".gone-"
)

// Dir is where the journals of all processes of a machine are, each in a directory of its own. The zero Dir is nowhere.
type Dir struct {
	Path string
	Most int64 // bytes of each journal; 0: 256 MiB
}

// New begins an empty journal with a source of its own.
func (d Dir) New() (*Journal, error) {
	source := rand.Text()
	j := d.journal(source)
	making := filepath.Join(d.Path, making+source)
	if err := os.MkdirAll(making, 0o700); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	var err error
	if j.lock, err = lock(making); err == nil {
		err = os.Rename(making, j.dir) // the lock goes with it
	}
	if err == nil {
		err = j.begin()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("journal: %w", err), j.remove(), os.RemoveAll(making))
	}
	return j, nil
}

// Adopt opens a journal that a process left behind, to be replayed; nil: there is none. Those that cannot be read are in the
// error; what they are does not hide the others.
func (d Dir) Adopt() (*Journal, error) {
	entries, err := os.ReadDir(d.Path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	errs := []error{err}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), gone) { // whoever removed it was killed
			errs = append(errs, os.RemoveAll(filepath.Join(d.Path, e.Name())))
		}
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		j, err := d.open(e.Name())
		switch {
		case err == nil:
			return j, nil
		case !errors.Is(err, errTaken) && !errors.Is(err, os.ErrNotExist): // of another, or gone meanwhile
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return nil, nil
}

// open locks and reads the journal of a source.
func (d Dir) open(source string) (j *Journal, err error) {
	j = d.journal(source)
	if j.lock, err = lock(j.dir); err != nil {
		return nil, err
	}
	if err = j.load(); err != nil {
		return nil, errors.Join(err, j.lock.Close())
	}
	j.keepMarked()
	return j, nil
}

func (d Dir) journal(source string) *Journal {
	j := &Journal{dir: filepath.Join(d.Path, source), source: source, most: d.Most, segment: segmentBytes, create: create}
	if j.most == 0 {
		j.most = mostBytes
	}
	return j
}

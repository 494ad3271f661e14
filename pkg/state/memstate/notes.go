package memstate

import (
	"context"
	"fmt"
	"sort"
	"strconv"

	"openai-api-proxy/pkg/state"
)

// mostNotes bounds what Notes returns at once.
const mostNotes = 1000

// numbered is a note with its place among the others; numbers only grow.
type numbered struct {
	number uint64
	note   state.Note
}

// stamp sets the time of a note.
func (s *Store) stamp(n state.Note) state.Note {
	n.At = s.now()
	return n
}

func (c *catalog) numberLocked(n state.Note) numbered {
	if len(c.notes) == 0 {
		return numbered{1, n}
	}
	return numbered{c.notes[len(c.notes)-1].number + 1, n}
}

// forgottenLocked are the notes that have to go when some more come.
func (c *catalog) forgottenLocked(more int) []numbered {
	return c.notes[:max(0, len(c.notes)+more-int(c.notesKept))]
}

func (c *catalog) rememberLocked(n numbered) {
	c.notes = append(c.notes[len(c.forgottenLocked(1)):], n)
}

// Note writes the note to disk before it answers.
func (s *Store) Note(ctx context.Context, n state.Note) error {
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	c := &s.catalog
	c.mu.Lock()
	defer c.mu.Unlock()
	remembered := c.numberLocked(s.stamp(n))
	if err := s.file.writeNote(remembered, c.forgottenLocked(1)); err != nil {
		return unavailable(err)
	}
	c.rememberLocked(remembered)
	return nil
}

// Notes goes backwards. Where to go on is the number of the last note that was given.
func (s *Store) Notes(ctx context.Context, after string, limit int) ([]state.Note, string, error) {
	if err := ctx.Err(); err != nil {
		return nil, "", unavailable(err)
	}
	c := &s.catalog
	c.mu.Lock()
	defer c.mu.Unlock()
	end := len(c.notes)
	if after != "" {
		number, err := strconv.ParseUint(after, 10, 64)
		if err != nil {
			return nil, "", fmt.Errorf("%q is not where notes go on", after)
		}
		end = sort.Search(len(c.notes), func(i int) bool { return c.notes[i].number >= number })
	}
	begin := max(0, end-min(max(limit, 1), mostNotes))
	notes := make([]state.Note, 0, end-begin)
	for i := end - 1; i >= begin; i-- {
		notes = append(notes, c.notes[i].note)
	}
	if begin == 0 {
		return notes, "", nil
	}
	return notes, strconv.FormatUint(c.notes[begin].number, 10), nil
}

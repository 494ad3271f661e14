package redisstate

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"openai-api-proxy/pkg/state"
)

// mostNotes bounds what Notes returns at once.
const mostNotes = 1000

// Note adds to the stream, whose ids are the times of the notes.
func (s *Store) Note(ctx context.Context, n state.Note) error {
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	return unavailable(s.slow.XAdd(ctx, &redis.XAddArgs{Stream: s.keys.notes(), MaxLen: s.catalog.notesKept, Approx: true,
		Values: []any{"note", text}}).Err())
}

// Notes reads the stream backwards. Where to go on is the id of the last note that was given.
func (s *Store) Notes(ctx context.Context, after string, limit int) ([]state.Note, string, error) {
	from := "+"
	if after != "" {
		if _, ok := noteTime(after); !ok {
			return nil, "", fmt.Errorf("%q is not where notes go on", after)
		}
		from = "(" + after
	}
	limit = min(max(limit, 1), mostNotes)
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	entries, err := s.slow.XRevRangeN(ctx, s.keys.notes(), from, "-", int64(limit)+1).Result()
	if err != nil {
		return nil, "", unavailable(err)
	}
	next := ""
	if len(entries) > limit {
		entries, next = entries[:limit], entries[limit-1].ID
	}
	notes := make([]state.Note, 0, len(entries))
	for _, e := range entries {
		var n state.Note
		text, _ := e.Values["note"].(string)
		if json.Unmarshal([]byte(text), &n) != nil {
			continue // of a newer version
		}
		n.At, _ = noteTime(e.ID)
		notes = append(notes, n)
	}
	return notes, next, nil
}

// noteTime reads the time in an id, "<unix ms>-<number>".
func noteTime(id string) (time.Time, bool) {
	ms, number, ok := strings.Cut(id, "-")
	at, err := strconv.ParseInt(ms, 10, 64)
	_, err2 := strconv.ParseUint(number, 10, 64)
	return time.UnixMilli(at), ok && err == nil && err2 == nil && at >= 0
}

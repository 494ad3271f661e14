package redisstate

import (
	"testing"

	"openai-api-proxy/pkg/redistest"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/statetest"
)

// emptied is a Store over servers that were told to forget everything.
func emptied(t *testing.T, url string, servers ...*redistest.Server) *Store {
	t.Helper()
	for _, server := range servers {
		if err := server.Do("FLUSHALL"); err != nil {
			t.Fatal(err)
		}
	}
	s := opened(t, url)
	s.catalog.versionsKept, s.catalog.notesKept = statetest.LowBounds.Versions, statetest.LowBounds.Notes
	return s
}

func TestCatalog(t *testing.T) {
	server := redistest.Start(t)
	statetest.RunCatalog(t, func(t *testing.T) state.Store { return emptied(t, server.URL(), server) })
}

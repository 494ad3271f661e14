package memstate

import (
	"testing"

	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/statetest"
)

func low(s *Store) *Store {
	s.catalog.versionsKept, s.catalog.notesKept = statetest.LowBounds.Versions, statetest.LowBounds.Notes
	return s
}

func TestCatalog(t *testing.T) {
	t.Run("memory", func(t *testing.T) { statetest.RunCatalog(t, func(*testing.T) state.Store { return low(New()) }) })
	t.Run("file", func(t *testing.T) {
		statetest.RunCatalog(t, func(t *testing.T) state.Store { return low(opened(t, t.TempDir())) })
	})
}

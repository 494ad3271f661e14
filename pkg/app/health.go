package app

import (
	"time"

	"openai-api-proxy/pkg/edge"
	"openai-api-proxy/pkg/proxy"
)

// configHealth tells which configuration is in force: that of file and environment, and how often operators changed it.
func (a *App) configHealth() edge.ConfigHealth {
	now := a.catalog.Current()
	h := edge.ConfigHealth{Version: now.Base.Fingerprint(), Changes: now.Version, Versions: a.configurations()}
	if err := a.configError(); err != nil {
		h.Error = err.Error()
	}
	return h
}

// journalHealth tells whether finished requests survive the end of the process.
func (a *App) journalHealth() edge.JournalHealth {
	if a.cfg.DataDir == "" {
		return edge.JournalHealth{}
	}
	if err := a.meter.JournalError(); err != nil {
		return edge.JournalHealth{Error: err.Error()}
	}
	return edge.JournalHealth{OK: true}
}

// health is the answer of /health: degraded when no key is usable.
func (a *App) health() edge.Health {
	h := edge.Health{Status: "ok", Version: a.Version, UptimeSeconds: int64(time.Since(a.started).Seconds()),
		State: a.stateHealth(), Journal: a.journalHealth(), Config: a.configHealth()}
	for _, s := range a.keys.States() {
		h.Keys.Total++
		switch s.State {
		case string(proxy.Cooling):
			h.Keys.Cooling++
		case string(proxy.Open):
			h.Keys.Open++
		case string(proxy.Exhausted):
			h.Keys.Exhausted++
		case string(proxy.Invalid):
			h.Keys.Invalid++
		case "disabled":
			h.Keys.Disabled++
		default:
			h.Keys.Usable++
		}
	}
	if h.Keys.Usable == 0 || !h.State.OK {
		h.Status = "degraded"
	}
	return h
}

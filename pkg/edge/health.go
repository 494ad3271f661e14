package edge

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// Health is the answer of /health.
type Health struct {
	Status        string        `json:"status"` // ok or degraded
	Version       string        `json:"version"`
	UptimeSeconds int64         `json:"uptimeSeconds"`
	State         StateHealth   `json:"state"`
	Journal       JournalHealth `json:"journal"`
	Keys          KeyHealth     `json:"keys"`
	Config        ConfigHealth  `json:"config"`
}

// JournalHealth tells of the journal of finished requests. Without it they are counted all the same.
type JournalHealth struct {
	OK    bool   `json:"ok"`    // false without an error: there is no DATA_DIR
	Error string `json:"error"` // why it cannot be written
}

// StateHealth tells of the shared or embedded state.
type StateHealth struct {
	Kind          string     `json:"kind"` // redis or embedded
	OK            bool       `json:"ok"`
	DegradedSince *time.Time `json:"degradedSince"`
	Replicas      int        `json:"replicas"` // that share it, as far as is known
	Unshared      bool       `json:"unshared"` // several replicas may run, each with a state of its own
}

// KeyHealth counts keys by what they are.
type KeyHealth struct {
	Total     int `json:"total"`
	Usable    int `json:"usable"`
	Cooling   int `json:"cooling"`
	Open      int `json:"open"`
	Exhausted int `json:"exhausted"`
	Invalid   int `json:"invalid"`
	Disabled  int `json:"disabled"`
}

// ConfigHealth tells which configuration is in force, and why a newer one is not.
type ConfigHealth struct {
	Version  string `json:"version"`  // of file and environment
	Changes  int64  `json:"changes"`  // that operators made since, over the whole life of the state
	Versions int    `json:"versions"` // that the replicas run, as far as is known
	Error    string `json:"error"`
}

// health always answers 200: whoever asks wants to read it, not to restart the proxy.
func (e *Edge) health(c *gin.Context) { c.JSON(http.StatusOK, e.Health()) }

// live says that the process serves. It asks nobody else.
func (e *Edge) live(c *gin.Context) { c.String(http.StatusOK, "ok\n") }

func (e *Edge) readyz(c *gin.Context) {
	if !e.IsReady() {
		c.String(http.StatusServiceUnavailable, "not ready\n")
		return
	}
	c.String(http.StatusOK, "ready\n")
}

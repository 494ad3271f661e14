package mockopenai

import (
	"maps"
	"math/rand/v2"
	"strings"
	"time"
)

// Settings say how answers are made. Values below 0 count as 0.
type Settings struct {
	LatencyMS     float64 `json:"latency_ms"`      // before the headers of an answer; default 0
	JitterMS      float64 `json:"jitter_ms"`       // up to this much is added to LatencyMS
	Chunks        int     `json:"chunks"`          // pieces of text, so output tokens, of a stream; default 100
	ChunkDelayMS  float64 `json:"chunk_delay_ms"`  // before each piece; default 0
	ChunkJitterMS float64 `json:"chunk_jitter_ms"` // up to this much is added to ChunkDelayMS
	ContentBytes  int     `json:"content_bytes"`   // text of an answer that is not streamed, 4 to a token; default 400
	Requests      int     `json:"requests"`        // how many of the last requests are remembered; default 100
	SetCookie     bool    `json:"set_cookie"`      // answers carry a Set-Cookie, as those of a CDN do

	RPM           int64             `json:"rpm"`             // requests per minute of one account and model; 0: no limit
	TPM           int64             `json:"tpm"`             // tokens, likewise
	MinuteMS      float64           `json:"minute_ms"`       // how long the minute of both lasts; 0: 60,000
	Accounts      map[string]string `json:"accounts"`        // keys that share an account; any other is one by itself
	NoRateHeaders bool              `json:"no_rate_headers"` // answers say nothing of what is left
}

// DefaultSettings are those of a Server that was given none.
func DefaultSettings() Settings { return Settings{Chunks: 100, ContentBytes: 400, Requests: 100} }

// limited reports whether there is any rate limit.
func (s *Settings) limited() bool { return s.RPM > 0 || s.TPM > 0 }

// minute is how long a minute of the rate limits lasts: tests have no time for real ones.
func (s *Settings) minute() time.Duration {
	if s.MinuteMS > 0 {
		return millis(s.MinuteMS)
	}
	return time.Minute
}

// plan is the settings with all that can be built from them beforehand. It never changes.
type plan struct {
	Settings
	text     string // of an answer that is not streamed
	tokens   int64  // of that text
	streamed string // the whole text of a stream
	talk     reply  // what chat says when nothing special is asked for
}

// piece is the text of one chunk of a stream, and phrase what longer texts are made of: neither needs escapes in JSON.
const (
	piece  = " token"
	phrase = "A token bucket admits bursts while a leaky bucket smooths them. "
)

func newPlan(set Settings) *plan {
	set.Chunks, set.ContentBytes = max(set.Chunks, 0), max(set.ContentBytes, 0)
	p := &plan{Settings: set}
	p.text = strings.Repeat(phrase, set.ContentBytes/len(phrase)+1)[:set.ContentBytes]
	p.tokens = int64(set.ContentBytes / 4)
	p.streamed = strings.Repeat(piece, set.Chunks)
	p.talk = plainTalk(p)
	return p
}

// Configure changes the settings for the requests to come.
func (s *Server) Configure(change func(*Settings)) {
	s.configure.Lock()
	defer s.configure.Unlock()
	set := s.plan.Load().Settings
	set.Accounts = maps.Clone(set.Accounts) // requests read the one that is in force
	change(&set)
	s.plan.Store(newPlan(set))
}

// latency is how long to wait before the headers of an answer.
func (p *plan) latency() time.Duration { return spread(p.LatencyMS, p.JitterMS) }

// gap is how long to wait before a piece of a stream.
func (p *plan) gap() time.Duration { return spread(p.ChunkDelayMS, p.ChunkJitterMS) }

func spread(ms, jitter float64) time.Duration {
	if jitter > 0 {
		ms += rand.Float64() * jitter
	}
	return millis(ms)
}

func millis(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

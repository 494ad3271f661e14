package mockopenai

import "sync/atomic"

// Stats is what one key did since the start or the last Reset.
type Stats struct {
	Requests     int64 `json:"requests"`
	Streams      int64 `json:"streams"` // answers sent as server-sent events
	Faults       int64 `json:"faults"`  // requests that a Fault was applied to
	Aborted      int64 `json:"aborted"` // the caller left before the end
	BytesIn      int64 `json:"bytes_in"`
	InFlight     int64 `json:"in_flight"`
	MaxInFlight  int64 `json:"max_in_flight"`
	InputTokens  int64 `json:"input_tokens"`  // the bill: of every request that was begun
	OutputTokens int64 `json:"output_tokens"` // the bill: all that was produced, also before a cut
	RateLimited  int64 `json:"rate_limited"`  // requests refused by Settings.RPM or TPM
}

// account counts for one key.
type account struct {
	requests, streams, faults, aborted, bytesIn atomic.Int64
	inFlight, maxInFlight                       atomic.Int64
	inputTokens, outputTokens, rateLimited      atomic.Int64
}

// Stats returns the counters of every valid key that was used, by key.
func (s *Server) Stats() map[string]Stats {
	out := map[string]Stats{}
	s.accounts.Range(func(key, a any) bool {
		out[key.(string)] = a.(*account).stats()
		return true
	})
	return out
}

func (s *Server) accountOf(key string) *account {
	a, ok := s.accounts.Load(key)
	if !ok {
		a, _ = s.accounts.LoadOrStore(key, new(account))
	}
	return a.(*account)
}

func (a *account) stats() Stats {
	return Stats{
		Requests: a.requests.Load(), Streams: a.streams.Load(), Faults: a.faults.Load(), Aborted: a.aborted.Load(),
		BytesIn: a.bytesIn.Load(), InFlight: a.inFlight.Load(), MaxInFlight: a.maxInFlight.Load(),
		InputTokens: a.inputTokens.Load(), OutputTokens: a.outputTokens.Load(), RateLimited: a.rateLimited.Load(),
	}
}

func (a *account) enter() {
	a.requests.Add(1)
	n := a.inFlight.Add(1)
	for {
		most := a.maxInFlight.Load()
		if n <= most || a.maxInFlight.CompareAndSwap(most, n) {
			return
		}
	}
}

func (a *account) leave() { a.inFlight.Add(-1) }

func (a *account) bill(input, output int64) {
	a.inputTokens.Add(input)
	a.outputTokens.Add(output)
}

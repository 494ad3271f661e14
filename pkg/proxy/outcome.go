package proxy

import "time"

// Outcome says how one attempt with one key ended. Package upstream decides it, by type; its row in the table below says
// what follows from it.
type Outcome uint8

// The outcomes, one for each row of the table.
const (
	Served       Outcome = iota // 2xx, and 3xx, which are never followed
	CallerFault                 // 400, 404, 409, 413, 415, 422, a policy's 403
	CallerGone                  // hung up, or our own drain ended
	KeyRejected                 // 401
	ModelDenied                 // 403 or 404: this account has no such model
	Throttled                   // 429
	OutOfCredit                 // 429 or 402: no credit, or a spend limit reached
	Overloaded                  // 503 overloaded, slow_down
	KeyFailed                   // 500, 502, 504, 52x, an HTML page in place of an answer
	Unreachable                 // DNS, dial, TLS: nothing was sent
	NoAnswer                    // no headers in time, or the connection was lost before them
	StreamCut                   // lost, or an error event, after the answer had begun
	OutcomeCount                // how many there are, and none itself
)

// Scope is what a rest, or a failure, applies to.
type Scope string

// The scopes.
const (
	Nobody        Scope = ""
	ByKey         Scope = "key"
	ByAccount     Scope = "account"
	ByModel       Scope = "account-model"  // one account, one model
	ByPace        Scope = "account-pace"   // likewise: not whether it may be used, but how fast
	ByEndpoint    Scope = "endpoint"       // one upstream origin
	ByEndpointMdl Scope = "endpoint-model" // one upstream origin, one model
)

// Reason says why something rests; it is the state of a key as operators see it.
type Reason string

// The reasons.
const (
	Cooling   Reason = "cooling"   // told to wait by a 429
	Exhausted Reason = "exhausted" // out of credit, or its own quota is used up
	Invalid   Reason = "invalid"   // the upstream does not accept the key
	Open      Reason = "open"      // its circuit breaker tripped
	Denied    Reason = "denied"    // the account has no access to the model
	Busy      Reason = "busy"      // the provider is overloaded, or the endpoint fails
	Slowed    Reason = "slowed"    // little is left of a rate limit: others go first
	Limited   Reason = "limited"   // a limit that we have set for it or for its account is reached
)

// Another says whether a second key may be tried, provided that the caller has not seen a byte.
type Another uint8

// The answers.
const (
	No             Another = iota
	Yes                    // any other key
	OtherAccount           // any other key, those of other accounts first
	OtherAccounts          // only keys of other accounts
	OnceAfterPause         // one more try, after a pause
)

// Fate says whether the upstream may have carried the request out.
type Fate uint8

// The fates.
const (
	Done        Fate = iota // answered: carried out, or refused for good
	NotExecuted             // certainly not carried out: free to try elsewhere
	Answered5xx             // the upstream says that it failed; an inference may have been paid for
	Unknown                 // no answer: may be running still
)

// Row is what follows from an outcome.
type Row struct {
	Name    string // metric label and log value
	Rests   Scope
	Reason  Reason
	Failure bool // counts in the circuit breaker of what Rests names, and rests it only when that trips
	Another Another
	Fate    Fate
}

// outcomes is the outcome table of the design, a row for each. How long somebody rests is decided in package balancer.
var outcomes = [OutcomeCount]Row{
	Served:      {Name: "served"},
	CallerFault: {Name: "caller_fault"},
	CallerGone:  {Name: "caller_gone"},
	KeyRejected: {Name: "key_rejected", Rests: ByKey, Reason: Invalid, Another: Yes, Fate: NotExecuted},
	ModelDenied: {Name: "model_denied", Rests: ByModel, Reason: Denied, Another: OtherAccounts, Fate: NotExecuted},
	Throttled:   {Name: "throttled", Rests: ByModel, Reason: Cooling, Another: OtherAccount, Fate: NotExecuted},
	OutOfCredit: {Name: "out_of_credit", Rests: ByAccount, Reason: Exhausted, Another: OtherAccounts, Fate: NotExecuted},
	Overloaded:  {Name: "overloaded", Rests: ByEndpointMdl, Reason: Busy, Another: OnceAfterPause, Fate: Answered5xx},
	KeyFailed:   {Name: "key_failed", Rests: ByKey, Reason: Open, Failure: true, Another: Yes, Fate: Answered5xx},
	Unreachable: {Name: "unreachable", Rests: ByEndpoint, Reason: Busy, Failure: true, Another: Yes, Fate: NotExecuted},
	NoAnswer:    {Name: "no_answer", Rests: ByKey, Reason: Open, Failure: true, Another: Yes, Fate: Unknown},
	StreamCut:   {Name: "stream_cut", Rests: ByKey, Reason: Open, Failure: true, Another: No, Fate: Done},
}

// Row returns what follows from the outcome.
func (o Outcome) Row() Row { return outcomes[o] }

func (o Outcome) String() string { return outcomes[o].Name }

// Verdict is an outcome with what the upstream said about it.
type Verdict struct {
	Outcome   Outcome
	Status    int           // of the upstream's answer; 0: there was none
	Code      string        // error code or type of the upstream's error body
	Wait      time.Duration // what the upstream asked to wait; 0: it did not say
	Allowance Allowance     // what it said of the account's rate limits
	Whole     bool          // a stream that failed was ended by the upstream itself, so that nothing is cut
	Err       error         // why there was no answer, or why it ended early
}

// Allowance is what an answer says of the rate limits of an account, for the model that was asked.
type Allowance struct{ Requests, Tokens Level }

// Level is how one rate limit stands.
type Level struct {
	Known bool
	Limit int64         // more than 0
	Left  int64         // 0 to Limit
	Reset time.Duration // until all of it is there again
}

// Known reports whether the answer said anything.
func (a *Allowance) Known() bool { return a.Requests.Known || a.Tokens.Known }

package state

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"openai-api-proxy/pkg/openai"
)

const (
	// MostRequests is about how many requests are remembered, unless the operator says otherwise. In Redis they take 100 MB:
	// four times as many would fill a Redis of 512 MB that may not evict, and then no limit could be counted any more.
	MostRequests = 250_000
	// LargestRequests is how many an operator may want.
	LargestRequests = 10_000_000
	// RequestsKept is how long they are remembered.
	RequestsKept = 7 * 24 * time.Hour
	// MostScanned bounds the remembered requests that one query looks at, whether they match or not.
	MostScanned = 20_000
)

// Request is one finished request, as it is remembered. It holds nothing of what was asked or answered, unless the
// operator wants it to; see Bodies.
type Request struct {
	ID        string        `json:"id"`
	At        time.Time     `json:"at"` // when it began
	Method    string        `json:"method"`
	Operation string        `json:"operation"`
	Client    string        `json:"client,omitempty"`
	ClientIP  string        `json:"clientIp,omitempty"`
	Key       string        `json:"key,omitempty"`
	Model     string        `json:"model,omitempty"`
	Stream    bool          `json:"stream,omitempty"`
	Status    int           `json:"status"`
	Outcome   string        `json:"outcome"` // succeeded, failed or left
	Fault     string        `json:"fault,omitempty"`
	Cause     string        `json:"cause,omitempty"`
	Attempts  []Tried       `json:"attempts,omitempty"`
	Usage     openai.Usage  `json:"usage"`
	Cost      int64         `json:"cost,omitempty"`      // nano-dollars; only if Priced
	Priced    bool          `json:"priced,omitempty"`    // what it cost is known
	FirstByte time.Duration `json:"firstByte,omitempty"` // ns
	Total     time.Duration `json:"total"`               // ns
	BytesIn   int64         `json:"bytesIn,omitempty"`
	BytesOut  int64         `json:"bytesOut,omitempty"`
	Upstream  string        `json:"upstream,omitempty"` // the upstream's own request id
	Replica   string        `json:"replica,omitempty"`
	Why       []byte        `json:"why,omitempty"`    // JSON: how keys were chosen, when an operator asked
	Bodies    *Bodies       `json:"bodies,omitempty"` // only with REQUEST_LOG_BODIES
}

// Tried is one attempt of a request.
type Tried struct {
	Key     string        `json:"key"`
	Account string        `json:"account"`
	Outcome string        `json:"outcome"`
	Status  int           `json:"status,omitempty"`
	Took    time.Duration `json:"took"` // ns
}

// Bodies are the beginnings of what was asked and answered, with secrets masked.
type Bodies struct {
	Request  string `json:"request,omitempty"`
	Response string `json:"response,omitempty"`
	Cut      bool   `json:"cut,omitempty"` // there was more of either
}

// RequestQuery asks for requests.
type RequestQuery struct {
	After string              // Page.Next of the page before; empty: from the newest
	Since string              // Page.Newest of an earlier answer: only those that came after it; empty: all
	ID    string              // only the one with this id
	Limit int                 // at most so many
	Match func(*Request) bool // nil: all. It does not keep what it is given
}

// Position is where a remembered request stands: when it was taken in, and its number among those of that time. To callers
// its text is opaque.
type Position struct {
	Ms  uint64 // unix
	Seq uint64
}

// ErrPosition means that a text is no position.
var ErrPosition = errors.New("not a position of the remembered requests")

// mostPosition bounds both parts, as it does every number that is shared.
const mostPosition = 1 << 53

// ParsePosition reads what String wrote.
func ParsePosition(text string) (Position, error) {
	ms, seq, found := strings.Cut(text, "-")
	m, err1 := strconv.ParseUint(ms, 10, 64)
	n, err2 := strconv.ParseUint(seq, 10, 64)
	if !found || err1 != nil || err2 != nil || m == 0 || m >= mostPosition || n >= mostPosition {
		return Position{}, fmt.Errorf("%w: %.50q", ErrPosition, text)
	}
	return Position{m, n}, nil
}

// Before reports whether p is older than o.
func (p Position) Before(o Position) bool { return p.Ms < o.Ms || p.Ms == o.Ms && p.Seq < o.Seq }

func (p Position) String() string {
	return strconv.FormatUint(p.Ms, 10) + "-" + strconv.FormatUint(p.Seq, 10)
}

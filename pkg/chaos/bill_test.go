package chaos

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"openai-api-proxy/pkg/mockopenai"
)

const (
	tagHeader    = "X-Client-Request-Id"
	plainModel   = "gpt-4o-mini"
	streamModel  = "gpt-4o"
	streamChunks = 20
)

// exchange is what the upstream did for one attempt of a request.
type exchange struct {
	id, tag string
	arrived time.Time
	ended   time.Time // zero: it still runs
	input   int64     // tokens billed
	output  int64
}

// bill is the upstream, and its book of every exchange.
type bill struct {
	*mockopenai.Server
	url string

	mu        sync.Mutex // guards exchanges
	exchanges map[string]*exchange
}

// startUpstream runs a mock upstream until the end of the test.
func startUpstream(t testing.TB) *bill {
	t.Helper()
	b := &bill{exchanges: map[string]*exchange{}}
	b.Server = mockopenai.New(mockopenai.WithBill(b.add), mockopenai.WithSettings(mockopenai.Settings{
		LatencyMS: 5, JitterMS: 20, Chunks: streamChunks, ChunkDelayMS: 5, ChunkJitterMS: 15, ContentBytes: 80}))
	s := httptest.NewServer(b)
	b.url = s.URL
	t.Cleanup(func() { b.Close(); s.CloseClientConnections(); s.Close() })
	return b
}

// ServeHTTP notes when an exchange begins and ends.
func (b *bill) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tag, arrived := r.Header.Get(tagHeader), time.Now()
	if tag == "" { // the proxy's own question whether a key is valid
		b.Server.ServeHTTP(w, r)
		return
	}
	defer func() {
		e := b.of(w.Header().Get("X-Request-Id"))
		b.mu.Lock()
		defer b.mu.Unlock()
		e.tag, e.arrived, e.ended = tag, arrived, time.Now()
	}()
	b.Server.ServeHTTP(w, r)
}

func (b *bill) of(id string) *exchange {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ofLocked(id)
}

func (b *bill) ofLocked(id string) *exchange {
	e := b.exchanges[id]
	if e == nil {
		e = &exchange{id: id}
		b.exchanges[id] = e
	}
	return e
}

// add notes what an exchange costs, as it comes.
func (b *bill) add(id string, input, output int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.ofLocked(id)
	e.input += input
	e.output += output
}

// running is how many exchanges have not ended.
func (b *bill) running() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.exchanges {
		if e.ended.IsZero() {
			n++
		}
	}
	return n
}

// byTag are the exchanges of each request, in the order in which they began.
func (b *bill) byTag() map[string][]*exchange {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := map[string][]*exchange{}
	for _, e := range b.exchanges {
		all[e.tag] = append(all[e.tag], e)
	}
	for _, tries := range all {
		slices.SortFunc(tries, func(a, b *exchange) int { return a.arrived.Compare(b.arrived) })
	}
	return all
}

// spentBy is what all requests of a client were billed.
func (b *bill) spentBy(client string) (tokens int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.exchanges {
		if strings.HasPrefix(e.tag, client+"/") {
			tokens += e.input + e.output
		}
	}
	return tokens
}

package mockopenai

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Server is one mock upstream. Make it with New, serve it with net/http, end it with Close.
type Server struct {
	keyPrefix string
	instance  string // part of every id given out, so that those of two servers differ
	ids       atomic.Uint64
	configure sync.Mutex // held while plan is replaced
	plan      atomic.Pointer[plan]
	faults    faultBook
	accounts  sync.Map // key -> *account
	rates     rates
	objects   *objects
	now       func() time.Time
	billed    func(id string, input, output int64) // nil: nobody keeps a bill for each request
	log       requestLog
	ends      ends
	vector    func() string // the usual embedding as JSON
	buffers   sync.Pool     // of *bytes.Buffer
	done      chan struct{} // closed by Close
	close     func()
}

// Option changes how a Server begins.
type Option func(*Server)

// WithKeyPrefix sets how a valid key starts; all others are answered 401. Default "sk-".
func WithKeyPrefix(prefix string) Option {
	return func(s *Server) { s.keyPrefix = prefix }
}

// WithSettings sets the settings, those of DefaultSettings if this is not used.
func WithSettings(set Settings) Option {
	return func(s *Server) { s.plan.Store(newPlan(set)) }
}

// WithClock sets the clock of the rate limits.
func WithClock(now func() time.Time) Option {
	return func(s *Server) { s.now = now }
}

// WithBill has every amount told that a key has to pay for, as it comes: of a stream each token by itself. The id is the
// x-request-id of the answer. It is called by many goroutines at once.
func WithBill(billed func(id string, input, output int64)) Option {
	return func(s *Server) { s.billed = billed }
}

// New makes a Server without faults.
func New(opts ...Option) *Server {
	var instance [4]byte
	rand.Read(instance[:]) // never fails
	s := &Server{
		keyPrefix: "sk-",
		now:       time.Now,
		instance:  hex.EncodeToString(instance[:]),
		vector:    sync.OnceValue(func() string { return floats(usualDimensions) }),
		buffers:   sync.Pool{New: func() any { return new(bytes.Buffer) }},
		done:      make(chan struct{}),
	}
	s.objects = newObjects(time.Now())
	s.close = sync.OnceFunc(func() { close(s.done) })
	s.plan.Store(newPlan(DefaultSettings()))
	for _, o := range opts {
		o(s)
	}
	return s
}

// Close cuts the requests that wait for anything: those that hang, pause, or are between two chunks. Call it before
// closing the HTTP server, which waits for them. It may be called twice.
func (s *Server) Close() { s.close() }

// Reset forgets stats, faults, requests, stored objects and what was taken of rate limits. The settings stay.
func (s *Server) Reset() {
	s.rates.clear()
	s.objects.clear()
	s.accounts.Clear()
	s.faults.clear()
	s.log.clear()
	s.ends.clear()
}

// ServeHTTP answers one request: the controls without a key, everything else with one.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/_") {
		s.control(w, r)
		return
	}
	x := &exchange{s: s, w: w, r: r, plan: s.plan.Load(), id: s.nextID(), key: bearer(r.Header)}
	if x.key != "" && strings.HasPrefix(x.key, s.keyPrefix) {
		x.account = s.accountOf(x.key)
		x.account.enter()
		defer x.account.leave()
	}
	buf := s.buffer()
	defer s.buffers.Put(buf)
	_, err := buf.ReadFrom(r.Body)
	x.body = buf.Bytes()
	s.log.add(x, x.plan.Requests)
	x.answer(err)
}

// buffer takes an empty buffer from the pool; the taker puts it back.
func (s *Server) buffer() *bytes.Buffer {
	buf := s.buffers.Get().(*bytes.Buffer)
	buf.Reset()
	return buf
}

func (s *Server) nextID() string {
	b := make([]byte, 0, 24)
	b = append(b, s.instance...)
	b = append(b, 'x')
	return string(strconv.AppendUint(b, s.ids.Add(1), 10))
}

// bearer is the key that a request carries, "" if none.
func bearer(h http.Header) string {
	key, ok := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
	if !ok {
		return ""
	}
	return key
}

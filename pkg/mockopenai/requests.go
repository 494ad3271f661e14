package mockopenai

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"sync"
)

// bodyKept is how much of a body a Request shows.
const bodyKept = 4 << 10

// Request is one request as it was received, with a valid key or without.
type Request struct {
	Method string      `json:"method"`
	Path   string      `json:"path"` // escaped as it came, with its query
	Host   string      `json:"host"` // which Go keeps out of Header
	Header http.Header `json:"header"`
	Body   string      `json:"body"`   // the first 4 KiB
	Length int         `json:"length"` // of the whole body
	SHA256 string      `json:"sha256"` // of the whole body, in hex
	Key    string      `json:"key"`    // bearer key; "" if there was none
}

// requestLog holds the last requests.
type requestLog struct {
	mu   sync.Mutex // guards both; not held while hashing
	ring []Request
	next int // where in a full ring the oldest is
}

// Requests returns copies of the last requests received, oldest first, as many as Settings.Requests.
func (s *Server) Requests() []Request {
	l := &s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Request, 0, len(l.ring))
	out = append(out, l.ring[l.next:]...)
	return append(out, l.ring[:l.next]...)
}

// add remembers the request of x, so that at most keep are known.
func (l *requestLog) add(x *exchange, keep int) {
	if keep <= 0 {
		return
	}
	sum := sha256.Sum256(x.body)
	req := Request{
		Method: x.r.Method, Path: x.r.RequestURI, Host: x.r.Host, Header: x.r.Header.Clone(), Key: x.key,
		Body: string(x.body[:min(len(x.body), bodyKept)]), Length: len(x.body), SHA256: hex.EncodeToString(sum[:]),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fitLocked(keep)
	if len(l.ring) < keep {
		l.ring = append(l.ring, req)
		return
	}
	l.ring[l.next] = req
	l.next = (l.next + 1) % keep
}

// fitLocked brings a ring that was filled under another setting into order before it is used under this one.
func (l *requestLog) fitLocked(keep int) {
	if l.next == 0 && len(l.ring) <= keep || len(l.ring) == keep {
		return
	}
	inOrder := append(append([]Request(nil), l.ring[l.next:]...), l.ring[:l.next]...)
	l.ring, l.next = inOrder[max(0, len(inOrder)-keep):], 0
}

func (l *requestLog) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring, l.next = nil, 0
}

package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// ending is how a request ended for its caller.
type ending uint8

const (
	unanswered ending = iota // no headers came
	refused                  // nobody listened
	whole
	left // the caller hung up in the middle
	cut  // the answer broke off, or said that it was broken
)

func (e ending) String() string {
	return [...]string{unanswered: "unanswered", refused: "refused", whole: "whole", left: "left", cut: "cut"}[e]
}

// call is a request as its caller saw it.
type call struct {
	tag     string // what the caller named it
	client  string
	replica int
	id      string // what the proxy named it; empty: no headers came
	status  int
	code    string // of an error
	stream  bool
	end     ending
	sent    time.Time
	ended   time.Time
	why     error // why it did not end whole
}

// traffic is the callers of a fleet.
type traffic struct {
	fleet   fleet
	clients []*client
	seed    uint64
	http    *http.Client
	pause   time.Duration // between two calls of a caller, on average
	stay    bool          // nobody hangs up
	stop    chan struct{}
	done    sync.WaitGroup

	mu    sync.Mutex // guards calls
	calls []*call
}

const (
	// patience bounds one call.
	patience = 20 * time.Second
	// thinking is the usual pause: 256 callers are then as much as two cores carry.
	thinking = 250 * time.Millisecond
)

func newTraffic(f fleet, clients []*client, seed uint64) *traffic {
	return &traffic{fleet: f, clients: clients, seed: seed, pause: thinking, stop: make(chan struct{}),
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 512}}}
}

// start lets all callers call until end.
func (tr *traffic) start() {
	n := uint64(0)
	for _, c := range tr.clients {
		for i := range c.callers {
			n++
			random := rand.New(rand.NewPCG(tr.seed, n))
			tr.done.Go(func() { tr.caller(c, i, random) })
		}
	}
}

// end waits until every call has ended.
func (tr *traffic) end() []*call {
	close(tr.stop)
	tr.done.Wait()
	tr.http.CloseIdleConnections()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.calls
}

// caller calls any replica, again and again.
func (tr *traffic) caller(c *client, number int, random *rand.Rand) {
	var mine []*call
	defer func() {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.calls = append(tr.calls, mine...)
	}()
	for n := 0; ; n++ {
		select {
		case <-tr.stop:
			return
		case <-time.After(time.Duration(random.Int64N(int64(2 * tr.pause)))):
		}
		how := ask{stream: random.IntN(100) < 40, leaveAfter: -1}
		if how.stream {
			how.usage = random.IntN(2) == 0
			if random.IntN(4) == 0 && !tr.stay {
				how.leaveAfter = 1 + random.IntN(streamChunks)
			}
		}
		mine = append(mine, tr.call(c, fmt.Sprintf("%s/%d/%d", c.ID, number, n), random.IntN(len(tr.fleet)), how))
	}
}

// ask is what a caller asks for.
type ask struct {
	stream     bool
	usage      bool // at the end of the stream
	leaveAfter int  // events; negative: the caller stays
}

func (a ask) body() string {
	const messages = `"max_tokens":32,"messages":[{"role":"user","content":"What holds in a storm?"}]`
	switch {
	case a.usage:
		return `{"model":"` + streamModel + `","stream":true,"stream_options":{"include_usage":true},` + messages + `}`
	case a.stream:
		return `{"model":"` + streamModel + `","stream":true,` + messages + `}`
	default:
		return `{"model":"` + plainModel + `",` + messages + `}`
	}
}

// call makes one call and says what its caller saw.
func (tr *traffic) call(c *client, tag string, replica int, how ask) *call {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, tr.fleet[replica].url+"/v1/chat/completions",
		strings.NewReader(how.body())) // it has a method and a URL
	req.Header.Set("Authorization", "Bearer "+c.Token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(tagHeader, tag)
	seen := &call{tag: tag, client: c.ID, replica: replica, stream: how.stream, sent: time.Now()}
	resp, err := tr.http.Do(req)
	if err != nil {
		seen.ended, seen.why = time.Now(), err
		if strings.Contains(err.Error(), "connection refused") {
			seen.end = refused
		}
		return seen
	}
	defer resp.Body.Close()
	seen.id, seen.status = resp.Header.Get("X-Proxy-Request-Id"), resp.StatusCode
	if how.stream && resp.StatusCode == http.StatusOK {
		seen.readEvents(resp.Body, how.leaveAfter, cancel)
	} else {
		seen.readWhole(resp.Body)
	}
	return seen
}

func (c *call) readWhole(body io.Reader) {
	text, err := io.ReadAll(body)
	c.ended, c.why, c.end = time.Now(), err, whole
	if err != nil {
		c.end = cut
	}
	if c.status >= 400 {
		var e struct{ Error struct{ Code string } }
		_ = json.Unmarshal(text, &e) // one that cannot be read has no code
		c.code = e.Error.Code
	}
}

// readEvents reads a stream, or so many events of it. One that does not say that it is done is cut.
func (c *call) readEvents(body io.Reader, leaveAfter int, leave func()) {
	lines, done := bufio.NewScanner(body), false
	for events := 0; lines.Scan(); {
		if !bytes.HasPrefix(lines.Bytes(), []byte("data: ")) {
			continue
		}
		if events++; events == leaveAfter {
			c.end, c.ended = left, time.Now()
			leave()
			return
		}
		done = bytes.Equal(lines.Bytes(), []byte("data: [DONE]"))
	}
	c.ended, c.why, c.end = time.Now(), lines.Err(), whole
	if c.why == nil && !done {
		c.why = io.ErrUnexpectedEOF
	}
	if c.why != nil {
		c.end = cut
	}
}

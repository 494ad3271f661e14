package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// callersAtOnce call in the name of the doctor.
	callersAtOnce = 16
	// renewEvery is after how many calls a caller takes a new connection, so that a load balancer spreads them.
	renewEvery = 4
	// callWithin bounds one call.
	callWithin = 10 * time.Second
)

const (
	plainBody    = `{"model":"` + model + `","messages":[{"role":"user","content":"Are you well?"}]}`
	streamedBody = `{"model":"` + model + `","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Are you well?"}]}`
)

// answer is what a caller got.
type answer struct {
	began, ended time.Time
	status       int
	id           string // of the request, as the proxy names it
	body         []byte
	first        time.Time // when the body began
	err          error
}

// caller calls the proxy as an application does.
type caller struct {
	url, token string
	http       *http.Client
	calls      int
}

func (c *checkup) caller(client string) *caller {
	transport := c.s.api.http.Transport.(*http.Transport).Clone()
	base := c.s.api.base
	if c.callers != "" {
		base = strings.TrimRight(c.callers, "/")
	}
	return &caller{url: base + chatPath, token: c.pool.tokens[client], http: &http.Client{Transport: transport, CheckRedirect: unfollowed}}
}

func (c *caller) close() { c.http.CloseIdleConnections() }

func (c *caller) chat(ctx context.Context, body string) (a answer) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", c.url, strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	c.calls++
	req.Close = c.calls%renewEvery == 0
	a.began = time.Now()
	defer func() { a.ended = time.Now() }()
	resp, err := c.http.Do(req)
	if err != nil {
		a.err = err
		return a
	}
	defer resp.Body.Close()
	a.status, a.id = resp.StatusCode, resp.Header.Get("X-Proxy-Request-Id")
	a.body, a.first, a.err = readBody(resp.Body)
	return a
}

// readBody reads all of a body, and says when it began.
func readBody(from io.Reader) ([]byte, time.Time, error) {
	var all bytes.Buffer
	some := make([]byte, 32<<10)
	n, err := from.Read(some)
	first := time.Now()
	all.Write(some[:n])
	if err == nil {
		_, err = all.ReadFrom(from)
	}
	if err == io.EOF {
		err = nil
	}
	return all.Bytes(), first, err
}

// load is how calls are made.
type load struct {
	client string
	most   int           // calls in all; 0: until the time is over
	within time.Duration // for how long calls are begun
	pace   time.Duration // between two calls of one caller
	until  func() bool   // when to end before; nil: never. Asked between calls, by one caller at a time
}

// call makes calls and returns all answers.
func (c *checkup) call(ctx context.Context, l load) (all []answer) {
	var mu sync.Mutex // guards all, begun
	begun, end := 0, time.Now().Add(l.within)
	next := func() bool {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() != nil || !time.Now().Before(end) || l.most > 0 && begun == l.most || l.until != nil && l.until() {
			return false
		}
		begun++
		return true
	}
	var callers sync.WaitGroup
	for range callersAtOnce {
		callers.Go(func() {
			one := c.caller(l.client)
			defer one.close()
			for next() {
				a := one.chat(ctx, plainBody)
				mu.Lock()
				all = append(all, a)
				mu.Unlock()
				if l.pace > 0 {
					pause(ctx, l.pace)
				}
			}
		})
	}
	callers.Wait()
	return all
}

// statuses counts answers by status, 0 for none; trouble says what went wrong with the first of those that are not 200.
func statuses(all []answer) (by map[int]int, trouble string) {
	by = map[int]int{}
	for _, a := range all {
		status := a.status
		if a.err != nil {
			status = 0
		}
		by[status]++
		if status == http.StatusOK || trouble != "" {
			continue
		}
		trouble = fmt.Sprintf("answered %d: %.200s", status, a.body)
		if a.err != nil {
			trouble = a.err.Error()
		}
	}
	return by, trouble
}

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// load is traffic of one kind. Its client is a small one: that of net/http would cost as much as the proxies do.
type load struct {
	workers int           // connections
	span    time.Duration // of beginning requests
	rate    float64       // requests a second; 0: each worker sends its next when the last was answered
	each    int           // requests of each worker; 0: as many as fit
	ramp    time.Duration // over which the workers begin
	body    []byte
	stream  bool
}

// result is what came of it.
type result struct {
	sent, failed int64 // a stream without [DONE] failed
	took         time.Duration
	times        []time.Duration // of those that succeeded, sorted
}

func (r *result) percentile(p float64) time.Duration {
	if len(r.times) == 0 {
		return 0
	}
	return r.times[min(int(p*float64(len(r.times))), len(r.times)-1)]
}

// requests are what is sent in turn, one for each token.
func (l load) requests(t *target) (all [][]byte) {
	tokens := t.tokens
	if len(tokens) == 0 {
		tokens = []string{t.token}
	}
	for _, token := range tokens {
		request := fmt.Appendf(nil, "POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nContent-Type: application/json\r\n"+
			"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", t.addr, token, len(l.body))
		all = append(all, append(request, l.body...))
	}
	return all
}

// run sends the load to a target, each connection to one of its replicas.
func (l load) run(t *target) *result {
	addrs, requests := t.addrs(), l.requests(t)
	var total result
	var mu sync.Mutex // guards total
	var all sync.WaitGroup
	var next, turn atomic.Int64
	start := time.Now()
	for i := range l.workers {
		all.Go(func() {
			time.Sleep(l.ramp * time.Duration(i) / time.Duration(l.workers))
			w := worker{load: &l, addr: addrs[i%len(addrs)], requests: requests, start: start, next: &next, turn: &turn}
			w.run()
			mu.Lock()
			defer mu.Unlock()
			total.sent += w.sent
			total.failed += w.failed
			total.times = append(total.times, w.times...)
		})
	}
	all.Wait()
	total.took = time.Since(start)
	slices.Sort(total.times)
	return &total
}

// worker is one connection, dialled anew when it broke.
type worker struct {
	*load
	addr     string
	requests [][]byte
	start    time.Time
	next     *atomic.Int64 // of all workers: the requests whose time has come
	turn     *atomic.Int64 // of all workers: whose token is next
	c        net.Conn
	r        *bufio.Reader
	result
}

func (w *worker) run() {
	defer func() { w.hangUp() }()
	for n := 0; w.each == 0 || n < w.each; n++ {
		began := time.Now()
		if w.rate > 0 {
			due := w.start.Add(time.Duration(float64(w.next.Add(1)-1) / w.rate * float64(time.Second)))
			if due.Sub(w.start) > w.span {
				return
			}
			if wait := time.Until(due); wait > 0 {
				time.Sleep(wait)
				began = time.Now() // who wakes late is the generator, not the target
			} else {
				began = due // all workers were busy: that counts
			}
		} else if w.each == 0 && time.Since(w.start) > w.span {
			return
		}
		w.sent++
		if err := w.call(); err != nil {
			w.failed++
			w.hangUp()
			continue
		}
		w.times = append(w.times, time.Since(began))
	}
}

func (w *worker) hangUp() {
	if w.c != nil {
		w.c.Close()
		w.c = nil
	}
}

var errAnswer = errors.New("not the answer that was expected")

// call sends one request and reads its answer.
func (w *worker) call() error {
	if w.c == nil {
		c, err := net.DialTimeout("tcp", w.addr, 5*time.Second)
		if err != nil {
			return err
		}
		w.c, w.r = c, bufio.NewReaderSize(c, 8<<10)
	}
	_ = w.c.SetDeadline(time.Now().Add(time.Minute)) // thousands of streams take longer than they were meant to
	request := w.requests[0]
	if n := int64(len(w.requests)); n > 1 {
		request = w.requests[(w.turn.Add(1)-1)%n]
	}
	if _, err := w.c.Write(request); err != nil {
		return err
	}
	line, err := w.r.ReadSlice('\n')
	if err != nil || !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
		return errors.Join(errAnswer, err)
	}
	length := -1
	for {
		if line, err = w.r.ReadSlice('\n'); err != nil {
			return err
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			length, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
		}
	}
	if length >= 0 {
		_, err = w.r.Discard(length)
		return err
	}
	return w.chunks()
}

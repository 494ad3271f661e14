package rollout

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// crowd asks questions until it is told to end, and compares every byte of the answers.
type crowd struct {
	client *http.Client
	over   chan struct{} // closed when nobody is to ask again
	once   sync.Once
	all    sync.WaitGroup

	sent, streams, open atomic.Int64

	mu     sync.Mutex // guards failed
	failed []string
}

func newCrowd(t *testing.T, trust *x509.CertPool) *crowd {
	c := &crowd{client: caller(trust), over: make(chan struct{})}
	t.Cleanup(c.end)
	return c
}

// end lets what runs come to its own end.
func (c *crowd) end() {
	c.once.Do(func() { close(c.over) })
	c.all.Wait()
}

// loop is one caller, who asks again as soon as the answer is there.
func (c *crowd) loop(f *front, after time.Duration, next func() question) {
	c.all.Go(func() {
		time.Sleep(after)
		for {
			select {
			case <-c.over:
				return
			default:
			}
			q := next()
			q.name = fmt.Sprintf("q%d", c.sent.Add(1))
			if err := c.ask(f, q); err != nil {
				c.mu.Lock()
				c.failed = append(c.failed, fmt.Sprintf("%s through %s at %s: %v", q.name, f.name, time.Now().Format(time.StampMilli), err))
				c.mu.Unlock()
			}
		}
	})
}

// send puts the question, at an own domain's /proxy/v1.
func (c *crowd) send(ctx context.Context, f *front, q question) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", f.url+"/proxy/v1/chat/completions", strings.NewReader(q.body()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+clientToken)
	req.Header.Set("Content-Type", "application/json")
	return c.client.Do(req)
}

// flows looks whether the front passes an event on before the next one is there.
func (c *crowd) flows(t *testing.T, f *front, up *origin) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	q := question{name: held, events: 1}
	c.sent.Add(1)
	resp, err := c.send(ctx, f, q)
	if err != nil {
		t.Fatalf("%s: %v", f.name, err)
	}
	defer resp.Body.Close()
	got := make([]byte, len(q.event(0)))
	if _, err := io.ReadFull(resp.Body, got); err != nil {
		t.Fatalf("%s holds an event back: %v", f.name, err)
	}
	up.more <- struct{}{}
	rest, err := io.ReadAll(resp.Body)
	if err != nil || string(got)+string(rest) != q.answer() {
		t.Errorf("%s: %v, %q", f.name, err, rest)
	}
}

func (c *crowd) ask(f *front, q question) error {
	if q.events > 0 {
		c.streams.Add(1)
		c.open.Add(1)
		defer c.open.Add(-1)
	}
	resp, err := c.send(context.Background(), f, q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("cut after %d bytes: %w", len(got), err)
	}
	if want := q.answer(); resp.StatusCode != http.StatusOK || string(got) != want {
		return fmt.Errorf("%d, %d bytes %.200q, want %d", resp.StatusCode, len(got), got, len(want))
	}
	return nil
}

// report fails the test for every request that failed.
func (c *crowd) report(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	t.Logf("%d requests, %d of them streams, %d failed", c.sent.Load(), c.streams.Load(), len(c.failed))
	for i, f := range c.failed {
		if i == 10 {
			break
		}
		t.Error(f)
	}
}

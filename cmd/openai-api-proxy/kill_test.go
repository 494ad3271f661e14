package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/redistest"
)

// kills is how often a test kills the proxy; OAP_KILLS=20 for more.
func kills(t *testing.T) int {
	if n, err := strconv.Atoi(os.Getenv("OAP_KILLS")); err == nil {
		return n
	}
	if testing.Short() {
		return 2
	}
	return 4
}

// callers call one proxy or another until they are stopped, and remember what they saw.
type callers struct {
	mu    sync.Mutex        // guards both
	whole map[string]string // what answers that came to their end were
	begun int               // requests that may have reached the upstream
	all   sync.WaitGroup
	stop  chan struct{}
}

func newCallers() *callers { return &callers{whole: map[string]string{}} }

func (c *callers) start(n int, to ...*process) {
	c.stop = make(chan struct{})
	for i := range n {
		c.all.Go(func() {
			for j := i; ; j++ {
				select {
				case <-c.stop:
					return
				default:
				}
				saw := to[j%len(to)].call(i + j)
				c.saw(saw)
				if saw.id == "" {
					time.Sleep(5 * time.Millisecond) // nobody is there
				}
			}
		})
	}
}

func (c *callers) saw(one called) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun++
	if one.whole {
		c.whole[one.id] = one.what
	}
}

// more waits for so many more whole answers.
func (c *callers) more(t *testing.T, n int) {
	t.Helper()
	answers := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.whole)
	}
	want := answers() + n
	eventually(t, "answers", func() bool { return answers() >= want })
}

// end waits for the answers to what was asked.
func (c *callers) end() {
	close(c.stop)
	c.all.Wait()
}

// row is one request of the ledger.
type row struct {
	ID     string
	Tokens struct{ Input, Output int64 }
}

// ledger reads what was counted, and checks that it is consistent: the totals are those of the rows.
func (p *process) ledger() map[string]row {
	p.t.Helper()
	rows, next := map[string]row{}, ""
	var sum row
	for {
		var page struct {
			Data []row
			Next *string
		}
		p.ask("/api/requests?limit=1000&after="+next, &page)
		for _, r := range page.Data {
			if _, twice := rows[r.ID]; twice {
				p.t.Errorf("%s is there twice", r.ID)
			}
			rows[r.ID] = r
			sum.Tokens.Input += r.Tokens.Input
			sum.Tokens.Output += r.Tokens.Output
		}
		if page.Next == nil {
			break
		}
		next = *page.Next
	}
	var stats struct {
		Totals struct {
			Requests int
			Tokens   struct{ Input, Output int64 }
		}
	}
	p.ask("/api/stats", &stats)
	if got := stats.Totals; got.Requests != len(rows) || got.Tokens != sum.Tokens {
		p.t.Errorf("%d requests and %+v tokens are counted, %d and %+v remembered", got.Requests, got.Tokens, len(rows), sum.Tokens)
	}
	return rows
}

// intervals are some in which a replica writes what it has counted, after which it is found.
const intervals = 300 * time.Millisecond

// settled waits until what dead processes left is counted, and what the living had pending.
func settled(t *testing.T, dataDir string, living int) {
	t.Helper()
	eventually(t, "no journal of a dead process is left", func() bool {
		all, err := os.ReadDir(filepath.Join(dataDir, "journal"))
		return err == nil && len(all) == living
	})
	time.Sleep(intervals)
}

// reconcile holds the ledger, as the first of the proxies tells it, against what callers saw and what the upstream billed.
func reconcile(t *testing.T, c *callers, upstream *mockopenai.Server, quiet bool, proxies ...*process) {
	t.Helper()
	ledger := proxies[0].ledger()
	lost := 0
	for id, what := range c.whole {
		if _, there := ledger[id]; !there {
			if lost++; lost < 5 {
				t.Logf("lost: %s %s", id, what)
			}
		}
	}
	bill := upstream.Stats()[testKey]
	var output int64
	for _, r := range ledger {
		output += r.Tokens.Output
	}
	t.Logf("%d calls, %d whole answers, %d rows, %d lost; billed %d requests and %d tokens, counted %d tokens",
		c.begun, len(c.whole), len(ledger), lost, bill.Requests, bill.OutputTokens, output)
	if lost > 0 {
		t.Errorf("%d of %d answers are not in the ledger", lost, len(c.whole))
	}
	for _, p := range proxies {
		if strings.Contains(p.logs.String(), "in memory only") {
			t.Errorf("%s could not write its journal", p.url)
		}
	}
	if int64(len(ledger)) > bill.Requests || output > bill.OutputTokens {
		t.Error("more is counted than was billed")
	}
	if quiet && (int64(len(ledger)) != bill.Requests || output != bill.OutputTokens) {
		t.Error("what is counted is not what was billed, though nothing was running when it was killed")
	}
}

// onBoth runs a test with an embedded state and with one in Redis.
func onBoth(t *testing.T, test func(t *testing.T, env []string, dataDir string)) {
	t.Run("embedded", func(t *testing.T) {
		dir := t.TempDir()
		test(t, []string{"DATA_DIR=" + dir}, dir)
	})
	t.Run("redis", func(t *testing.T) {
		dir := t.TempDir()
		test(t, []string{"DATA_DIR=" + dir, "REDIS_URL=" + redistest.Start(t).URL()}, dir)
	})
}

// Under load: every answer that a caller has whole is counted once.
func TestKilledUnderLoad(t *testing.T) {
	onBoth(t, func(t *testing.T, env []string, dataDir string) {
		upstream, base := mock(t)
		p, c := newProcess(t, append(env, base)...), newCallers()
		p.run()
		c.start(16, p)
		for range kills(t) {
			c.more(t, 50+rand.IntN(200))
			p.kill()
			p.run()
		}
		c.end()
		settled(t, dataDir, 1)
		reconcile(t, c, upstream, false, p)
	})
}

// When nothing is running, at once after the last answer: the ledger is the upstream's bill, to the token.
func TestKilledAfterTheLastAnswer(t *testing.T) {
	onBoth(t, func(t *testing.T, env []string, dataDir string) {
		upstream, base := mock(t)
		p, c := newProcess(t, append(env, base)...), newCallers()
		p.run()
		for range kills(t) {
			c.start(8, p)
			c.more(t, 50+rand.IntN(100))
			c.end()
			p.kill()
			p.run()
		}
		settled(t, dataDir, 1)
		reconcile(t, c, upstream, true, p)
	})
}

// Replicas on one directory count what the other left, while Redis comes and goes.
func TestReplicasShareADirectory(t *testing.T) {
	upstream, base := mock(t)
	dir, server := t.TempDir(), redistest.Start(t)
	env := []string{"DATA_DIR=" + dir, "REDIS_URL=" + server.URL(), base}
	a, b, c := newProcess(t, env...), newProcess(t, env...), newCallers()
	a.run()
	b.run()
	c.start(16, a, b)
	for i := range kills(t) {
		c.more(t, 50)
		server.Freeze()
		time.Sleep(300 * time.Millisecond)
		victim := []*process{a, b}[i%2]
		victim.kill()
		server.Thaw()
		time.Sleep(100 * time.Millisecond)
		victim.run()
	}
	c.end()
	settled(t, dir, 2)
	reconcile(t, c, upstream, false, a, b)
}

// A Redis that is emptied begins anew. What was not yet counted then is counted there, once.
func TestKilledAndRedisEmptied(t *testing.T) {
	upstream, base := mock(t)
	dir, server := t.TempDir(), redistest.Start(t)
	p, c := newProcess(t, "DATA_DIR="+dir, "REDIS_URL="+server.URL(), base), newCallers()
	p.run()
	for range kills(t) {
		c.start(8, p)
		c.more(t, 50)
		c.end()
		if err := server.Do("FLUSHALL"); err != nil {
			t.Fatal(err)
		}
		upstream.Reset()
		c.whole = map[string]string{} // the counters begin anew
		c.start(8, p)
		c.more(t, 50)
		c.end()
		p.kill()
		p.run()
	}
	settled(t, dir, 1)
	rows := p.ledger()
	for id := range c.whole {
		if _, there := rows[id]; !there {
			t.Errorf("%s is not counted", id)
		}
	}
	t.Logf("%d answers after the last time that Redis was emptied, %d rows", len(c.whole), len(rows))
}

// A second process with embedded state says so and ends.
func TestSecondProcessOnADirectory(t *testing.T) {
	_, base := mock(t)
	dir := t.TempDir()
	first, second := newProcess(t, "DATA_DIR="+dir, base), newProcess(t, "DATA_DIR="+dir, base)
	first.run()
	second.start()
	err := second.cmd.Wait()
	second.cmd = nil
	if err == nil || !strings.Contains(second.logs.String(), "in use by another process") {
		t.Errorf("it ended with %v and said\n%s", err, second.logs)
	}
	if all, _ := os.ReadDir(filepath.Join(dir, "journal")); len(all) != 1 {
		t.Errorf("journals: %v", all)
	}
}

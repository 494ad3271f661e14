package edge

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/proxy"
)

// page takes lines as an access log does; what is held up waits in Write.
type page struct {
	held   chan struct{} // nil, or closed: nothing is held up
	mu     sync.Mutex    // guards the rest
	text   bytes.Buffer
	writes int
}

func (p *page) Write(lines []byte) (int, error) {
	if p.held != nil {
		<-p.held
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writes++
	return p.text.Write(lines)
}

func (p *page) read() (text string, writes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String(), p.writes
}

// booked are the ids in the lines, in order.
func (p *page) booked() []string {
	text, _ := p.read()
	var ids []string
	for line := range strings.Lines(text) {
		_, rest, _ := strings.Cut(line, `"id":"`)
		id, _, _ := strings.Cut(rest, `"`)
		ids = append(ids, id)
	}
	return ids
}

type uncounted struct{}

func (uncounted) Record(*proxy.Record) {}

func logging(to io.Writer, level slog.Level) (*Edge, *prometheus.Registry) {
	reg := prometheus.NewRegistry()
	log := slog.New(slog.NewJSONHandler(io.Discard, &slog.HandlerOptions{Level: level}))
	return New(Options{Usage: uncounted{}, Log: log, AccessLog: to, Metrics: reg}), reg
}

func finished(n int) *proxy.Record {
	return &proxy.Record{ID: fmt.Sprint("req_", n), Start: time.Now(), Method: "POST", Operation: "/v1/chat/completions", Status: 200, Total: time.Second}
}

// total is the sum of all series of a counter.
func total(t *testing.T, reg prometheus.Gatherer, name string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func counts(t *testing.T, reg prometheus.Gatherer, n float64) {
	t.Helper()
	if got := total(t, reg, "oap_requests_total"); got != n {
		t.Errorf("%v requests are counted, want %v", got, n)
	}
}

// TestLedgerBooksTogether sees requests in the metrics at once, and in the log soon and in few writes.
func TestLedgerBooksTogether(t *testing.T) {
	p := new(page)
	e, reg := logging(p, slog.LevelInfo)
	defer e.Close()
	for i := range 100 {
		e.account(finished(i))
	}
	counts(t, reg, 100)
	for end := time.Now().Add(10 * time.Second); len(p.booked()) < 100; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of 100 lines", len(p.booked()))
		}
	}
	for i, id := range p.booked() {
		if id != fmt.Sprint("req_", i) {
			t.Fatalf("%s is line %d", id, i)
		}
	}
	if _, writes := p.read(); writes > 50 {
		t.Errorf("%d writes for 100 lines", writes)
	}
	counts(t, reg, 100)
}

// TestLedgerKeepsTheEnd sees in a line when its request ended, and not when it was written.
func TestLedgerKeepsTheEnd(t *testing.T) {
	p := new(page)
	e, _ := logging(p, slog.LevelInfo)
	rec := finished(0)
	rec.Start = rec.Start.Add(-time.Hour)
	e.account(rec)
	e.Close()
	want := `{"time":"` + rec.Start.Add(time.Second).Format(time.RFC3339Nano) + `","level":"INFO","msg":"request","id":"req_0"`
	if text, _ := p.read(); !strings.HasPrefix(text, want) {
		t.Errorf("%s does not begin with %s", text, want)
	}
}

// TestLedgerWhenTheLogIsSlow lets only so many requests end before they wait for the log, and metrics never do.
func TestLedgerWhenTheLogIsSlow(t *testing.T) {
	p := &page{held: make(chan struct{})}
	e, reg := logging(p, slog.LevelInfo)
	for i := range mostWaiting {
		e.account(finished(i))
	}
	const more = 20
	var late sync.WaitGroup
	ended := make(chan struct{})
	for i := range more {
		late.Go(func() { e.account(finished(mostWaiting + i)) })
	}
	go func() { late.Wait(); close(ended) }()
	for end := time.Now().Add(10 * time.Second); e.ledger.holds() < mostWaiting+more; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d are held", e.ledger.holds())
		}
	}
	counts(t, reg, mostWaiting+more)
	select {
	case <-ended:
		t.Error("nobody waits for a log that is held up")
	default:
	}
	close(p.held)
	<-ended
	e.Close()
	if n := len(p.booked()); n != mostWaiting+more {
		t.Errorf("%d lines of %d", n, mostWaiting+more)
	}
}

func (l *ledger) holds() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

// TestLedgerCloses writes all that ended before and what ends later, while others read the metrics.
func TestLedgerCloses(t *testing.T) {
	p := new(page)
	e, reg := logging(p, slog.LevelInfo)
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 1000 {
				e.account(finished(g*1000 + i))
			}
		})
	}
	all.Go(func() {
		for range 20 {
			_, _ = reg.Gather()
		}
	})
	all.Wait()
	e.Close()
	e.account(finished(4000))
	seen := map[string]bool{}
	for _, id := range p.booked() {
		seen[id] = true
	}
	if n := len(p.booked()); n != 4001 || len(seen) != n || e.ledger.holds() != 0 {
		t.Errorf("%d lines of %d requests, and %d are held", n, len(seen), e.ledger.holds())
	}
	counts(t, reg, 4001)
}

// TestLedgerOfStrangers has them in the log only if that tells of everything, and never in the metrics.
func TestLedgerOfStrangers(t *testing.T) {
	for level, lines := range map[slog.Level]int{slog.LevelInfo: 0, slog.LevelDebug: 1} {
		p := new(page)
		e, reg := logging(p, level)
		e.Engine().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/livez", nil))
		e.Close()
		if text, _ := p.read(); strings.Count(text, `"level":"DEBUG","msg":"request"`) != lines {
			t.Errorf("%v: %s", level, text)
		}
		counts(t, reg, 0)
	}
}

// TestLedgerSurvives a record that cannot be counted.
func TestLedgerSurvives(t *testing.T) {
	p := new(page)
	e, reg := logging(p, slog.LevelInfo)
	bad := finished(0)
	bad.Usage.Basis, bad.Usage.Input = "exact", -1 // no counter goes down
	e.account(bad)
	e.account(finished(1))
	e.Close()
	if ids := p.booked(); len(ids) != 1 || ids[0] != "req_1" {
		t.Errorf("%v", ids)
	}
	if n := total(t, reg, "oap_panics_total"); n != 1 {
		t.Errorf("%v panics", n)
	}
}

package usage

import (
	"bytes"
	"context"
	"testing"
	"time"

	"openai-api-proxy/pkg/journal"
	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// usual is a finished request with everything that most have.
func usual() *proxy.Record {
	return &proxy.Record{ID: "req_abcdefghijklmnopqrstuvwxyz", Start: time.Now(), Method: "POST", Operation: "/v1/chat/completions",
		Client: "team-a", ClientIP: "192.0.2.17", Model: "gpt-4o-mini-2024-07-18", Stream: true, Status: 200, Key: "key1",
		Attempts: []proxy.Attempt{{Key: "key1", Account: "org-a", Outcome: proxy.Served, Status: 200, Took: 345678 * time.Microsecond}},
		Usage:    openai.Usage{Input: 1000, Output: 200, Basis: openai.Exact}, FirstByte: 351234 * time.Microsecond,
		Total: 2345678 * time.Microsecond, BytesIn: 4321, BytesOut: 12345, Upstream: "req_0123456789abcdef0123456789abcdef"}
}

// BenchmarkRecord is what each request waits for at its end.
func BenchmarkRecord(b *testing.B) {
	for name, dir := range map[string]journal.Dir{"memory": {}, "journal": {Path: b.TempDir()}} {
		for parallel, run := range map[string]func(*testing.B, func()){"alone": alone, "together": together} {
			b.Run(name+"/"+parallel, func(b *testing.B) {
				s := newShelf()
				o := options(&bytes.Buffer{})
				o.Journal = dir
				m := newMeter(s, o)
				stop, done := make(chan struct{}), make(chan struct{})
				go flushing(m, s, stop, done)
				b.ReportAllocs()
				run(b, func() { m.Record(usual()) })
				b.StopTimer()
				close(stop)
				<-done
				if j := m.own.Load(); j != nil {
					if n := value(b, m.unkept); n > 0 {
						b.Errorf("%d of %d were not journaled: %v", n, b.N, m.JournalError())
					}
					j.Close()
				}
			})
		}
	}
}

// flushing writes what is counted as a Meter does, to a store that keeps no batches.
func flushing(m *Meter, s *shelf, stop, done chan struct{}) {
	defer close(done)
	tick := time.NewTicker(defaultFlush)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = m.flush(context.Background())
			s.mu.Lock()
			for i := range s.batches {
				s.batches[i].Requests = nil
			}
			s.mu.Unlock()
		case <-stop:
			return
		}
	}
}

func alone(b *testing.B, record func()) {
	for b.Loop() {
		record()
	}
}

func together(b *testing.B, record func()) {
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			record()
		}
	})
}

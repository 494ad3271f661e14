package http1

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// What a small request costs, server included, beside what http.Transport makes of it.
func BenchmarkRoundTrip(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, strings.Repeat("x", 1000))
	}))
	defer s.Close()
	ours := New(Options{Dial: new(net.Dialer).DialContext, IdleTimeout: time.Minute, MostIdle: 100, MostHead: 1 << 20})
	defer ours.Close()
	standard := &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}
	defer standard.CloseIdleConnections()
	for _, by := range []struct {
		name string
		http.RoundTripper
	}{{"http1", ours}, {"http.Transport", standard}} {
		b.Run(by.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					req, _ := http.NewRequest("POST", s.URL, strings.NewReader(strings.Repeat("y", 300)))
					req.Header.Set("User-Agent", "test") // or it is not plain
					resp, err := by.RoundTrip(req)
					if err != nil {
						b.Error(err)
						return
					}
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			})
		})
	}
}

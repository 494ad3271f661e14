package main

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync/atomic"
)

// serveForward is the bare httputil.ReverseProxy that everything is compared with: a key of ten in turn, every write
// flushed, nothing else.
func serveForward(addr, upstream string) error {
	to, err := url.Parse(upstream)
	if err != nil {
		return err
	}
	var next atomic.Uint64
	return http.ListenAndServe(addr, &httputil.ReverseProxy{
		Transport:     &http.Transport{MaxIdleConns: 4096, MaxIdleConnsPerHost: 4096, DisableCompression: true},
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Header.Set("Authorization", "Bearer sk-test-up-"+strconv.FormatUint(next.Add(1)%10, 10))
		},
	})
}

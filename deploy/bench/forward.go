package main

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync/atomic"
)

// forward is the bare httputil.ReverseProxy that everything is compared with: a key of ten in turn, every write
// flushed, nothing else. A transport for which nobody sets how it dials takes HTTP/2 where TLS offers it, unless it is kept
// to HTTP/1.1.
func forward(upstream string, only1 bool) (http.Handler, error) {
	to, err := url.Parse(upstream)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{MaxIdleConns: 4096, MaxIdleConnsPerHost: 4096, DisableCompression: true}
	if only1 {
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetHTTP1(true)
	}
	var next atomic.Uint64
	return &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Header.Set("Authorization", "Bearer sk-test-up-"+strconv.FormatUint(next.Add(1)%10, 10))
		},
	}, nil
}

func serveForward(addr, upstream string, only1 bool) error {
	handler, err := forward(upstream, only1)
	if err != nil {
		return err
	}
	return http.ListenAndServe(addr, handler)
}

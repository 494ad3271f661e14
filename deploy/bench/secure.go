package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"path/filepath"
	"time"
)

// openSecure starts the upstream on TLS, where it offers HTTP/2 and HTTP/1.1.
func (s *stage) openSecure() (err error) {
	s.cert = filepath.Join(s.dir, "cert.pem")
	secret := filepath.Join(s.dir, "cert-key.pem")
	if err := certificate(s.cert, secret); err != nil {
		return err
	}
	s.secure, err = s.start("secure-upstream", "", nil, func(addr string) []string { return []string{s.self, "upstream", addr, s.cert, secret} })
	return err
}

// trusting is the environment of a target that asks the upstream on TLS.
func (s *stage) trusting() []string {
	return []string{"SSL_CERT_FILE=" + s.cert}
}

// secureBare is the bare ReverseProxy in front of TLS; only1 keeps it to HTTP/1.1.
func (s *stage) secureBare(only1 string) (*target, error) {
	return s.start("ReverseProxy", "", s.trusting(), func(addr string) []string {
		return []string{s.self, "forward", addr, "https://" + s.secure.addr, only1}
	})
}

// secureOurs is the proxy in front of TLS.
func (s *stage) secureOurs(version string) (*target, error) {
	as := small
	as.env = append(s.trusting(), "OPENAI_BASE_URL=https://"+s.secure.addr, "UPSTREAM_HTTP="+version)
	return s.ours(as)
}

// sides starts what is compared over TLS, the yardstick first: the bare proxy as it comes.
func (s *stage) sides() (all []*target, err error) {
	for _, side := range []struct {
		name  string
		begin func() (*target, error)
	}{
		{"ReverseProxy", func() (*target, error) { return s.secureBare("") }},
		{"ReverseProxy without HTTP/2", func() (*target, error) { return s.secureBare("1.1") }},
		{ours, func() (*target, error) { return s.secureOurs("auto") }},
		{ours + ", `UPSTREAM_HTTP=1.1`", func() (*target, error) { return s.secureOurs("1.1") }},
	} {
		one, err := side.begin()
		if err != nil {
			return all, err
		}
		one.name = side.name
		all = append(all, one)
	}
	return all, nil
}

// overTLS compares requests and streams whose upstream is on TLS.
func (b *bench) overTLS(t *table) error {
	if err := b.openSecure(); err != nil {
		return err
	}
	all, err := b.sides()
	defer func() {
		for _, one := range all {
			one.stop()
		}
	}()
	if err != nil {
		return err
	}
	var spoke []string
	for _, one := range all {
		version, err := spoken(one)
		if err != nil {
			return fmt.Errorf("%s over TLS: %w", one.name, err)
		}
		log.Printf("TLS, %s speaks %s", one.name, version)
		spoke = append(spoke, version)
	}
	l := load{workers: 64, span: b.span(1500*time.Millisecond, 700*time.Millisecond), body: chat("gpt-4o-mini", false, 0)}
	requests := b.steady("TLS", b.count(3, 1), l, all...)
	l.body, l.stream = chat("gpt-4o-mini", true, 0), true
	t.sections = append(t.sections, secured(all, spoke, requests, b.steady("TLS, streams", b.count(3, 1), l, all...)))
	if !b.short {
		t.sections = append(t.sections, slowly(all, spoke, b.apart(2, 60, all...), b.apart(2, 400, all...)))
	}
	return nil
}

// secured is the table of it.
func secured(all []*target, spoke []string, requests, events map[string]rounds) section {
	part := section{title: texts{"TLS to the upstream", "到上游的 TLS"},
		text: texts{"The upstream offers HTTP/2 and HTTP/1.1. A request has 64 callers, a stream 100 events; connections stay. Ratios are to the bare\n" +
			"`httputil.ReverseProxy` as it comes: its transport takes HTTP/2 where that is offered, as long as nobody sets how it dials. What was spoken is\n" +
			"what the upstream saw.",
			"上游提供 HTTP/2 与 HTTP/1.1。64 个并发，流为 100 个事件；连接保持。比值均相对于未作设置的裸 `httputil.ReverseProxy`：只要没有自定义拨号方式，\n" +
				"它的 transport 在上游提供 HTTP/2 时就会使用。协议一列为上游所见。"},
		head: []texts{{"", ""}, {"spoken", "协议"}, {"CPU of a request", "每个请求的 CPU"}, toBare, {"CPU of an event", "每个事件的 CPU"}, toBare}}
	for i, one := range all {
		part.add(append([]string{one.name, spoke[i]}, append(beside(requests, one, all[0], figures.total), beside(events, one, all[0], perEvent)...)...)...)
	}
	return part
}

// slowly is the table of events that come alone, in few streams and in many.
func slowly(all []*target, spoke []string, few, many map[string]rounds) section {
	part := section{title: texts{"Slow streams over TLS", "经 TLS 的慢速流"},
		text: texts{"CPU of an event when one comes every 50 to 100 ms, as from a model; 60 streams and 400. That of Redis is left out. Where many streams share\n" +
			"a connection of HTTP/2, one read brings events of several.",
			"每 50 至 100 毫秒一个事件（与模型相仿）时每个事件的 CPU；60 个流与 400 个流，不含 Redis。多个流共用一条 HTTP/2 连接时，一次读到几个流的事件。"},
		head: []texts{{"", ""}, {"spoken", "协议"}, {"60 streams", "60 个流"}, toBare, {"400 streams", "400 个流"}, toBare}}
	for i, one := range all {
		part.add(append([]string{one.name, spoke[i]}, append(beside(few, one, all[0], figures.total), beside(many, one, all[0], figures.total)...)...)...)
	}
	return part
}

var toBare = texts{"to ReverseProxy", "相对 ReverseProxy"}

// beside are two cells: what something costs a target, and the ratio to what it costs another.
func beside(all map[string]rounds, one, base *target, of func(figures) float64) []string {
	r := all[one.name]
	return []string{cost(r, of), fold(r.against(all[base.name], of))}
}

// spoken asks in which version of HTTP a target speaks to the upstream on TLS, which says it.
func spoken(t *target) (string, error) {
	req, err := http.NewRequest(http.MethodPost, "http://"+t.addr+"/v1/chat/completions", bytes.NewReader(chat("gpt-4o-mini", false, 0)))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+t.token)
	req.Header.Set("Content-Type", "application/json")
	asker := &http.Client{Timeout: 10 * time.Second}
	defer asker.CloseIdleConnections()
	resp, err := asker.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	version := resp.Header.Get(spokenHeader)
	if resp.StatusCode != http.StatusOK || version == "" {
		return "", fmt.Errorf("%s, spoken %q: %s", resp.Status, version, body)
	}
	return version, nil
}

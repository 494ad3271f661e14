package main

import (
	"fmt"
	"log"
	"os"
	"strings"
	"time"
)

// texts are one text in each language.
type texts [2]string

type language int

const (
	english language = iota
	chinese
)

// row is one measure.
type row struct {
	what     texts
	must     string
	got      string // what the proxy does, as the promise is stated
	nginx    string // of those that are compared, the same
	absolute texts  // what the ratio means on this machine
	met      bool
}

type table struct {
	rows     []row
	sections []section
	machine  string
	short    bool
	profiled bool // the proxy was built with a profile
}

func (t *table) add(r row) { t.rows = append(t.rows, r) }

// ratio adds a measure that is compared with the bare proxy; at most so much of it, or at least for a rate.
func (t *table) ratio(what texts, all map[string]rounds, name string, of func(figures) float64, must float64, absolute texts) {
	base := all["ReverseProxy"]
	got := all[name].against(base, of)
	r := row{what: what, must: fmt.Sprintf("%.2fx", must), got: fmt.Sprintf("%.2fx", got), absolute: absolute, met: got <= must}
	if n := all["nginx"]; n != nil {
		r.nginx = fmt.Sprintf("%.2fx", n.against(base, of))
	}
	t.add(r)
}

// table measures everything, what matters most first; or only what is named.
func (b *bench) table(only string) (*table, error) {
	found := only == ""
	t := &table{short: b.short, machine: machine(), profiled: profiled(b.proxy)}
	for _, part := range []struct {
		name    string
		measure func(*table) error
	}{
		{"main", b.beside}, {"streams", b.slow}, {"large", b.many}, {"tls", b.overTLS}, {"replicas", b.moreReplicas}, {"keys", b.moreKeys},
		{"clients", b.moreClients}, {"rest", b.atRest},
	} {
		if only != "" && only != part.name {
			continue
		}
		found = true
		begin := time.Now()
		if err := part.measure(t); err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
		log.Printf("%s took %v", part.name, time.Since(begin).Round(time.Second))
	}
	if !found {
		return nil, fmt.Errorf("no part is named %q", only)
	}
	return t, nil
}

// beside measures the proxy beside the others, all of them at hand in every round.
func (b *bench) beside(t *table) error {
	bare, err := b.bare()
	if err != nil {
		return err
	}
	defer bare.stop()
	nginx, err := b.nginx()
	if err != nil {
		return err
	}
	if nginx != nil {
		defer nginx.stop()
	} else {
		log.Print("there is no nginx; it is left out")
	}
	proxy, err := b.ours(small)
	if err != nil {
		return err
	}
	defer proxy.stop()
	b.small(t, bare, nginx, proxy)
	b.latency(t, bare, nginx, proxy)
	b.events(t, bare, nginx, proxy)
	b.bodies(t, bare, nginx, proxy)
	return nil
}

func (b *bench) small(t *table, bare, nginx, proxy *target) {
	l := load{workers: 64, span: b.span(2*time.Second, time.Second), body: chat("gpt-4o-mini", false, 0)}
	all := b.steady("64 callers", b.count(7, 2), l, b.upstream, bare, nginx, proxy, proxy.strict())
	micro := func(name string) texts {
		cpu := all[name].median(func(f figures) float64 { return us(f.cpu) })
		store := all[name].median(func(f figures) float64 { return us(f.store) })
		plain := all["ReverseProxy"].median(func(f figures) float64 { return us(f.cpu) })
		return texts{fmt.Sprintf("%.0f us + %.0f us Redis; ReverseProxy %.0f us", cpu, store, plain),
			fmt.Sprintf("%.0f 微秒 + Redis %.0f 微秒；ReverseProxy %.0f 微秒", cpu, store, plain)}
	}
	t.ratio(texts{"CPU of a request, 64 callers, with that of Redis", "64 个并发下每个请求的 CPU（含 Redis）"}, all, ours, figures.total, 0.65, micro(ours))
	t.ratio(texts{"the same, every request asks Redis", "同上，每个请求都询问 Redis"}, all, ours+", strict", figures.total, 0.90, micro(ours+", strict"))
	rate := func(f figures) float64 { return f.rate }
	t.ratio(texts{"requests a second, 64 callers (more is better)", "64 个并发下每秒请求数（越大越好）"}, all, ours, rate, 1.35,
		same("%.0f/s; ReverseProxy %.0f/s", all[ours].median(rate), all["ReverseProxy"].median(rate)))
	last := &t.rows[len(t.rows)-1]
	last.met = all[ours].against(all["ReverseProxy"], rate) >= 1.35
	trips := all[ours].median(func(f figures) float64 { return f.trips })
	t.add(row{what: texts{"scripts run by Redis for each request of a hot client, background included", "热点客户端每个请求的 Redis 脚本数（含后台）"},
		must: "0.1", got: fmt.Sprintf("%.3f", trips), met: trips <= 0.1})
}

func (b *bench) latency(t *table, bare, nginx, proxy *target) {
	l := load{workers: 64, span: b.span(3*time.Second, 1500*time.Millisecond), rate: 500, body: chat("gpt-4o-mini", false, 0)}
	all := b.steady("500 a second", b.count(5, 1), l, b.upstream, bare, nginx, proxy)
	for _, p := range []struct {
		what texts
		of   func(figures) float64
		must float64
	}{
		{texts{"added at 500 requests a second, median", "每秒 500 个请求时增加的延迟，中位数"}, func(f figures) float64 { return us(f.p50) }, 1.3},
		{texts{"added at 500 requests a second, 99th of 100", "每秒 500 个请求时增加的延迟，第 99 百分位"}, func(f figures) float64 { return us(f.p99) }, 1.0},
	} {
		direct := all[b.upstream.name].median(p.of)
		added := func(name string) float64 { return all[name].median(p.of) - direct }
		base := added("ReverseProxy")
		r := row{what: p.what, must: fmt.Sprintf("%.2fx", p.must), got: "?", absolute: same("%.0f us; ReverseProxy %.0f us", added(ours), base)}
		if base > direct/10 { // otherwise it is the noise of the machine
			r.got, r.met = fmt.Sprintf("%.2fx", added(ours)/base), added(ours)/base <= p.must
		}
		if all["nginx"] != nil && r.got != "?" {
			r.nginx = fmt.Sprintf("%.2fx", added("nginx")/base)
		}
		t.add(r)
	}
}

func (b *bench) events(t *table, bare, nginx, proxy *target) {
	l := load{workers: 64, span: b.span(2*time.Second, time.Second), body: chat("gpt-4o-mini", true, 0), stream: true}
	all := b.steady("streams", b.count(5, 1), l, bare, nginx, proxy)
	each := func(name string) float64 { return all[name].median(perEvent) / 1000 }
	t.ratio(texts{"CPU of an event, streams of 100", "每个 SSE 事件的 CPU（100 个事件的流）"}, all, ours, perEvent, 1.06,
		same("%.1f us; ReverseProxy %.1f us", each(ours), each("ReverseProxy")))
}

func (b *bench) bodies(t *table, bare, nginx, proxy *target) {
	l := load{workers: 8, span: b.span(2*time.Second, time.Second), body: chat("gpt-4o-mini", false, 10_000_000)}
	all := b.steady("10 MB", b.count(3, 1), l, bare, nginx, proxy)
	each := func(f figures) float64 { return f.total() / 1e6 }
	t.ratio(texts{"CPU of a request of 10 MB", "10 MB 请求体的 CPU"}, all, ours, each, 2.2,
		same("%.1f ms; ReverseProxy %.1f ms", all[ours].median(each), all["ReverseProxy"].median(each)))
}

// same is a text that needs no translation.
func same(format string, args ...any) texts {
	text := fmt.Sprintf(format, args...)
	return texts{text, strings.NewReplacer("; ", "；", " us", " 微秒", " ms", " 毫秒").Replace(text)}
}

func (t *table) write(path string, l language) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	t.print(f, l)
	return f.Close()
}

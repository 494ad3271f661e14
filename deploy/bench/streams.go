package main

import (
	"fmt"
	"log"
	"sync"
	"syscall"
	"time"
)

// openStreams opens so many slow streams at a fresh target, and looks at its memory meanwhile.
func (b *bench) openStreams(n int, fresh func() (*target, error)) (figures, error) {
	t, err := fresh()
	if err != nil || t == nil {
		return figures{}, err
	}
	defer t.stop()
	f := figures{before: t.rss(), streams: n}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				f.top = max(f.top, t.rss())
			}
		}
	}()
	l := load{workers: n, each: 1, ramp: time.Second, body: chat(slowModel, true, 0), stream: true}
	r := l.run(t)
	close(stop)
	<-ended
	f.failed = r.failed
	log.Printf("%d slow streams, %-18s %.1f KiB each, %d dropped", n, t.name, f.perStream(), f.failed)
	return f, nil
}

const thousand = 1000

// perStream is the memory of one, in KiB.
func (f figures) perStream() float64 {
	return float64(f.top-f.before) / float64(max(f.streams, 1)) / 1024
}

// slow opens a thousand streams, for their memory and whether all of them end well; then fewer and more.
func (b *bench) slow(t *table) error {
	fresh := func() (*target, error) { return b.ours(small) }
	mine, err := b.opened(b.count(10, 1), thousand, fresh)
	if err != nil {
		return err
	}
	var dropped int64
	for _, f := range mine {
		dropped += f.failed
	}
	plain, err := b.openStreams(thousand, b.bare)
	if err != nil {
		return err
	}
	other, err := b.openStreams(thousand, b.nginx)
	if err != nil {
		return err
	}
	each := mine.median(figures.perStream)
	r := row{what: texts{"memory of an open slow stream, 1,000 of them", "1,000 个慢速流中每个占用的内存"}, must: "48 KiB",
		got: fmt.Sprintf("%.0f KiB", each), met: each <= 48, absolute: same("ReverseProxy %.0f KiB", plain.perStream())}
	d := row{what: texts{fmt.Sprintf("streams dropped, of %d x 1,000", len(mine)), fmt.Sprintf("%d × 1,000 个流中被切断的", len(mine))}, must: "0",
		got: fmt.Sprint(dropped), met: dropped == 0, absolute: same("ReverseProxy %d / 1,000", plain.failed)}
	if other.top > 0 {
		r.nginx, d.nginx = fmt.Sprintf("%.0f KiB", other.perStream()), fmt.Sprint(other.failed)
	}
	t.add(r)
	t.add(d)
	return b.moreStreams(t, mine, fresh)
}

// opened are several rounds of it.
func (b *bench) opened(times, n int, fresh func() (*target, error)) (all rounds, err error) {
	for range times {
		f, err := b.openStreams(n, fresh)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// moreStreams shows how memory grows with the streams that are open.
func (b *bench) moreStreams(t *table, measured rounds, fresh func() (*target, error)) error {
	part := section{title: texts{"More open streams", "更多同时打开的流"},
		text: texts{"Slow streams of an event every 50 to 100 ms by plain HTTP. Resident memory while they are open, at its highest; medians.",
			"明文 HTTP 的慢速流，每 50 至 100 毫秒一个事件。打开期间常驻内存的最大值；中位数。"},
		head: []texts{{"streams", "流"}, {"memory", "内存"}, {"each, beyond none", "每个流（扣除空载）"}, {"dropped", "被切断"}}}
	part.add("0", megabytes(measured.median(func(f figures) float64 { return float64(f.before) })), "-", "-")
	sizes := []int{100, thousand, 5000}
	if b.short {
		sizes = []int{thousand}
	}
	for _, n := range sizes {
		all := measured
		if !filesFor(n) {
			log.Printf("%d streams need more open files than are allowed here; they are left out", n)
			continue
		}
		var err error
		if n != thousand { // those were measured before
			if all, err = b.opened(2, n, fresh); err != nil {
				return err
			}
		}
		var dropped int64
		for _, f := range all {
			dropped += f.failed
		}
		part.add(grouped(n), megabytes(all.median(func(f figures) float64 { return float64(f.top) })),
			fmt.Sprintf("%.0f KiB", all.median(figures.perStream)), fmt.Sprintf("%d / %s", dropped, grouped(n*len(all))))
	}
	t.sections = append(t.sections, part)
	return nil
}

// filesFor reports whether a process may have the files that so many streams take: two each.
func filesFor(streams int) bool {
	var most syscall.Rlimit
	return syscall.Getrlimit(syscall.RLIMIT_NOFILE, &most) == nil && most.Max > uint64(2*streams+200)
}

// apart opens so many slow streams at each target, at all of them at once, and measures what an event costs that comes alone.
// Redis is left out: it does not say for whom it works.
func (b *bench) apart(times, n int, targets ...*target) map[string]rounds {
	all := map[string]rounds{}
	var mu sync.Mutex // guards all
	for range times {
		for _, t := range targets { // handshakes are no part of it
			load{workers: n, each: 1, body: chat("gpt-4o-mini", true, 0), stream: true}.run(t)
		}
		var open sync.WaitGroup
		for _, t := range targets {
			open.Go(func() {
				before := t.cpu()
				r := load{workers: n, each: 1, ramp: time.Second, body: chat(slowModel, true, 0), stream: true}.run(t)
				f := figures{cpu: (t.cpu() - before) / time.Duration(max(r.sent, 1)*(slowEvents+1)), failed: r.failed}
				log.Printf("%d slow streams at each, %-26s %.1f us/event, %d dropped", n, t.name, us(f.cpu), f.failed)
				mu.Lock()
				defer mu.Unlock()
				all[t.name] = append(all[t.name], f)
			})
		}
		open.Wait()
	}
	return all
}

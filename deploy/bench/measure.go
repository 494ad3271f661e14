package main

import (
	"context"
	"fmt"
	"log"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// figures are what one round brought for one target.
type figures struct {
	cpu, store  time.Duration // of the target and of its Redis, for each request
	rate        float64       // requests a second
	p50, p99    time.Duration
	trips       float64 // of scripts to Redis, for each request
	failed      int64
	before, top int64 // resident memory
	streams     int   // that were open then
}

func (f figures) total() float64 { return float64(f.cpu + f.store) }

// perEvent is the part of one event of an ordinary stream, the two last ones included.
func perEvent(f figures) float64 { return f.total() / (quickEvent + 2) }

// rounds are those of one target.
type rounds []figures

func (r rounds) median(of func(figures) float64) float64 {
	all := make([]float64, len(r))
	for i, f := range r {
		all[i] = of(f)
	}
	return middle(all)
}

func middle(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	if n := len(all); n%2 == 0 {
		return (all[n/2-1] + all[n/2]) / 2
	}
	return all[len(all)/2]
}

// against is the median of what each round is of the other's round beside it: a drift of the machine hits both.
func (r rounds) against(other rounds, of func(figures) float64) float64 {
	var all []float64
	for i := range min(len(r), len(other)) {
		if base := of(other[i]); base > 0 {
			all = append(all, of(r[i])/base)
		}
	}
	return middle(all)
}

// bench measures.
type bench struct {
	*stage
	short bool
	store *redis.Client
}

// span is long in a full run and short in a short one.
func (b *bench) span(full, short time.Duration) time.Duration {
	if b.short {
		return short
	}
	return full
}

func (b *bench) count(full, short int) int {
	if b.short {
		return short
	}
	return full
}

// warmUp is how long a target has traffic before it is measured: a client of ours is hot after a second.
func (b *bench) warmUp(t *target) time.Duration {
	if b.short && !strings.HasPrefix(t.name, ours) {
		return 300 * time.Millisecond
	}
	return 1300 * time.Millisecond
}

// steady puts a load on each target in turn, again and again.
func (b *bench) steady(name string, times int, l load, targets ...*target) map[string]rounds {
	all := map[string]rounds{}
	for round := range times {
		for _, t := range targets {
			if t == nil {
				continue
			}
			all[t.name] = append(all[t.name], b.round(fmt.Sprintf("%s, round %d", name, round+1), l, t))
		}
	}
	return all
}

// round measures a target that has had traffic.
func (b *bench) round(name string, l load, t *target) figures {
	warm := l
	warm.span = b.warmUp(t)
	warm.run(t)
	f := b.measure(l, t)
	log.Printf("%s, %-26s %7.1f us/request + %4.1f redis, %6.0f/s, p50 %v, failed %d", name, t.name, us(f.cpu), us(f.store), f.rate,
		f.p50.Round(10*time.Microsecond), f.failed)
	return f
}

func (b *bench) measure(l load, t *target) figures {
	cpu, store, trips := t.cpu(), b.redis.cpu(), b.trips()
	r := l.run(t)
	n := time.Duration(max(r.sent, 1))
	f := figures{cpu: (t.cpu() - cpu) / n, rate: float64(len(r.times)) / r.took.Seconds(), p50: r.percentile(.5), p99: r.percentile(.99),
		failed: r.failed}
	if strings.HasPrefix(t.name, ours) {
		f.store, f.trips = (b.redis.cpu()-store)/n, float64(b.trips()-trips)/float64(n)
	}
	return f
}

// trips is how many scripts Redis has run.
func (b *bench) trips() (n int64) {
	text, _ := b.store.Info(context.Background(), "commandstats").Result()
	for _, m := range scriptCalls.FindAllStringSubmatch(text, -1) {
		calls, _ := strconv.ParseInt(m[1], 10, 64)
		n += calls
	}
	return n
}

var scriptCalls = regexp.MustCompile(`cmdstat_eval(?:sha)?:calls=(\d+)`)

func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

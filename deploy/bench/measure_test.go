package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestMiddle(t *testing.T) {
	for _, c := range []struct {
		all  []float64
		want float64
	}{{nil, 0}, {[]float64{7}, 7}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 10}, 3.5}} {
		if got := middle(c.all); got != c.want {
			t.Errorf("middle of %v is %v, not %v", c.all, got, c.want)
		}
	}
}

// Each round is compared with the one beside it: a machine that became twice as slow changes no ratio.
func TestAgainst(t *testing.T) {
	cpu := func(all ...time.Duration) (r rounds) {
		for _, d := range all {
			r = append(r, figures{cpu: d})
		}
		return r
	}
	for name, c := range map[string]struct {
		of, base rounds
		want     float64
	}{
		"a drift":            {cpu(30, 60, 120), cpu(20, 40, 80), 1.5},
		"an outlier":         {cpu(10, 900, 11), cpu(10, 10, 10), 1.1},
		"a round less":       {cpu(10, 20), cpu(10, 10, 10), 1.5},
		"nothing to compare": {cpu(10), nil, 0},
		"nothing measured":   {cpu(10, 20), cpu(0, 10), 2},
	} {
		if got := c.of.against(c.base, figures.total); got != c.want {
			t.Errorf("%s: %v, not %v", name, got, c.want)
		}
	}
}

func TestFigures(t *testing.T) {
	f := figures{cpu: 900 * time.Microsecond, store: 120 * time.Microsecond, before: 10 << 20, top: 74 << 20, streams: 1024}
	if f.total() != 1_020_000 || perEvent(f) != 10_000 || f.perStream() != 64 {
		t.Errorf("%v in all, %v an event, %v a stream", f.total(), perEvent(f), f.perStream())
	}
	r := result{times: []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}
	if r.percentile(.5) != 6 || r.percentile(.99) != 10 || r.percentile(1) != 10 || (&result{}).percentile(.5) != 0 {
		t.Errorf("percentiles: %v, %v, %v", r.percentile(.5), r.percentile(.99), r.percentile(1))
	}
}

// The replicas of a target are counted together.
func TestProcess(t *testing.T) {
	child, err := launch(t.TempDir(), "sleep", nil, "sleep", "60")
	if err != nil {
		t.Fatal(err)
	}
	child.stop()
	if child.cmd.ProcessState == nil {
		t.Error("it was not waited for")
	}
	me := &process{cmd: new(exec.Cmd)}
	me.cmd.Process, _ = os.FindProcess(os.Getpid())
	if rss := me.rss(); rss < 1<<20 || rss > 10<<30 {
		t.Errorf("resident memory of a Go program: %d", rss)
	}
	for end := time.Now().Add(time.Minute); me.cpu() == 0 && time.Now().Before(end); { // until it has spent a hundredth of a second
	}
	all := &target{addr: "a", process: me, others: []*target{{addr: "b", process: me}, {addr: "c", process: me}}}
	if one, three := me.cpu(), all.cpu(); one == 0 || three < 3*one {
		t.Errorf("three replicas spent %v, one of them %v", three, one)
	}
	if got := strings.Join(all.strict().addrs(), " "); got != "a b c" {
		t.Errorf("replicas at %q", got)
	}
}

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"openai-api-proxy/pkg/redistest"
)

// journalHealth is what /health says of the journal.
func (p *process) journalHealth() (ok bool, problem string) {
	p.t.Helper()
	var health struct {
		Journal struct {
			OK    bool
			Error string
		}
	}
	p.ask("/health", &health)
	return health.Journal.OK, health.Journal.Error
}

// wholeCalls makes calls one after the other, each of which has to be answered.
func (p *process) wholeCalls(c *callers, n int) {
	p.t.Helper()
	for i := range n {
		saw := p.call(i)
		c.saw(saw)
		if !saw.whole {
			p.t.Fatal("not answered")
		}
	}
}

// counted checks that each call was counted once.
func (p *process) counted(c *callers) {
	p.t.Helper()
	eventually(p.t, "all is counted", func() bool {
		var stats struct{ Totals struct{ Requests int } }
		p.ask("/api/stats", &stats)
		return stats.Totals.Requests == c.begun
	})
	time.Sleep(intervals)
	if rows := p.ledger(); len(rows) != c.begun {
		p.t.Errorf("%d rows, want %d", len(rows), c.begun)
	}
}

// On a disk that is full requests are answered and counted, in memory only, and in the journal again when there is room.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	small := []string{"unshare", "--user", "--map-root-user", "--mount", "sh", "-c", `mount -t tmpfs -o size=256k none "$0" && exec "$1"`, dir}
	if out, err := exec.Command(small[0], append(small[1:], "true")...).CombinedOutput(); err != nil {
		t.Skipf("no small file system to be had here: %v %s", err, out)
	}
	_, base := mock(t)
	p, c := newProcess(t, "DATA_DIR="+dir, "REDIS_URL="+redistest.Start(t).URL(), base), newCallers()
	p.wrap = small
	p.run()
	p.wholeCalls(c, 20)
	if ok, problem := p.journalHealth(); !ok || p.metric("oap_usage_unjournaled_total") != 0 {
		t.Fatalf("on an empty disk: %s", problem)
	}

	filler := fmt.Sprintf("/proc/%d/root%s/filler", p.cmd.Process.Pid, dir)
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk is not small")
	}
	p.wholeCalls(c, 50)
	if ok, problem := p.journalHealth(); ok || !strings.Contains(problem, "no space left") {
		t.Errorf("on a full disk: %t, %q", ok, problem)
	}
	if n := p.metric("oap_usage_unjournaled_total"); n < 30 || n > 50 {
		t.Errorf("%v requests are told not to be in the journal", n)
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the journal is written again", func() bool {
		p.wholeCalls(c, 1)
		ok, _ := p.journalHealth()
		return ok
	})
	p.counted(c)
}

// A directory that cannot be written when it starts is used as soon as it can be.
func TestNoPlaceForTheJournal(t *testing.T) {
	_, base := mock(t)
	dir := t.TempDir()
	inTheWay := filepath.Join(dir, "journal")
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p, c := newProcess(t, "DATA_DIR="+dir, "REDIS_URL="+redistest.Start(t).URL(), base), newCallers()
	p.run()
	p.wholeCalls(c, 10)
	if ok, problem := p.journalHealth(); ok || problem == "" || p.metric("oap_usage_unjournaled_total") != 10 {
		t.Errorf("health: %t, %q", ok, problem)
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has a journal", func() bool { ok, _ := p.journalHealth(); return ok })
	p.wholeCalls(c, 10)
	if n := p.metric("oap_usage_unjournaled_total"); n != 10 {
		t.Errorf("%v requests are told not to be in the journal", n)
	}
	p.counted(c)
}

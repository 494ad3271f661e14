// Command bench measures what the proxy costs, beside nginx, a bare httputil.ReverseProxy and the upstream itself, all on
// this machine: `make bench`. Rounds are interleaved (A B C, A B C) and medians taken, so that a drift of the machine hits
// all alike; what is compared is CPU time of processes from /proc, which other load on the machine disturbs least. Ratios
// are the result; microseconds say what they mean here. It prints what it does and writes docs/performance.md and
// docs/performance.zh-CN.md. Linux only.
package main

import (
	"debug/buildinfo"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

func main() {
	log.SetFlags(log.Ltime)
	if len(os.Args) > 2 && os.Args[1] == "upstream" {
		files := append(os.Args[3:], "", "") // of a certificate and its key
		log.Fatal(serveUpstream(os.Args[2], files[0], files[1]))
	}
	if len(os.Args) > 3 && os.Args[1] == "forward" {
		log.Fatal(serveForward(os.Args[2], os.Args[3], slices.Contains(os.Args[4:], "1.1")))
	}
	proxy := flag.String("proxy", "bin/openai-api-proxy", "the proxy")
	docs := flag.String("docs", "docs", "where performance.md and performance.zh-CN.md are written; empty: nowhere")
	short := flag.Bool("short", false, "less than two minutes, with fewer and shorter rounds")
	only := flag.String("only", "", "one part: main, streams, large, tls, replicas, keys, clients or rest; nothing is written then")
	flag.Parse()
	time.AfterFunc(longest, func() { log.Fatalf("not done after %v", longest) })
	if err := run(*proxy, *docs, *only, *short); err != nil {
		log.Fatal(err)
	}
}

// longest is how long a run may take, hanging included. What was started ends with this process.
const longest = 20 * time.Minute

func run(proxy, docs, only string, short bool) error {
	proxy, err := filepath.Abs(proxy)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := open(dir, proxy)
	if s != nil {
		defer s.close()
	}
	if err != nil {
		return err
	}
	b := &bench{stage: s, short: short, store: redis.NewClient(&redis.Options{Addr: s.redis.addr})}
	defer b.store.Close()
	t, err := b.table(only)
	if err != nil {
		return err
	}
	if only != "" {
		t.figures(os.Stdout, english)
		return nil
	}
	t.print(os.Stdout, english)
	if docs == "" {
		return nil
	}
	for name, l := range map[string]language{"performance.md": english, "performance.zh-CN.md": chinese} {
		if err := t.write(filepath.Join(docs, name), l); err != nil {
			return err
		}
	}
	return nil
}

// profiled reports whether a program was built with a profile (PGO).
func profiled(path string) bool {
	info, err := buildinfo.ReadFile(path)
	return err == nil && slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "-pgo" })
}

// machine says where it was measured.
func machine() string {
	model := "CPU"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	busy, _ := os.ReadFile("/proc/loadavg")
	redisVersion, _ := exec.Command("redis-server", "--version").Output()
	_, version, _ := strings.Cut(string(redisVersion), "v=")
	version, _, _ = strings.Cut(version, " ")
	return fmt.Sprintf("%s, %d x %s, Linux %s, %s, Redis %s, load average %s", time.Now().UTC().Format("2006-01-02 15:04 UTC"),
		runtime.NumCPU(), model, strings.TrimSpace(string(kernel)), runtime.Version(), version, strings.Join(strings.Fields(string(busy))[:3], " "))
}

package main

import (
	"context"
	"fmt"
	"log"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// many are the measures of large configurations.
func (b *bench) many(t *table) error {
	if took, allocs := pick(); took > 0 {
		t.add(row{what: texts{"picking a key among 10,000", "在 10,000 个密钥中选取一个"}, must: "5 us", got: fmt.Sprintf("%.1f us", us(took)),
			met: took <= 5*time.Microsecond, absolute: texts{allocs + " allocations, the Pick itself included", "分配 " + allocs + " 次，包括 Pick 本身"}})
	}
	took, rss, err := b.big(10_000, 100_000)
	if err != nil {
		return err
	}
	t.add(row{what: texts{"start with 10,000 keys and 100,000 clients", "以 10,000 个密钥与 100,000 个客户端启动"}, must: "3 s",
		got: fmt.Sprintf("%.1f s", took.Seconds()), met: took <= 3*time.Second})
	t.add(row{what: texts{"memory beyond that of a small configuration, then", "此时比小配置多占用的内存"}, must: "200 MB",
		got: fmt.Sprintf("%.0f MB", float64(rss)/1e6), met: rss <= 200e6})
	return nil
}

// big starts a proxy with very many keys and clients: how long until it is ready, and its memory beyond that of a small one.
func (b *bench) big(keys, clients int) (took time.Duration, rss int64, err error) {
	ordinary, err := b.ours(small)
	if err != nil {
		return 0, 0, err
	}
	before := ordinary.rss()
	ordinary.stop()
	t, err := b.ours(setup{keys: keys, clients: clients})
	if err != nil {
		return 0, 0, err
	}
	defer t.stop()
	time.Sleep(time.Second)
	return t.ready, t.rss() - before, nil
}

// pick asks the Go benchmark of the balancer how long it takes to find a key among 10,000.
func pick() (time.Duration, string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // it is compiled first
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkPick$/^roundrobin$/^0%", "-benchtime", "20000x",
		"./pkg/balancer").CombinedOutput()
	m := pickLine.FindStringSubmatch(string(out))
	if err != nil || m == nil {
		log.Printf("no benchmark of picking a key: %v", err)
		return 0, ""
	}
	ns, _ := strconv.ParseFloat(m[1], 64)
	return time.Duration(ns), m[2]
}

var pickLine = regexp.MustCompile(`([\d.]+) ns/op.* (\d+) allocs/op`)

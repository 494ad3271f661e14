package main

import (
	"fmt"
	"log"
	"os"
	"time"
)

// atRest is what the proxy takes before anybody asks it, and afterwards.
func (b *bench) atRest(t *table) error {
	var ready, idle, after []float64
	l := load{workers: 64, span: b.span(3*time.Second, time.Second), body: chat("gpt-4o-mini", false, 0)}
	for round := range b.count(7, 2) {
		one, err := b.ours(setup{keys: 1, clients: 1})
		if err != nil {
			return err
		}
		ready = append(ready, float64(one.ready.Microseconds())/1000)
		if round < b.count(3, 1) {
			time.Sleep(time.Second)
			idle = append(idle, float64(one.rss()))
			l.run(one)
			time.Sleep(time.Second)
			after = append(after, float64(one.rss()))
		}
		one.stop()
	}
	binary, err := os.Stat(b.proxy)
	if err != nil {
		return err
	}
	part := section{title: texts{"At rest", "空闲时"},
		text: texts{"With one key and one client; medians. Ready is when `/readyz` says so, counted from the start of the process, with Redis on this machine.",
			"一个密钥、一个客户端；中位数。就绪指 `/readyz` 返回成功，从进程启动算起，Redis 在本机。"},
		head: []texts{{"until ready", "启动至就绪"}, {"binary", "二进制大小"}, {"memory, a second after that", "就绪一秒后的内存"},
			{"memory, a second after 64 callers", "64 个并发结束一秒后的内存"}}}
	part.add(fmt.Sprintf("%.0f ms", middle(ready)), megabytes(float64(binary.Size())), megabytes(middle(idle)), megabytes(middle(after)))
	log.Printf("at rest: %v", part.rows[0])
	t.sections = append(t.sections, part)
	return nil
}

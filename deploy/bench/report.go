package main

import (
	"fmt"
	"io"
	"strings"
)

// print writes the page.
func (t *table) print(w io.Writer, l language) {
	short := texts{"", ""}
	if t.short {
		short = texts{" This was a short run (`BENCH=short`), which is rough.", "本次为短测（`BENCH=short`），数据粗略。"}
	}
	fmt.Fprintf(w, head[l], t.machine, short[l])
	t.figures(w, l)
	fmt.Fprintf(w, foot[l], profile[l][t.profiled])
}

// figures writes the tables.
func (t *table) figures(w io.Writer, l language) {
	if len(t.rows) > 0 {
		fmt.Fprint(w, columns[l])
	}
	for _, r := range t.rows {
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s |\n", r.what[l], bound(r), r.got, mark[l][r.met], dash(r.nginx), dash(r.absolute[l]))
	}
	for _, s := range t.sections {
		s.print(w, l)
	}
}

// bound is what must hold; for most measures at most that.
func bound(r row) string {
	if strings.Contains(r.what[english], "more is better") {
		return ">= " + r.must
	}
	return r.must
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

var mark = [2]map[bool]string{{true: "yes", false: "**no**"}, {true: "是", false: "**否**"}}

var head = texts{`# What it costs

Written by ` + "`make bench`" + `; do not edit. Measured %s.%s

Everything was on: client tokens, limits and a monthly quota shared through Redis, ten keys in turn, breakers, usage, metrics, the access log to
a file. Upstream, Redis, callers and targets share the machine, and all traffic is plain HTTP on loopback, but for the table on TLS. A request has
about 300 bytes and its answer 1 KB with usage. CPU is user and system time of the processes, from ` + "`/proc`" + `, after the client has had traffic for a second; that of Redis is
added to the proxy's. Rounds are interleaved, each is compared with the round of the bare ` + "`httputil.ReverseProxy`" + ` beside it, and the median of
these ratios is what stands here: below 1.00x is cheaper than the bare proxy, which checks nothing and counts nothing.

A busy machine distorts this: look at its load average above. With more load than cores, requests a second and latencies say nothing, and CPU of
a request grows for a process that is woken for few requests at a time.
`, `# 开销

由 ` + "`make bench`" + ` 生成，请勿手工修改。测量于 %s。%s

所有功能均开启：客户端令牌、经由 Redis 共享的限额与月度配额、十个轮流使用的密钥、熔断器、用量统计、指标、写入文件的访问日志。上游、Redis、
调用方与被测对象在同一台机器上，除 TLS 一表外全部为回环上的明文 HTTP。请求约 300 字节，回答约 1 KB（含用量）。CPU 为进程的用户态与内核态时间（取自
` + "`/proc`" + `），在客户端已有一秒流量之后测量，Redis 的 CPU 计入代理。各轮交错进行，每一轮与相邻的裸 ` + "`httputil.ReverseProxy`" + ` 那一轮相比，
表中为这些比值的中位数：小于 1.00x 即比什么都不检查、什么都不统计的裸代理更省。

机器繁忙会使数据失真：请看上面的 load average。负载超过核数时，每秒请求数与延迟没有意义，每次只为少数请求唤醒的进程其每请求 CPU 也会变大。
`}

var columns = texts{`
| measure | must | measured | met | nginx | on this machine |
|---|--:|--:|---|--:|---|
`, `
| 项目 | 要求 | 实测 | 达到 | nginx | 在这台机器上 |
|---|--:|--:|---|--:|---|
`}

var foot = texts{`
## What is not measured here

What a network between the parts adds, replicas on several machines or more than three, a Redis that writes to disk, and one behind TLS, Sentinel
or Cluster; nginx in front of TLS; sessions of the Realtime API.

## Why it costs what it does

- Four system calls carry a request: one read and one write on either side. At most two more find nothing: a connection to the upstream is
  looked at before it is used again, and the next request of a caller is read once too early. The read of the answer begins before the request
  is sent, so that it need not be tried. Head and body of a small request leave together, head and body of its answer too, and what one read of
  a stream returned goes out in one write.
- A request with at most 16 KiB of body that goes upstream by HTTP/1.1 needs no goroutine of the connection there: that of its caller writes,
  reads and gives the connection back. HTTP/2, longer bodies and HTTP proxies on the way take the standard HTTP client, which has goroutines
  for each connection and hands each request and answer over to them.
- A client that sends more than 50 requests a second is lent a second of its traffic, so that Redis is asked about once a second and not for
  each request. A limit of concurrency cannot be lent: such a client's every request asks Redis, those that come together in one script.
- Bodies are not decoded. What must be known of them is searched for.
- The access log and usage are collected and written every 100 ms; requests that ended within the same 20 ms are logged together. A
  SIGKILL loses the log lines of the last 120 ms.
- An open stream by HTTP/1.1 has two goroutines, both of the server that callers see: one carries it, one notices when the caller leaves. Their
  stacks and the two buffers of 4 KiB that the server has for its caller are most of its memory. What it reads into and copies through is lent
  while something comes.
- A request that has just begun does not look for the end of its caller yet: who leaves within 25 ms is noticed up to 50 ms later.
- The garbage collector lets the heap grow by 32 MiB more than Go would by itself: a proxy that holds 10 MB would be collected ten times a second
  under load. It is a block of memory that is never touched, so that a large heap is treated as ever. Under load it costs some 30 MB of resident
  memory. With ` + "`GOGC`" + ` or ` + "`GOMEMLIMIT`" + ` in the environment there is no such block, and they decide.
- %s

` + "`make bench` takes about eleven minutes, `BENCH=short make bench`" + ` less than two. After ` + "`make build`, `go run ./deploy/bench -only tls`" + ` measures one part
and writes nothing; other parts are main, streams, large, replicas, keys, clients and rest.
`, `
## 未测量的内容

各部分之间的网络、分布在多台机器上或三个以上的副本、会写盘的 Redis、经 TLS、Sentinel 或 Cluster 的 Redis；nginx 到 TLS 上游；Realtime 会话。

## 开销从何而来

- 一个请求由四次系统调用承载：两侧各一次读、一次写。另至多两次读不到内容：再次使用上游连接之前先看一眼，以及调用方的下一个请求早读一次。
  对回答的读在请求发出之前就已开始，因此不必先试读。小请求的头与体一起发出，回答的头与体亦然；流中一次读到的内容一次写出。
- 请求体不超过 16 KiB 且经 HTTP/1.1 发往上游的请求，上游连接一侧不需要 goroutine：由调用方的 goroutine 写、读并交还连接。HTTP/2、更长的请求体与
  途中的 HTTP 代理使用标准 HTTP 客户端，后者每个连接有自己的 goroutine，请求与回答都要转手给它们。
- 每秒超过 50 个请求的客户端会预借约一秒的额度，因此大约每秒询问 Redis 一次，而不是每个请求一次。并发数限制无法预借：有此限制的客户端
  每个请求都要询问 Redis，同时到来的请求合用一个脚本。
- 请求体与回答不解码，只在其中查找必须知道的内容。
- 访问日志与用量先汇集，每 100 毫秒写一次；同一 20 毫秒内结束的请求一并记录。SIGKILL 会丢失最近 120 毫秒的日志行。
- 经 HTTP/1.1 的一个打开的流有两个 goroutine，都属于面向调用方的服务器：一个承载它，一个察觉调用方离开。它们的栈与服务器面向调用方的两个
  4 KiB 缓冲区占了一个流的大部分内存。读取与复制用的缓冲区只在有内容到来时借用。
- 刚开始的请求尚不查看其调用方是否离开：在最初 25 毫秒内离开的调用方，最多晚 50 毫秒才被察觉。
- 垃圾回收允许堆比 Go 默认多增长 32 MiB：只占用 10 MB 的代理在高负载下否则每秒会被回收十次。做法是一块从不触碰的内存，因此大堆的行为不变；
  高负载下约多占 30 MB 常驻内存。环境变量中设置了 ` + "`GOGC`" + ` 或 ` + "`GOMEMLIMIT`" + ` 时没有这块内存，由它们决定。
- %s

` + "`make bench` 约需十一分钟，`BENCH=short make bench`" + ` 不到两分钟。` + "`make build` 之后，`go run ./deploy/bench -only tls`" + ` 只测一个部分，不写文件；其余部分为 main、streams、
large、replicas、keys、clients 与 rest。
`}

// profile says whether the measured binary was built with one.
var profile = [2]map[bool]string{
	{false: "The binary is not built with a profile (PGO): what that saves is not above the noise of these measurements.", true: "The binary is built with a profile (PGO)."},
	{false: "二进制不使用 PGO 构建：其收益不高于这些测量的噪声。", true: "二进制使用 PGO 构建。"},
}

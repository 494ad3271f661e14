package main

import (
	"fmt"
	"time"
)

// growth measures the proxy with more and more of something, each round at a fresh one: what others do while nobody asks
// them would be counted as Redis's. It returns the rounds of each size.
func (b *bench) growth(name string, sizes []int, at func(size int) (*target, error)) ([]rounds, error) {
	l := load{workers: 64, span: time.Second, body: chat("gpt-4o-mini", false, 0)}
	all := make([]rounds, len(sizes))
	for round := range b.count(3, 1) {
		for i, size := range sizes {
			t, err := at(size)
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], b.round(fmt.Sprintf("%s: %s, round %d", name, grouped(size), round+1), l, t))
			t.stop()
		}
	}
	return all, nil
}

// sizes are those of a full run, or the first and the last but so many of it.
func (b *bench) sizes(full ...int) []int {
	if b.short {
		return []int{full[0], full[len(full)-1]}
	}
	return full
}

// grown are the columns that such tables have in common: what a request costs, and how that compares with the smallest.
var grownHead = []texts{{"CPU of a request", "每个请求的 CPU"}, {"of it Redis", "其中 Redis"}, {"to the smallest", "相对最小规模"},
	{"scripts of Redis", "Redis 脚本数"}}

func grownCells(r, first rounds) []string {
	return []string{cost(r, figures.total), micros(r.median(func(f figures) float64 { return float64(f.store) })),
		fold(r.against(first, figures.total)), fmt.Sprintf("%.3f", r.median(func(f figures) float64 { return f.trips }))}
}

// moreKeys shows what a request costs with more keys.
func (b *bench) moreKeys(t *table) error {
	sizes := b.sizes(1, 10, 100, 1000, 10_000)
	all, err := b.growth("keys", sizes, func(n int) (*target, error) { return b.ours(setup{keys: n, clients: 2}) })
	if err != nil {
		return err
	}
	part := section{title: texts{"More keys", "更多密钥"},
		text: texts{"One client, 64 callers, limits leased; CPU and scripts are for each request.", "一个客户端，64 个并发，限额预借；CPU 与脚本数均按每个请求计。"},
		head: append([]texts{{"keys", "密钥"}}, grownHead...)}
	for i, n := range sizes {
		part.add(append([]string{grouped(n)}, grownCells(all[i], all[0])...)...)
	}
	t.sections = append(t.sections, part)
	return nil
}

// moreClients shows what a request costs when each comes from the next client.
func (b *bench) moreClients(t *table) error {
	sizes := b.sizes(1, 100, 10_000)
	all, err := b.growth("clients", sizes, func(n int) (*target, error) { return b.ours(setup{keys: 10, clients: n, alike: true}) })
	if err != nil {
		return err
	}
	part := section{title: texts{"More clients", "更多客户端"},
		text: texts{"Each request comes from the next of so many clients. A client that sends more than 50 requests a second is lent its traffic: among many none\n" +
			"does, and every request asks Redis before it and tells it afterwards what was spent.",
			"每个请求来自下一个客户端。每秒超过 50 个请求的客户端才会预借额度：客户端很多时没有一个达到，每个请求事前都询问 Redis，事后再告知用量。"},
		head: append([]texts{{"clients", "客户端"}}, grownHead...)}
	for i, n := range sizes {
		part.add(append([]string{grouped(n)}, grownCells(all[i], all[0])...)...)
	}
	t.sections = append(t.sections, part)
	return nil
}

// moreReplicas shows what a request costs when callers are spread over replicas on one Redis.
func (b *bench) moreReplicas(t *table) error {
	part := section{title: texts{"More replicas on one Redis", "多个副本共用一个 Redis"},
		text: texts{"64 callers spread over the replicas; CPU is that of all replicas and Redis. Leased: the client is lent its traffic. Strict: every request\n" +
			"asks Redis, those of one replica that come together in one script. On a machine with few cores each replica is woken for fewer requests at a\n" +
			"time, which costs CPU by itself.",
			"64 个并发分布到各副本；CPU 为所有副本与 Redis 之和。leased：额度预借；strict：每个请求都询问 Redis，同一副本上同时到来的\n" +
				"请求合用一个脚本。核数少的机器上，每个副本每次被唤醒只处理更少的请求，这本身就要花费 CPU。"},
		head: append([]texts{{"replicas", "副本"}, {"limits", "限额"}}, grownHead...)}
	sizes := b.sizes(1, 2, 3)
	for _, how := range []string{"leased", "strict"} {
		all, err := b.growth("replicas, "+how, sizes, func(n int) (*target, error) {
			t, err := b.ours(setup{keys: 10, clients: 2, replicas: n})
			if err == nil && how == "strict" {
				t = t.strict()
			}
			return t, err
		})
		if err != nil {
			return err
		}
		for i, n := range sizes {
			part.add(append([]string{grouped(n), how}, grownCells(all[i], all[0])...)...)
		}
	}
	t.sections = append(t.sections, part)
	return nil
}

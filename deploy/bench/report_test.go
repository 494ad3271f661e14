package main

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

// page is what a run might print.
func page() *table {
	all := map[string]rounds{
		"ReverseProxy": {{cpu: 100 * time.Microsecond, rate: 1000}, {cpu: 200 * time.Microsecond, rate: 500}},
		ours:           {{cpu: 50 * time.Microsecond, store: 10 * time.Microsecond, rate: 1500}, {cpu: 120 * time.Microsecond, rate: 750, failed: 2}},
	}
	t := &table{machine: "here", short: true}
	t.ratio(texts{"dear", "贵"}, all, ours, figures.total, 0.50, same("%.0f us; none", 1.0))
	t.ratio(texts{"cheap", "便宜"}, all, ours, figures.total, 0.65, texts{})
	part := section{title: texts{"More keys", "更多密钥"}, text: texts{"What it is.", "说明。"}, head: append([]texts{{"keys", "密钥"}}, grownHead...)}
	part.add(append([]string{grouped(10_000)}, grownCells(all[ours], all["ReverseProxy"])...)...)
	t.sections = append(t.sections, part)
	return t
}

func TestPage(t *testing.T) {
	for l, lines := range map[language][]string{
		english: {"# What it costs", "| dear | 0.50x | 0.60x | **no** | - | 1 us; none |", "| cheap | 0.65x | 0.60x | yes | - | - |", "## More keys",
			"| keys | CPU of a request | of it Redis | to the smallest | scripts of Redis |", "|---|--:|--:|--:|--:|",
			"| 10,000 | 90.0 us (2 failed) | 5.0 us | 0.60x | 0.000 |", "- " + profile[english][false], "here. This was a short run"},
		chinese: {"# 开销", "| 贵 | 0.50x | 0.60x | **否** | - | 1 微秒；none |", "## 更多密钥", "| 密钥 | 每个请求的 CPU |", "- " + profile[chinese][false], "here。本次为短测"},
	} {
		var out strings.Builder
		page().print(&out, l)
		for _, line := range lines {
			if !strings.Contains(out.String(), line) {
				t.Errorf("no %q in\n%s", line, out.String())
			}
		}
		if wrong := regexp.MustCompile(`%[!a-z].*`).FindString(out.String()); wrong != "" {
			t.Errorf("a text does not fit what it is given: %q", wrong)
		}
	}
}

// Every row of a page has as many cells as its table has columns.
func TestCells(t *testing.T) {
	secure := []*target{{name: "ReverseProxy"}, {name: ours}}
	some := map[string]rounds{"ReverseProxy": {{cpu: time.Millisecond}}, ours: {{cpu: 2 * time.Millisecond}}}
	p := page()
	p.sections = append(p.sections, secured(secure, []string{"HTTP/2.0", "HTTP/1.1"}, some, some),
		slowly(secure, []string{"HTTP/2.0", "HTTP/1.1"}, some, some))
	for _, l := range []language{english, chinese} {
		var out strings.Builder
		p.figures(&out, l)
		width := 0
		for line := range strings.Lines(out.String()) {
			cells := strings.Count(line, "|")
			if width > 0 && cells > 0 && cells != width {
				t.Errorf("%d cells, not %d: %s", cells-1, width-1, line)
			}
			width = cells
		}
		for _, want := range []string{"| 2000.0 us | 2.00x | 19.6 us | 2.00x |", "| 2000.0 us | 2.00x | 2000.0 us | 2.00x |"} {
			if want = "| " + ours + " | HTTP/1.1 " + want; !strings.Contains(out.String(), want) {
				t.Errorf("no %q in\n%s", want, out.String())
			}
		}
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 50_000: "50,000", 1_234_567: "1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is written %q", n, got)
		}
	}
}

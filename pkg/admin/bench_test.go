package admin

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"openai-api-proxy/pkg/state"
)

// cpu is the time that this process has computed, on all cores.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// usedBy counts something for each of n keys.
func (r *rig) usedBy(n int) {
	r.t.Helper()
	var used []state.Usage
	for i := 1; i <= n; i++ {
		u := state.Usage{Kind: state.OfKey, ID: fmt.Sprintf("k%06d", i), Counts: state.Counts{Requests: int64(i % 997), Successes: int64(i % 991)}}
		for range 3 {
			u.Observe(time.Duration(i%4001) * time.Millisecond)
		}
		used = append(used, u)
	}
	if err := r.store.Count(r.t.Context(), state.Batch{At: time.Now(), Totals: used}); err != nil {
		r.t.Fatal(err)
	}
}

// BenchmarkAmongFiftyThousand is one change, or one look, the whole way through HTTP.
func BenchmarkAmongFiftyThousand(b *testing.B) {
	r := newRig(b)
	r.used.every, r.used.wait = recent, waitWhile
	r.fill(50_000)
	r.usedBy(50_000)
	number := 50_001
	create := func() {
		number++
		r.raw("POST", "/api/keys", text(map[string]any{"key": secretNumber(number), "id": "one"}))
	}
	remove := func() { r.raw("DELETE", "/api/keys/one", "") }
	b.Run("create and delete", func(b *testing.B) {
		for b.Loop() {
			create()
			remove()
		}
	})
	b.Run("patch", func(b *testing.B) {
		create()
		defer remove()
		for b.Loop() {
			number++
			r.raw("PATCH", "/api/keys/one", fmt.Sprintf(`{"weight":%d}`, number%999+1))
		}
	})
	b.Run("stats", func(b *testing.B) {
		for b.Loop() {
			r.unread("GET", "/api/stats", "")
		}
	})
}

// BenchmarkFiftyThousandKeys prints the slowest answer of each kind, the whole way through HTTP, and the most that one of
// them computed: on a machine that is busy with something else only the latter says much.
func BenchmarkFiftyThousandKeys(b *testing.B) {
	r := newRig(b)
	r.used.every, r.used.wait = recent, waitWhile
	slowest, computed := map[string]time.Duration{}, map[string]time.Duration{}
	timed := func(kind, method, path, body string, headers ...string) reply {
		b.Helper()
		start, before := time.Now(), cpu()
		a, _ := r.unread(method, path, body, headers...)
		took := time.Since(start)
		computed[kind] = max(computed[kind], cpu()-before)
		if slowest[kind] = max(slowest[kind], took); a.status >= 300 {
			b.Fatalf("%s %s: %d %.200s", method, path, a.status, a.body)
		}
		_ = json.Unmarshal([]byte(a.body), &a.doc)
		return a
	}
	r.fill(45_000)
	r.usedBy(50_000)
	number := 45_001
	for b.Loop() {
		var lines strings.Builder
		for range 5000 {
			fmt.Fprintln(&lines, secretNumber(number))
			number++
		}
		timed("import 5,000", "POST", "/api/keys/import?account=more", lines.String(), "Content-Type", plainType)
		for _, query := range []string{"", "limit=1000", "sort=-requests", "sort=account&limit=1000", "sort=-created", "sort=state"} {
			timed("list", "GET", "/api/keys?"+query, "")
		}
		for _, query := range []string{"q=number+777", "q=nothing+has+this", "state=active&tag=t1", "model=gpt-4o&account=acc-3", "q=0042&sort=-failures"} {
			timed("search", "GET", "/api/keys?"+query, "")
		}
		timed("get", "GET", "/api/keys/k000777", "")
		timed("create", "POST", "/api/keys", text(map[string]any{"key": fmt.Sprintf("sk-test-one-%d", number), "id": "one"}))
		timed("patch", "PATCH", "/api/keys/one", `{"weight":3}`)
		timed("delete", "DELETE", "/api/keys/one", "")
		timed("stats?top=100", "GET", "/api/stats?top=100", "")
		timed("stats, all", "GET", "/api/stats", "")
		timed("export", "GET", "/api/keys/export", "")
		var ids []string
		for after := ""; len(ids) < 5000; {
			a := timed("list", "GET", "/api/keys?account=more&limit=1000&after="+after, "")
			ids = append(ids, a.ids()...)
			after, _ = a.doc["next"].(string)
		}
		timed("reset 5,000", "POST", "/api/keys/reset", text(map[string]any{"ids": ids}))
		timed("delete 5,000", "POST", "/api/keys/delete", text(map[string]any{"ids": ids}))
	}
	b.StopTimer()
	var table strings.Builder // a benchmark logs ten lines only
	for _, kind := range slices.Sorted(maps.Keys(slowest)) {
		fmt.Fprintf(&table, "\n%-14s took %4d ms, computed %4d ms", kind, slowest[kind].Milliseconds(), computed[kind].Milliseconds())
	}
	fmt.Println(table.String())
}

package app_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/redistest"
)

// Keys whose weights do not fit the rate limits of their accounts, under four fifths of what all accounts together allow: an
// upstream that says what is left has to refuse far less often than one that keeps quiet, and callers notice neither.
func TestSlowsBeforeTheUpstreamRefuses(t *testing.T) {
	const (
		accounts = 3
		perSpan  = 10 // of each account; the span stands for a minute
		span     = 500 * time.Millisecond
		each     = span * 10 / (8 * accounts * perSpan) // between two calls of the fleet
		lasting  = 5 * time.Second
	)
	refused := map[bool]int64{}
	var mu sync.Mutex // guards refused
	t.Run("load", func(t *testing.T) {
		for _, quiet := range []bool{false, true} {
			t.Run(fmt.Sprintf("quiet=%v", quiet), func(t *testing.T) {
				t.Parallel()
				mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{ContentBytes: 4, LatencyMS: 15, JitterMS: 10,
					RPM: perSpan, MinuteMS: float64(span.Milliseconds()), NoRateHeaders: quiet}))
				server := redistest.Start(t)
				replicas := fleet(t, server, 2, map[string]string{"OPENAI_BASE_URL": url, "LOG_LEVEL": "warn", "CONFIG_FILE": "c.json",
					"file": fmt.Sprintf(`{"strategy":"weighted","keys":[{"id":"a","key":%q},{"id":"b","key":%q},{"id":"c","key":%q,"weight":4}]}`,
						keyNumber(1), keyNumber(2), keyNumber(3))})
				n := steadily(each, lasting, func(i int) {
					if a := replicas[i%2].chat(t, plain); a.status != http.StatusOK || a.err != nil {
						t.Errorf("call %d: %d %v %.200s", i, a.status, a.err, a.body)
					}
				})
				var sum int64
				for _, s := range mock.Stats() {
					sum += s.RateLimited
				}
				if !quiet && !toldOfPace(t, server.Addr()) {
					t.Error("the fleet was never told")
				}
				t.Logf("of %d calls %d met a refusal; %s", n, sum, restsOf(t, replicas))
				mu.Lock()
				refused[quiet] = sum
				mu.Unlock()
			})
		}
	})
	t.Logf("refused by an upstream that keeps quiet: %d, by one that says what is left: %d", refused[true], refused[false])
	if refused[true] < 10 || refused[false]*2 > refused[true] {
		t.Error("want many of the first, and at most half as many of the second")
	}
}

// toldOfPace reports whether Redis remembers that an account was slowed.
func toldOfPace(t *testing.T, addr string) bool {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	rests, err := client.HKeys(t.Context(), "oap:{rests}").Result()
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(rests, func(subject string) bool { return strings.HasPrefix(subject, "account-pace/") })
}

// steadily calls f in the same intervals, whatever it takes, waits for all calls and returns how many there were.
func steadily(each, lasting time.Duration, f func(i int)) int {
	var wg sync.WaitGroup
	defer wg.Wait()
	tick := time.NewTicker(each)
	defer tick.Stop()
	n := int(lasting / each)
	for i := range n {
		wg.Go(func() { f(i) })
		<-tick.C
	}
	return n
}

// restsOf are the counts of rests that the replicas began, by reason.
func restsOf(t *testing.T, replicas []*rig) string {
	t.Helper()
	var all []string
	for _, r := range replicas {
		for line := range strings.Lines(r.get(t, "/metrics", adminToken).body) {
			if rest, ok := strings.CutPrefix(line, "oap_key_rests_total"); ok {
				all = append(all, strings.TrimSpace(rest))
			}
		}
	}
	return strings.Join(all, ", ")
}

package app_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/redistest"
)

// hook is a webhook, and all that it was told.
type hook struct {
	url string

	mu     sync.Mutex // guards the rest
	down   bool
	bodies []string
	alerts []string // "<event> <client, key, account or pool> <share>"
}

const hookToken = "sk-test-webhook-0000000000000001"

func startHook(t *testing.T) *hook {
	t.Helper()
	h := new(hook)
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	h.url = s.URL + "/" + hookToken
	return h
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bodies = append(h.bodies, string(text))
	if h.down {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	var got struct {
		Alerts []struct {
			Event, Client, Key, Account string
			Pool                        *string
			Quota                       struct{ Share json.Number }
		}
	}
	_ = json.Unmarshal(text, &got) // one that cannot be read has no alerts
	for _, a := range got.Alerts {
		who := a.Client + a.Key + a.Account
		if a.Pool != nil {
			who = "pool" + *a.Pool
		}
		h.alerts = append(h.alerts, strings.TrimSpace(fmt.Sprint(a.Event, " ", who, " ", a.Quota.Share)))
	}
}

func (h *hook) set(down bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = down
}

func (h *hook) told() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(slices.Values(h.alerts))
}

// hears waits until it was told exactly this, and nothing more for longer than a replica takes to look.
func (h *hook) hears(t *testing.T, want ...string) {
	t.Helper()
	slices.Sort(want)
	eventually(t, fmt.Sprintf("the webhook hears %q", want), func() bool { return len(h.told()) >= len(want) })
	time.Sleep(2500 * time.Millisecond)
	if got := h.told(); !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
}

// Three replicas find out the same; the webhook is called once for each alert, also when it was down, and a listener at any replica
// hears of all.
func TestAlertsOfAFleet(t *testing.T) {
	mock, url := upstream(t)
	h, server := startHook(t), redistest.Start(t)
	replicas := fleet(t, server, 3, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "ALERT_WEBHOOK_URL": h.url,
		"CLIENT_TOKENS": fmt.Sprintf(`[{"id":"team-a","token":%q,"quota":[{"requests":10,"period":"month"},{"tokens":100000000,"period":"day"}]},
			{"id":"other","token":%q}]`, clientToken, clientToken+"2"),
		"CONFIG_FILE": "c.yaml", "file": `failover: {openTimeout: 60000, maxRest: 60000}`})
	heard := listenForAlerts(t, replicas[2])
	call := func(n int, token string) {
		for i := range n {
			replicas[i%3].post(t, "/v1/chat/completions", token, plain)
		}
	}
	call(7, clientToken)
	time.Sleep(1200 * time.Millisecond)
	h.set(true)
	call(2, clientToken)
	eventually(t, "the webhook is called", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.bodies) > 0 })
	h.set(false)
	want := []string{"quota_reached team-a 0.8"}
	h.hears(t, want...)
	call(9, clientToken)
	want = append(want, "quota_reached team-a 1")
	h.hears(t, want...)

	mock.Fault(mockopenai.Fault{Key: "*", Kind: "402"})
	call(6, clientToken+"2")
	want = append(want, "key_exhausted a", "key_exhausted b", "key_exhausted c", "pool_empty pool")
	h.hears(t, want...)
	if a := replicas[0].get(t, "/api/alerts", adminToken); a.status != 200 || strings.Count(a.body, `"event"`) != len(want) {
		t.Errorf("listed are %s", a.body)
	}
	for range want {
		select {
		case <-heard:
		case <-time.After(10 * time.Second):
			t.Fatal("a listener at another replica does not hear of all")
		}
	}
	all := strings.Join(h.bodies, "\n")
	for _, r := range replicas {
		all += r.logs.String()
	}
	for _, secret := range []string{hookToken, clientToken, adminToken, keyNumber(1), keyNumber(2), keyNumber(3)} {
		if strings.Contains(all, secret) {
			t.Errorf("%s is in a body or a log", secret)
		}
	}
}

// listenForAlerts hears the alerts among the events of a replica.
func listenForAlerts(t *testing.T, r *rig) <-chan string {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), "GET", r.url+"/api/events?types=alert", nil)
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := r.http.Do(req)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v %v", resp, err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	heard := make(chan string, 100)
	go func() {
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				heard <- text
			}
		}
	}()
	return heard
}

// A single instance that starts again does not tell again.
func TestAlertsAfterARestart(t *testing.T) {
	_, url := upstream(t)
	h, dir := startHook(t), t.TempDir()
	env := map[string]string{"OPENAI_BASE_URL": url,
		"OPENAI_API_KEYS": fmt.Sprintf(`[{"id":"k","key":%q,"quota":2},{"id":"l","key":%q,"account":"org"}]`, keyNumber(1), keyNumber(2)),
		"CONFIG_FILE":     "c.yaml", "file": `accounts: [{id: org, quota: {requests: 3, period: total}}]`,
		"ALERT_WEBHOOK_URL": h.url, "DATA_DIR": dir, "CLIENT_TOKENS": fmt.Sprintf(`[{"id":"team","token":%q,"quota":{"requests":5,"period":"day"}}]`, clientToken)}
	want := []string{"quota_reached k 0.8", "quota_reached k 1", "quota_reached org 0.8", "quota_reached org 1", "quota_reached team 0.8", "quota_reached team 1"}
	for i := range 2 {
		r := start(t, env)
		for range 7 * (1 - i) {
			r.post(t, "/v1/chat/completions", clientToken, plain)
		}
		r.post(t, "/v1/chat/completions", clientToken, plain)
		h.hears(t, want...)
		if err := r.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

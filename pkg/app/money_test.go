package app_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/redistest"
)

// moneyFile prices the mock's model by round figures. A list price would be no part of this test.
const moneyFile = `
keys: [{id: one, key: sk-test-key-of-money-0001, baseUrl: %q}]
clients:
  - {id: free, token: sk-test-token-of-free-000000001}
  - {id: team, token: sk-test-token-of-team-000000001, quota: {usd: 0.000123, period: day}}
prices:
  gpt-4o-mini: {input: "%s", output: "2"}
`

// nano-dollars of a token of gpt-4o-mini there
const inputRate, outputRate = 1000, 2000

// paid is a remembered request, in part.
type paid struct {
	CostUSD     *json.Number
	TokensBasis string
	Tokens      struct{ Input, Output int64 }
}

// paid looks a request up by the id that its caller was told.
func (r *rig) paid(t *testing.T, a answer) (p paid) {
	t.Helper()
	eventually(t, "the request is remembered", func() bool {
		found := r.get(t, "/api/requests/"+a.header.Get("x-proxy-request-id"), adminToken)
		return found.status == 200 && json.Unmarshal([]byte(found.body), &p) == nil
	})
	return p
}

// spending is what was spent as the API tells it.
type spending struct {
	CostUSD  json.Number
	Unpriced int64
}

// adds sums up costs exactly.
func adds(t *testing.T, costs ...json.Number) string {
	t.Helper()
	var sum int64
	for _, c := range costs {
		n, err := proxy.NanoDollars(c.String())
		if err != nil {
			t.Fatal(c, err)
		}
		sum += n
	}
	return proxy.DollarText(sum)
}

// What a request cost is what its tokens cost, to the billionth of a dollar, whichever way it went; and all who tell of it
// tell the same.
func TestCosts(t *testing.T) {
	_, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 60, ChunkDelayMS: 2, ContentBytes: 240}))
	path := filepath.Join(t.TempDir(), "config.yaml")
	write(t, path, fmt.Sprintf(moneyFile, url, "1"))
	r := startWithFile(t, path, nil)
	var costs []json.Number
	for name, c := range map[string]struct {
		answer answer
		basis  string
	}{
		"plain":   {r.post(t, "/v1/chat/completions", tokenOf("free"), plain), "exact"},
		"stream":  {r.post(t, "/v1/chat/completions", tokenOf("free"), streamed), "exact"},
		"aborted": {r.leave(t, tokenOf("free"), 20), "partial"},
	} {
		p := r.paid(t, c.answer)
		want := proxy.DollarText(p.Tokens.Input*inputRate + p.Tokens.Output*outputRate)
		if p.CostUSD == nil || p.CostUSD.String() != want || p.TokensBasis != c.basis || p.Tokens.Input == 0 || p.Tokens.Output == 0 {
			t.Fatalf("%s: %v dollars for %+v, %s; want %s", name, p.CostUSD, p.Tokens, p.TokensBasis, want)
		}
		if (name == "aborted") != (p.Tokens.Output < 60) {
			t.Errorf("%s: output of %d tokens", name, p.Tokens.Output)
		}
		if !strings.Contains(r.logs.String(), `"cost_usd":`+want) {
			t.Errorf("%s: the access log does not tell of %s dollars", name, want)
		}
		costs = append(costs, *p.CostUSD)
	}
	unknown := r.post(t, "/v1/chat/completions", tokenOf("free"), strings.Replace(plain, "gpt-4o-mini", "gpt-nobody-knows", 1))
	if p := r.paid(t, unknown); unknown.status != 200 || p.CostUSD != nil || p.Tokens.Output != 60 {
		t.Errorf("unknown model: %d, %v dollars for %+v", unknown.status, p.CostUSD, p.Tokens)
	}
	moderated := r.post(t, "/v1/moderations", tokenOf("free"), `{"model":"omni-moderation-latest","input":"x"}`)
	if p := r.paid(t, moderated); moderated.status != 200 || p.CostUSD == nil || *p.CostUSD != "0" {
		t.Errorf("what is free: %d, %v dollars", moderated.status, p.CostUSD)
	}
	if p := r.paid(t, r.get(t, "/v1/models", tokenOf("free"))); p.CostUSD != nil {
		t.Errorf("what uses nothing: %v dollars", p.CostUSD)
	}
	checkSpending(t, r, spending{json.Number(adds(t, costs...)), 1})
}

// checkSpending looks at every sum that is told.
func checkSpending(t *testing.T, r *rig, want spending) {
	t.Helper()
	var stats struct {
		Totals          spending
		Keys            []spending
		Clients, Models []struct {
			ID string
			spending
		}
	}
	var clients struct {
		Data []struct {
			ID    string
			Usage spending
		}
	}
	var usage struct{ Series []struct{ Totals spending } }
	for path, to := range map[string]any{"/api/stats": &stats, "/api/clients": &clients, "/api/usage": &usage} {
		if err := json.Unmarshal([]byte(r.get(t, path, adminToken).body), to); err != nil {
			t.Fatal(path, err)
		}
	}
	told := []spending{stats.Totals, stats.Keys[0], stats.Clients[0].spending, clients.Data[0].Usage, usage.Series[0].Totals}
	for i, s := range told {
		if s != want {
			t.Errorf("sum %d is %+v, want %+v", i, s, want)
		}
	}
	models := map[string]spending{"gpt-4o-mini": {want.CostUSD, 0}, "gpt-nobody-knows": {"0", 1}, "omni-moderation-latest": {"0", 0}}
	for _, m := range stats.Models {
		if m.spending != models[m.ID] || len(stats.Models) != len(models) {
			t.Errorf("%s: %+v", m.ID, m.spending)
		}
	}
	cost, _ := want.CostUSD.Float64()
	metrics := r.get(t, "/metrics", adminToken).body
	_, text, _ := strings.Cut(metrics, "\noap_cost_usd_total{model=\"gpt-4o-mini\"} ")
	text, _, _ = strings.Cut(text, "\n")
	if got, err := strconv.ParseFloat(text, 64); err != nil || got < cost-1e-10 || got > cost+1e-10 {
		t.Errorf("the metric says %q dollars, want %v", text, cost)
	}
	if !strings.Contains(metrics, "\noap_unpriced_requests_total{model=\"gpt-nobody-knows\"} 1\n") || strings.Contains(metrics, `cost_usd_total{model="gpt-nobody`) {
		t.Error("the metrics do not tell what has no price")
	}
}

// A client whose money is limited stops at it and is told which limit it was and when that frees; what has no price is
// refused to it.
func TestMoneyRunsOut(t *testing.T) {
	mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{ContentBytes: 80}))
	path := filepath.Join(t.TempDir(), "config.yaml")
	write(t, path, fmt.Sprintf(moneyFile, url, "1"))
	r := startWithFile(t, path, nil)
	ask := func(body string) answer { return r.post(t, "/v1/chat/completions", tokenOf("team"), body) }
	served, last := 0, ask(plain)
	for ; last.status == 200; last = ask(plain) {
		if served++; served > 10 {
			t.Fatal("it goes on for ever")
		}
		settled(t, r)
	}
	bill := mock.Stats()["sk-test-key-of-money-0001"]
	spent := bill.InputTokens*inputRate + bill.OutputTokens*outputRate
	if last.status != 429 || last.code() != "insufficient_quota" || last.header.Get("retry-after") == "" ||
		!strings.Contains(last.body, "quota of 0.000123 dollars per day used up; try again in ") {
		t.Errorf("%d %v %s", last.status, last.header, last.body)
	}
	if each := spent / int64(served); spent > 123_000 || spent+2*each < 123_000 {
		t.Errorf("%d nano-dollars of 123000 spent by %d requests", spent, served)
	}
	var client struct{ Balances []map[string]any }
	shown := r.get(t, "/api/clients/team", adminToken).body
	if err := json.Unmarshal([]byte(shown), &client); err != nil || len(client.Balances) != 1 {
		t.Fatal(err, shown)
	}
	want := fmt.Sprintf(`"balances":[{"measure":"usd","period":"day","limit":0.000123,"used":%s,"left":%s,"resetsAt":"`,
		proxy.DollarText(spent), proxy.DollarText(123_000-spent))
	if !strings.Contains(shown, want) {
		t.Errorf("no %s in %s", want, shown)
	}
	before := len(mock.Stats())
	for body, want := range map[string]string{
		strings.Replace(plain, "gpt-4o-mini", "gpt-nobody-knows", 1): `"code":"model_not_allowed"`,
		strings.Replace(plain, "model", "not_model", 1):              `"code":"invalid_request"`,
	} {
		if a := ask(body); a.status/100 != 4 || !strings.Contains(a.body, want) || !strings.Contains(a.body, `"param":"model"`) || !strings.Contains(a.body, "money limit") {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if now := mock.Stats()["sk-test-key-of-money-0001"]; now.Requests != bill.Requests || len(mock.Stats()) != before {
		t.Error("what is refused went upstream")
	}
}

// Prices that change in the file are in force at once, and mistakes in them change nothing. Clients that are made at run
// time can have money limits too, and get another one.
func TestPricesThatChange(t *testing.T) {
	_, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{ContentBytes: 80}))
	path := filepath.Join(t.TempDir(), "config.yaml")
	write(t, path, fmt.Sprintf(moneyFile, url, "1"))
	r := startWithFile(t, path, nil)
	costs := func(input int64) {
		t.Helper()
		p := r.paid(t, r.post(t, "/v1/chat/completions", tokenOf("free"), plain))
		if want := proxy.DollarText(p.Tokens.Input*input + p.Tokens.Output*outputRate); p.CostUSD == nil || p.CostUSD.String() != want {
			t.Errorf("%v dollars, want %s", p.CostUSD, want)
		}
	}
	costs(1000)
	version := r.health(t).Config.Version
	write(t, path, fmt.Sprintf(moneyFile, url, "7.5"))
	eventually(t, "other prices are in force", func() bool { return r.health(t).Config.Version != version })
	costs(7500)
	version = r.health(t).Config.Version
	write(t, path, fmt.Sprintf(moneyFile, url, "cheap"))
	eventually(t, "the mistake is told", func() bool {
		return strings.Contains(r.health(t).Config.Error, "prices[0].input: must be plain decimal dollars")
	})
	if costs(7500); r.health(t).Config.Version != version {
		t.Error("a mistake changed something")
	}

	var client struct{ Token string }
	made := r.manage(t, "POST", "/api/clients", `{"id":"made","quota":{"usd":0.0000001,"period":"total"}}`, &client)
	if made.status != 201 || !strings.Contains(made.body, `"quota":[{"usd":0.0000001,"period":"total"}]`) {
		t.Fatalf("%d %s", made.status, made.body)
	}
	if a := r.post(t, "/v1/chat/completions", client.Token, plain); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	settled(t, r)
	if a := r.post(t, "/v1/chat/completions", client.Token, plain); a.status != 429 || !strings.Contains(a.body, "0.0000001 dollars in total used up; it does not renew") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := r.manage(t, "PATCH", "/api/clients/made", `{"quota":[{"usd":5,"period":"total"}]}`, nil); a.status != 200 || !strings.Contains(a.body, `"limit":5,"used":0.000`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := r.post(t, "/v1/chat/completions", client.Token, plain); a.status != 200 {
		t.Errorf("with more money: %d %s", a.status, a.body)
	}
	if a := r.manage(t, "PATCH", "/api/clients/made", `{"quota":[{"usd":"much","period":"total"}]}`, nil); a.status != 400 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// A strict quota of money is not exceeded by two replicas and 32 callers who stream and leave; a soft one is charged what
// the upstream bills, by the prices of the list.
func TestMoneyOfAFleet(t *testing.T) {
	const limit, soft = 20_000_000, "sk-test-soft-000000000000000000001" // nano-dollars: 0.02
	mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 60, ChunkDelayMS: .2, ContentBytes: 240}))
	server := redistest.Start(t)
	replicas := fleet(t, server, 2, map[string]string{"OPENAI_BASE_URL": url, "LOG_LEVEL": "warn", "CLIENT_TOKENS": fmt.Sprintf(
		`[{"id":"strict","token":%q,"mode":"strict","pool":"s","quota":{"usd":0.02,"period":"total"}},
		{"id":"soft","token":%q,"quota":{"usd":100,"period":"month"}}]`, clientToken, soft),
		"OPENAI_API_KEYS": fmt.Sprintf(`[{"id":"a","key":%q},{"id":"s","key":%q,"pool":"s"}]`, keyNumber(1), keyNumber(2))})
	bill := func(key int) int64 { // at the list's price of gpt-4o-mini: 0.15 and 0.60 for a million
		s := mock.Stats()[keyNumber(key)]
		return s.InputTokens*150 + s.OutputTokens*600
	}
	var over atomic.Int64
	statuses := map[int]int{}
	for i, a := range crowd(32, 900, func(i int) answer {
		if bill(2) > limit {
			over.Add(1)
		}
		switch r := replicas[i%2]; i % 3 {
		case 0:
			return r.leave(t, clientToken, i%50)
		case 1:
			return r.post(t, "/v1/chat/completions", clientToken, boundedPlain)
		default:
			return r.post(t, "/v1/chat/completions", soft, plain)
		}
	}) {
		if i%3 == 2 && a.status != 200 && a.code() != "limits_unavailable" { // where Redis is slow nothing is spent
			t.Fatalf("soft: %d %s", a.status, a.body)
		} else if i%3 != 2 {
			statuses[a.status]++
		}
	}
	settled(t, replicas...)
	used := limitUsed(t, server, "strict", "usd/total")
	t.Logf("strict: answers %v; %d counted, %d billed, of %d", statuses, used, bill(2), limit)
	if over.Load() > 0 || used > limit || bill(2) > used || used < limit/2 || statuses[200] < 40 || statuses[429] == 0 {
		t.Errorf("strict: answers %v; %d counted, %d billed, of %d", statuses, used, bill(2), limit)
	}
	eventually(t, "the soft client is charged its bill, when what it was lent has been given back", func() bool {
		return bill(1) > 0 && limitUsed(t, server, "soft", "usd/month") == bill(1)
	})
}

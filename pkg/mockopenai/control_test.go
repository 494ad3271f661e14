package mockopenai_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"testing"

	"openai-api-proxy/pkg/mockopenai"
)

func TestControls(t *testing.T) {
	u := start(t)
	set := u.post("/_config", `{"chunks":2,"content_bytes":64}`)
	equal(t, "changed", set.get("chunks").Int(), 2)
	equal(t, "kept", set.get("requests").Int(), 100)
	data, _ := u.post(chatPath, streamed).events()
	equal(t, "events", len(data), 1+2+1+1)

	u.post("/_fault", `{"key":"`+testKey+`","kind":"429","retry_after":2,"count":1,"prob":1,"after_chunks":10}`)
	equal(t, "Retry-After", u.do(u.request("POST", chatPath, plain), 429).Header.Get("Retry-After"), "2")
	u.post("/_fault", `{"key":"*","kind":"none"}`)

	stats := u.get("/_stats").get(testKey)
	for field, want := range map[string]int64{
		"requests": 2, "streams": 1, "faults": 1, "aborted": 0, "max_in_flight": 1, "input_tokens": 19, "output_tokens": 2,
		"bytes_in": int64(len(streamed) + len(plain)),
	} {
		equal(t, field, stats.Get(field).Int(), want)
	}
	seen := u.get("/_requests")
	equal(t, "requests", seen.get("#").Int(), 2)
	equal(t, "body", seen.get("1.body").String(), plain)

	u.post("/_reset", "")
	equal(t, "stats after a reset", string(u.get("/_stats").body), "{}\n")
	equal(t, "requests after a reset", string(u.get("/_requests").body), "[]\n")
}

func TestControlsRefuseMistakes(t *testing.T) {
	u := start(t)
	a := u.do(u.request("POST", "/_fault", `{"key":"*","kind":"teapot"}`), 400)
	for _, kind := range mockopenai.Kinds() {
		if !strings.Contains(string(a.body), kind) {
			t.Errorf("%s is not named in %q", kind, a.body)
		}
	}
	u.do(u.request("POST", "/_fault", `{"kind":"500"}`), 400)
	u.do(u.request("POST", "/_fault", `{"key":"*","kind":"500","after":1}`), 400)
	u.do(u.request("POST", "/_config", `{"chunks":"many"}`), 400)
	u.do(u.request("POST", "/_config", `{"chunks":7,"chunk":1}`), 400)
	equal(t, "a mistake changed nothing", u.post("/_config", `{}`).get("chunks").Int(), 100)
	u.do(u.request("GET", "/_reset", ""), 404)
	u.post("/_config", `{"chunks":-1,"content_bytes":-1}`)
	equal(t, "text", u.post(chatPath, plain).get("choices.0.message.content").String(), "")
}

func TestRequestsAreRemembered(t *testing.T) {
	u := start(t)
	u.Configure(func(set *mockopenai.Settings) { set.Requests = 2 })
	body := `{"model":"gpt-4o","messages":["` + strings.Repeat("x", 8<<10) + `"]}`
	req := u.request("POST", chatPath+"?a=%2F&b", body)
	req.Header.Set("X-Custom", "1")
	req.Host = "upstream.test"
	u.do(req, 200)
	sum := sha256.Sum256([]byte(body))
	got := u.Requests()[0]
	equal(t, "method", got.Method, "POST")
	equal(t, "path", got.Path, chatPath+"?a=%2F&b")
	equal(t, "host", got.Host, "upstream.test")
	equal(t, "header", got.Header.Get("X-Custom"), "1")
	equal(t, "key", got.Key, testKey)
	equal(t, "length", got.Length, len(body))
	equal(t, "sum", got.SHA256, hex.EncodeToString(sum[:]))
	equal(t, "body", got.Body, body[:4<<10])
}

func TestOnlyTheLastRequestsAreRemembered(t *testing.T) {
	u := start(t)
	send := func(from, to int) {
		for i := from; i < to; i++ {
			u.get("/v1/models?" + strconv.Itoa(i))
		}
	}
	seen := func() string {
		var list []string
		for _, r := range u.Requests() {
			_, n, _ := strings.Cut(r.Path, "?")
			list = append(list, n)
		}
		return strings.Join(list, " ")
	}
	keep := func(n int) { u.Configure(func(set *mockopenai.Settings) { set.Requests = n }) }
	keep(3)
	send(0, 2)
	equal(t, "fewer", seen(), "0 1")
	send(2, 5)
	equal(t, "the last three", seen(), "2 3 4")
	keep(4)
	send(5, 7)
	equal(t, "more", seen(), "3 4 5 6")
	send(7, 9)
	equal(t, "more, full", seen(), "5 6 7 8")
	keep(2)
	send(9, 10)
	equal(t, "fewer again", seen(), "8 9")
	keep(0)
	send(10, 11)
	equal(t, "off", seen(), "8 9")
}

func TestConcurrencyIsCounted(t *testing.T) {
	u := start(t)
	u.Fault(mockopenai.Fault{Key: "*", Kind: "hang"})
	ctx, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() { u.try(u.request("POST", chatPath, plain).WithContext(ctx)) })
	}
	eventually(t, "five are in flight", func() bool { return u.Stats()[testKey].InFlight == 5 })
	leave()
	all.Wait()
	eventually(t, "all are noticed", func() bool {
		s := u.Stats()[testKey]
		return s.Aborted == 5 && s.InFlight == 0
	})
	equal(t, "most in flight", u.Stats()[testKey].MaxInFlight, 5)
}

func TestACallerWhoLeavesBetweenChunksIsNoticed(t *testing.T) {
	u := start(t)
	u.Configure(func(set *mockopenai.Settings) { set.ChunkDelayMS = 1e9 })
	ctx, leave := context.WithCancel(t.Context())
	resp, err := u.client.Do(u.request("POST", chatPath, streamed).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	leave()
	eventually(t, "it is aborted", func() bool { return u.Stats()[testKey].Aborted == 1 })
	equal(t, "billed", u.Stats()[testKey].OutputTokens, 0)
}

func TestACallerWhoLeavesBeforeTheHeadersIsNoticed(t *testing.T) {
	u := start(t)
	u.Configure(func(set *mockopenai.Settings) { set.LatencyMS = 1e9 })
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan answer, 1)
	go func() { ended <- u.try(u.request("POST", chatPath, plain).WithContext(ctx)) }()
	eventually(t, "it waits", func() bool { return u.Stats()[testKey].InFlight == 1 })
	leave()
	<-ended
	eventually(t, "it is aborted", func() bool { return u.Stats()[testKey].Aborted == 1 })
}

func TestStatsAreShapedForJSON(t *testing.T) {
	b, err := json.Marshal(mockopenai.Stats{Requests: 1, OutputTokens: 2})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "stats", string(b), `{"requests":1,"streams":0,"faults":0,"aborted":0,"bytes_in":0,"in_flight":0,`+
		`"max_in_flight":0,"input_tokens":0,"output_tokens":2,"rate_limited":0}`)
}

// What a key has to pay for is told as it comes, and adds up to what its stats say.
func TestBill(t *testing.T) {
	type entry struct{ input, output, times int64 }
	var mu sync.Mutex // guards bill
	bill := map[string]entry{}
	u := start(t, few(5), mockopenai.WithBill(func(id string, input, output int64) {
		mu.Lock()
		defer mu.Unlock()
		e := bill[id]
		bill[id] = entry{e.input + input, e.output + output, e.times + 1}
	}))
	whole, stream := u.post(chatPath, plain), u.post(chatPath, streamed)
	mu.Lock()
	defer mu.Unlock()
	equal(t, "plain", bill[whole.Header.Get("X-Request-Id")], entry{19, 100, 1})
	equal(t, "stream", bill[stream.Header.Get("X-Request-Id")], entry{19, 5, 6})
	equal(t, "input", u.Stats()[testKey].InputTokens, int64(38))
	equal(t, "output", u.Stats()[testKey].OutputTokens, int64(105))
}

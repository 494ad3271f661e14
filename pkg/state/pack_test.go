package state

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"openai-api-proxy/pkg/openai"
)

// marshalled is what Pack must make: encoding/json says it by reflection.
func marshalled(r *Request) ([]byte, error) {
	m := remembered{ID: r.ID, At: r.At.UnixMilli(), Method: besides(r.Method, usualMethod), Operation: r.Operation, Client: r.Client,
		ClientIP: r.ClientIP, Key: r.Key, Model: r.Model, Stream: r.Stream, Status: besides(r.Status, usualStatus),
		Outcome: besides(r.Outcome, usualOutcome), Fault: r.Fault, Cause: r.Cause, Basis: r.Usage.Basis,
		FirstByte: r.FirstByte.Microseconds(), Total: r.Total.Microseconds(), BytesIn: r.BytesIn, BytesOut: r.BytesOut,
		Upstream: r.Upstream, Replica: r.Replica, Bodies: r.Bodies}
	if u := r.Usage; u.Input|u.Cached|u.Output|u.Reasoning != 0 {
		m.Tokens, m.Basis = []int64{u.Input, u.Cached, u.Output, u.Reasoning}, besides(u.Basis, openai.Exact)
	}
	if r.Priced {
		m.Cost = &r.Cost
	}
	for _, a := range r.Attempts {
		m.Attempts = append(m.Attempts, rememberedTry{besides(a.Key, r.Key), besides(a.Account, a.Key),
			besides(a.Outcome, usualTry), a.Status, a.Took.Microseconds()})
	}
	if json.Valid(r.Why) {
		m.Why = r.Why
	}
	var text bytes.Buffer
	to := json.NewEncoder(&text)
	to.SetEscapeHTML(false)
	err := to.Encode(m)
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), err
}

// drawn is any request.
func drawn(t *rapid.T) *Request {
	text := rapid.SampledFrom([]string{"", "a", "key1", "gpt-4o-mini", "POST", "succeeded", "served", "<b>&amp;", "\"\\\n\x00\x7f",
		"\xff\xc3(", "模型\u2028"}).Draw
	n := rapid.SampledFrom([]int64{0, 1, -1, 200, 123_456_789, 1<<63 - 1, -1 << 63}).Draw
	span := func(t *rapid.T, name string) time.Duration { return time.Duration(n(t, name)) }
	r := &Request{ID: text(t, "id"), At: time.UnixMilli(n(t, "at") % (1 << 50)).UTC(), Method: text(t, "method"), Operation: text(t, "operation"),
		Client: text(t, "client"), ClientIP: text(t, "ip"), Key: text(t, "key"), Model: text(t, "model"), Stream: rapid.Bool().Draw(t, "stream"),
		Status: int(n(t, "status")), Outcome: text(t, "outcome"), Fault: text(t, "fault"), Cause: text(t, "cause"), Cost: n(t, "cost"),
		Priced: rapid.Bool().Draw(t, "priced"), FirstByte: span(t, "first byte"), Total: span(t, "total"), BytesIn: n(t, "in"),
		BytesOut: n(t, "out"), Upstream: text(t, "upstream"), Replica: text(t, "replica"),
		Usage: openai.Usage{Input: n(t, "input"), Cached: n(t, "cached"), Output: n(t, "output"), Reasoning: n(t, "reasoning"),
			Basis: openai.Basis(rapid.SampledFrom([]string{"", "exact", "estimated"}).Draw(t, "basis"))}}
	for range rapid.IntRange(0, 3).Draw(t, "attempts") {
		r.Attempts = append(r.Attempts, Tried{text(t, "key"), text(t, "account"), text(t, "outcome"), int(n(t, "status")), span(t, "took")})
	}
	r.Why = []byte(rapid.SampledFrom([]string{"", "{", `{ "a": [1, "<"] }`, "{\n\"a\":\r\n1}"}).Draw(t, "why"))
	if rapid.Bool().Draw(t, "bodies") {
		r.Bodies = &Bodies{text(t, "request"), text(t, "response"), rapid.Bool().Draw(t, "cut")}
	}
	return r
}

// TestPack compares with encoding/json, byte by byte.
func TestPack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawn(t)
		want, err := marshalled(r)
		if err != nil {
			t.Fatal(err)
		}
		got := r.Pack()
		if !bytes.Equal(got, want) {
			t.Fatalf("packed\n%s\nand encoding/json makes\n%s", got, want)
		}
		if cap(got) == len(got) {
			t.Fatal("no room behind it")
		}
		if bytes.ContainsAny(got, "\r\n") {
			t.Fatalf("a newline, as stores put between two: %q", got)
		}
		var a, b Request
		if a, err = UnpackRequest(got); err != nil {
			t.Fatal(err)
		}
		if b, err = UnpackRequest(want); err != nil || !reflect.DeepEqual(a, b) {
			t.Fatalf("%v: %+v and %+v", err, a, b)
		}
	})
}

func BenchmarkPack(b *testing.B) {
	r := &Request{ID: "req_abcdefghijklmnopqrstuvwxyz", At: time.Now(), Method: "POST", Operation: "/v1/chat/completions", Client: "team-a",
		ClientIP: "192.0.2.17", Model: "gpt-4o-mini-2024-07-18", Status: 200, Outcome: "succeeded", Key: "key1",
		Attempts: []Tried{{"key1", "org-a", "served", 200, 345678 * time.Microsecond}}, Cost: 62_850, Priced: true,
		Usage: openai.Usage{Input: 1000, Output: 200, Basis: openai.Exact}, FirstByte: 351234 * time.Microsecond,
		Total: 2345678 * time.Microsecond, BytesIn: 4321, BytesOut: 12345, Upstream: "req_0123456789abcdef0123456789abcdef", Replica: "r1"}
	for name, pack := range map[string]func(){"by hand": func() { r.Pack() }, "encoding/json": func() { _, _ = marshalled(r) }} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				pack()
			}
		})
	}
}

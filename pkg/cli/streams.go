package cli

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"
)

// streams compares streams with what the mock sent, byte by byte, and sees that they come as they are made.
func (c *checkup) streams(ctx context.Context) []finding {
	const streams = 3
	f := finding{Name: "streams", OK: true}
	size, lead := 0, time.Hour
	for n := range streams {
		one := c.caller(c.pool.load())
		one.http.Transport.(*http.Transport).DisableKeepAlives = true
		a := one.chat(ctx, streamedBody)
		if ctx.Err() != nil {
			return nil
		}
		sent := c.sent(ctx, n)
		switch {
		case a.err != nil || a.status != http.StatusOK:
			_, trouble := statuses([]answer{a})
			return []finding{{Name: "streams", Text: "a stream " + trouble}}
		case !bytes.Equal(a.body, sent):
			return []finding{{Name: "streams", Text: fmt.Sprintf("a stream of %d bytes arrived as other %d", len(sent), len(a.body)),
				Figures: figures{"sent": len(sent), "received": len(a.body)}}}
		}
		size += len(a.body)
		lead = min(lead, a.ended.Sub(a.first))
	}
	f.Text = fmt.Sprintf("%d, %d bytes as they were sent; the first bytes came %d ms before the last", streams, size, lead.Milliseconds())
	f.Figures = figures{"streams": streams, "bytes": size, "leadMs": lead.Milliseconds()}
	if lead < 20*time.Millisecond { // it takes the mock 100
		f.OK = false
		f.Text += ": something in between holds them back"
	}
	return []finding{f}
}

// sent is the n-th stream of the mock. It is known a moment after its last byte went out.
func (c *checkup) sent(ctx context.Context, n int) []byte {
	for range 50 {
		if text := c.stage.stream(n); text != nil {
			return text
		}
		pause(ctx, 10*time.Millisecond)
	}
	return nil
}

// usage compares what the proxy counted with what the mock did.
func (c *checkup) usage(ctx context.Context) []finding {
	var want usageAmounts
	stats := c.stage.mock.Stats()
	for _, k := range c.pool.shared() {
		want.Successes += int64(len(c.stage.of(k.secret)))
		want.Tokens.Input += stats[k.secret].InputTokens
		want.Tokens.Output += stats[k.secret].OutputTokens
	}
	var got usageAmounts
	for end := time.Now().Add(4 * time.Second); ; pause(ctx, 200*time.Millisecond) {
		var err error
		if got, err = c.counted(ctx, c.pool.load(), c.pool.limited()); err != nil {
			return []finding{{Name: "usage", Text: err.Error()}}
		}
		if ctx.Err() != nil || time.Now().After(end) || got.Successes == want.Successes && got.Tokens == want.Tokens {
			break
		}
	}
	f := finding{Name: "usage", OK: got.Successes == want.Successes && got.Tokens == want.Tokens,
		Figures: figures{"upstream": want, "counted": got}}
	f.Text = fmt.Sprintf("%d requests, %d tokens in and %d out, as the upstream has them", got.Successes, got.Tokens.Input, got.Tokens.Output)
	if !f.OK {
		f.Text = fmt.Sprintf("counted %d requests, %d tokens in and %d out; the upstream has %d, %d and %d", got.Successes, got.Tokens.Input,
			got.Tokens.Output, want.Successes, want.Tokens.Input, want.Tokens.Output)
	}
	return []finding{f}
}

// counted is what the proxy counted for some clients.
func (c *checkup) counted(ctx context.Context, clients ...string) (sum usageAmounts, err error) {
	for _, id := range clients {
		var a usageAnswer
		if _, err := c.s.api.get(ctx, "/api/usage", query("step", "minute", "by", "client", "id", id), &a); err != nil {
			return sum, err
		}
		for _, one := range a.Series {
			if one.ID != id {
				continue
			}
			sum.Successes += one.Totals.Successes
			sum.Tokens.Input += one.Totals.Tokens.Input
			sum.Tokens.Output += one.Totals.Tokens.Output
		}
	}
	return sum, nil
}

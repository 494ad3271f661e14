package chaos

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// row is a request as the proxy remembers it.
type row struct {
	ID          string
	Client      string
	Status      int
	Outcome     string
	Attempts    []struct{ Outcome string }
	Tokens      struct{ Input, Output int64 }
	TokensBasis string
	Upstream    string
	Replica     string
}

// ledger is what the proxy says of all requests.
type ledger struct {
	rows    []row
	totals  sum            // of /api/stats
	clients map[string]sum // likewise
	minutes sum            // of all minutes of /api/usage
}

// sum is requests and what they used.
type sum struct{ requests, input, output int64 }

func (s sum) plus(o sum) sum {
	return sum{s.requests + o.requests, s.input + o.input, s.output + o.output}
}

// counted is a sum as the management API writes it.
type counted struct {
	Requests int64
	Tokens   struct{ Input, Output int64 }
}

func (c counted) sum() sum { return sum{c.Requests, c.Tokens.Input, c.Tokens.Output} }

// api asks the management API.
func (r *replica) api(path string, into any) error {
	req, _ := http.NewRequest(http.MethodGet, r.url+path, nil) // it has a URL
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := r.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s %.300s %w", path, resp.Status, text, err)
	}
	if plain, ok := into.(*string); ok {
		*plain = string(text)
		return nil
	}
	return json.Unmarshal(text, into)
}

// readLedger pages through all that is remembered.
func readLedger(r *replica) (*ledger, error) {
	l := &ledger{clients: map[string]sum{}}
	var stats struct {
		Totals  counted
		Clients []struct {
			ID string
			counted
		}
	}
	if err := r.api("/api/stats", &stats); err != nil {
		return nil, err
	}
	l.totals = stats.Totals.sum()
	for _, c := range stats.Clients {
		l.clients[c.ID] = c.sum()
	}
	var usage struct{ Series []struct{ Totals counted } }
	if err := r.api("/api/usage?step=minute", &usage); err != nil {
		return nil, err
	}
	for _, s := range usage.Series {
		l.minutes = l.minutes.plus(s.Totals.sum())
	}
	for after := ""; ; {
		var page struct {
			Data []row
			Next string
		}
		if err := r.api("/api/requests?limit=1000&after="+url.QueryEscape(after), &page); err != nil {
			return nil, err
		}
		l.rows = append(l.rows, page.Data...)
		if after = page.Next; after == "" {
			return l, nil
		}
	}
}

// settledLedger is the ledger when it has not grown for a second.
func settledLedger(r *replica) (l *ledger, err error) {
	var last sum
	since := time.Now()
	within(20*time.Second, func() bool {
		var stats struct{ Totals counted }
		if err = r.api("/api/stats", &stats); err != nil {
			return false
		}
		if now := stats.Totals.sum(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > time.Second
	})
	if err != nil {
		return nil, err
	}
	return readLedger(r)
}

// Package alert tells operators what they should not have to look for: that a client, a key or an account has used a share of its
// quota, that a key is refused by the upstream or out of credit, that no key of a pool can be used, and that the latter two are over.
//
// Every replica looks once a second at what it knows, off the path of all requests. What it finds has a name, made of what happened,
// to whom, and when; the shared state gives each name to one replica of the fleet, and only that one tells: a line in the log, a
// metric, an entry among the latest alerts, from which events are made, and the webhook.
//
// While the shared state does not answer nobody knows who tells. Then each replica says in its log what it finds, once, and nothing
// is sent. What still holds when the state is back is told then.
//
// What was given to a replica that is killed before its webhook was called is among the latest alerts and is not sent again.
package alert

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// Event is what happened.
type Event string

// The events there are.
const (
	QuotaReached  Event = "quota_reached"
	KeyInvalid    Event = "key_invalid"
	KeyExhausted  Event = "key_exhausted"
	KeyRecovered  Event = "key_recovered"
	PoolEmpty     Event = "pool_empty"
	PoolRecovered Event = "pool_recovered"
	Test          Event = "test"
)

// Alert is what operators are told, in the form in which they get it. It holds ids and numbers, and no secret.
type Alert struct {
	ID      string    `json:"id"` // of this alert; the same in every try to deliver it
	Event   Event     `json:"event"`
	At      time.Time `json:"at"`
	Text    string    `json:"text"`
	Client  string    `json:"client,omitempty"`
	Key     string    `json:"key,omitempty"`
	Account string    `json:"account,omitempty"` // whose quota it is
	Pool    *string   `json:"pool,omitempty"`    // "" is the common one
	Quota   *Spent    `json:"quota,omitempty"`
	Replica string    `json:"replica"` // which found it out first
}

// Spent is how a quota stood when a share of it was reached.
type Spent struct {
	Limit    string      `json:"limit"` // "tokens/month"
	Share    json.Number `json:"share"` // that was reached
	Used     json.Number `json:"used"`  // with what is reserved for running requests; dollars, if it is money
	Most     json.Number `json:"most"`
	Since    *time.Time  `json:"since"`    // when its period began; null: it does not end
	ResetsAt *time.Time  `json:"resetsAt"` // null: never
}

// Subject is what has a quota.
type Subject string

// The subjects there are.
const (
	OfClient  Subject = "client"
	OfKey     Subject = "key"
	OfAccount Subject = "account"
)

// Quota is a quota as the fleet has used it.
type Quota struct {
	Of      Subject
	ID      string // of the subject
	Limit   string // "tokens/month"
	Budget  proxy.Budget
	Used    int64
	Resets  time.Time // zero: never, or not known
	Start   time.Time // of its period; zero: it does not end
	Refused bool      // somebody was refused for it
}

// has reports whether a share, in thousandths, is used. All of it is also when a request was refused for the rest and most was
// used: what is left may be too little for any request.
func (q *Quota) has(share int64) bool {
	if q.Budget.Limit <= 0 {
		return false
	}
	if share == whole && q.Refused && q.Used > q.Budget.Limit/2 {
		return true
	}
	return float64(q.Used) >= float64(q.Budget.Limit)*float64(share)/whole
}

// whole is all of a quota, in thousandths.
const whole = 1000

// name is the same at all replicas, and another one in the next period, or for a quota of another size.
func (q *Quota) name(share int64) string {
	return fmt.Sprintf("%s/%s/%s/%s/%d/%d/%d", QuotaReached, q.Of, q.ID, q.Limit, q.Budget.Limit, share, unix(q.Start))
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// alert is what is told of a share.
func (q *Quota) alert(share int64) Alert {
	percent := strconv.FormatFloat(float64(share)/10, 'f', -1, 64)
	per := " per " + string(q.Budget.Period)
	if q.Budget.Period == proxy.Total {
		per = " in total"
	}
	a := Alert{Event: QuotaReached, Quota: &Spent{Limit: q.Limit, Share: decimal(share, whole), Used: q.amount(q.Used), Most: q.amount(q.Budget.Limit),
		Since: instant(q.Start), ResetsAt: instant(q.Resets)}}
	switch q.Of {
	case OfClient:
		a.Client = q.ID
	case OfKey:
		a.Key = q.ID
	case OfAccount:
		a.Account = q.ID
	}
	a.Text = fmt.Sprintf("%s %s has used %s %% of its quota of %s%s", q.Of, q.ID, percent, q.Budget.Amount(), per)
	if share == whole && q.Used < q.Budget.Limit {
		a.Text = fmt.Sprintf("%s %s is refused: too little is left of its quota of %s%s", q.Of, q.ID, q.Budget.Amount(), per)
	}
	return a
}

// amount is so much of the quota's measure, as JSON says it.
func (q *Quota) amount(n int64) json.Number {
	if q.Budget.Measure == proxy.Dollars {
		return decimal(n, 1_000_000_000)
	}
	return decimal(n, 1)
}

func decimal(n, by int64) json.Number {
	return json.Number(strconv.FormatFloat(float64(n)/float64(by), 'f', -1, 64))
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

package admin

import (
	"encoding/json"
	"strconv"
	"time"

	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/proxy"
)

// limitAnswer is how one limit of a key or of its account stands, over all replicas.
type limitAnswer struct {
	Of       string      `json:"of"`    // key or account
	Limit    string      `json:"limit"` // rpm, tpm, concurrency, or a quota: tokens/month
	Most     json.Number `json:"most"`  // money in dollars
	Used     json.Number `json:"used"`
	Left     json.Number `json:"left"`
	ResetsAt *time.Time  `json:"resetsAt"`
}

// limitsOf tells of all limits that hold for a key.
func limitsOf(s *balancer.KeyState) []limitAnswer {
	all := make([]limitAnswer, 0, len(s.Limits)+len(s.OfAccount))
	for _, of := range []struct {
		what string
		are  []balancer.Standing
	}{{"key", s.Limits}, {"account", s.OfAccount}} {
		for _, is := range of.are {
			all = append(all, limitAnswer{of.what, is.Limit, amount(is.Measure, is.Most), amount(is.Measure, is.Most-is.Left),
				amount(is.Measure, is.Left), instant(is.Resets)})
		}
	}
	return all
}

// amount is a number of a measure; money in dollars, exactly.
func amount(m proxy.Measure, n int64) json.Number {
	if m == proxy.Dollars {
		return dollars(n)
	}
	return json.Number(strconv.FormatInt(n, 10))
}

// balanceOf is what is left of the quota that is nearest to its end.
func balanceOf(s *balancer.KeyState) *quota {
	if s.Quota == nil {
		return nil
	}
	q := s.Quota
	return &quota{Limit: amount(q.Measure, q.Most), Used: amount(q.Measure, q.Most-q.Left), Left: amount(q.Measure, q.Left),
		ResetsAt: instant(q.Resets), Measure: q.Measure}
}

// quotasOf are quotas in the form of the file.
func quotasOf(all []proxy.Budget) []budgetAnswer {
	list := make([]budgetAnswer, 0, len(all))
	for _, b := range all {
		list = append(list, budgetOf(b))
	}
	return list
}

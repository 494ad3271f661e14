package config

import (
	"errors"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// mostTokens bounds tpm: rates take it times a minute in microseconds.
const mostTokens = 1_000_000_000

// measures are what a quota may count.
var measures = []proxy.Measure{proxy.Requests, proxy.Tokens, proxy.Dollars}

// budgets reads a quota: a number of requests per day, an object, or a list of objects.
func budgets(f *fields) []proxy.Budget {
	s, set := f.take("quota")
	switch {
	case !set:
		return nil
	case s.kind == isNumber:
		n, _ := s.whole(1, mostCount)
		return []proxy.Budget{{Measure: proxy.Requests, Limit: n, Period: proxy.Day}}
	case s.kind == isObject:
		return budgetList([]spot{s})
	case s.kind == isList:
		return budgetList(s.list())
	default:
		s.wrong(s.at, "must be a number of requests per day, or {requests or tokens or usd, period}, or a list of those")
		return nil
	}
}

func budgetList(items []spot) (all []proxy.Budget) {
	seen := map[proxy.Budget]bool{}
	for _, item := range items {
		f, ok := item.object()
		if !ok {
			continue
		}
		name, _ := need(f, "period", period)
		b, ok := budget(f)
		f.end()
		if !ok {
			continue
		}
		b.Period = proxy.Period(name)
		same := proxy.Budget{Measure: b.Measure, Period: b.Period}
		if seen[same] && name != "" {
			f.wrong(f.at, "there is a quota of %s for this period already", b.Measure)
		}
		seen[same] = true
		all = append(all, b)
	}
	return all
}

// budget reads the one measure that an entry must have.
func budget(f *fields) (b proxy.Budget, ok bool) {
	given := 0
	for _, m := range measures {
		s, set := f.take(string(m))
		if !set {
			continue
		}
		given++
		b.Measure = m
		if m == proxy.Dollars {
			b.Limit, ok = s.dollars()
			continue
		}
		b.Limit, ok = s.whole(1, mostCount)
	}
	switch {
	case given > 1:
		f.wrong(f.at, "counts two things; write an entry for each")
	case given == 0 && len(f.in.fields) < 2: // else the other field is a mistake in its place
		f.wrong(f.at, "needs one of the fields requests, tokens, usd")
	}
	return b, ok && given == 1
}

// dollars reads an amount of money as whole nano-dollars.
func (s spot) dollars() (int64, bool) {
	if s.kind != isNumber {
		s.wrong(s.at, "must be a number of dollars, such as 20 or 0.5")
		return 0, false
	}
	n, err := nanoDollars(s.text)
	if err != nil {
		s.wrong(s.at, "%v", err)
	}
	return n, err == nil
}

// nanoDollars reads decimal dollars exactly: no binary fraction ever stands for money.
func nanoDollars(text string) (int64, error) {
	n, err := proxy.NanoDollars(text)
	switch {
	case errors.Is(err, proxy.ErrTooFine):
		return 0, errors.New("has more than 9 decimals; money is counted in billionths of a dollar")
	case err != nil:
		return 0, errors.New("must be written as plain decimal dollars, such as 20 or 0.5")
	case n < 1 || n > mostCount:
		return 0, errors.New("must be between 0.000000001 and 9007199 dollars")
	}
	return n, nil
}

// timeZone is a name of the IANA database. The machine's own zone is none: replicas must agree.
func timeZone(s string) (*time.Location, error) {
	zone, err := time.LoadLocation(s)
	if err != nil || s == "Local" {
		return nil, errors.New(`must be a name such as UTC, Europe/Berlin or Asia/Shanghai`)
	}
	return zone, nil
}

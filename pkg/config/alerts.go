package config

import (
	"errors"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"openai-api-proxy/pkg/proxy"
)

// Alerts is what operators are told without asking. It is read anew with the file.
type Alerts struct {
	// Shares of a quota, in thousandths, that are told of when they are reached. Default 800 and 1000; none: no quota is
	// told of, only keys and pools.
	Shares []int64
	// Webhook is called with each alert, from ALERT_WEBHOOK_URL or the file. Unset: alerts are in the log, the events and the
	// metrics only. Such URLs hold tokens, so it is a secret. Plain http to a public host is a warning.
	Webhook proxy.Secret
}

const (
	mostShares = 10
	whole      = 1000 // thousandths
)

// alerts reads the file's part, behind the variable's.
func (l *loader) alerts(root *fields) {
	a := &l.cfg.Alerts
	a.Shares = []int64{800, whole}
	if f, set := root.object("alerts"); set {
		l.shares(f)
		at := f.at
		if webhook, set := get(f, "webhook", webhookURL); set && a.Webhook.IsZero() {
			a.Webhook = webhook
		} else if set {
			l.wrong(at, "has a webhook, and so is ALERT_WEBHOOK_URL set; set one of them")
		}
		f.end()
	}
	if !a.Webhook.IsZero() && exposed(a.Webhook.Reveal()) {
		l.warn(variableAt("alerts.webhook"), "is plain http to a public host, so alerts and the token in the URL can be read on the way; use https")
	}
}

func (l *loader) shares(f *fields) {
	s, set := f.take("shares")
	if !set {
		return
	}
	var all []int64
	for _, item := range s.list() {
		if !item.is(isNumber) {
			continue
		}
		n, err := share(item.text)
		if err != nil {
			item.wrong(item.at, "%v", err)
			continue
		}
		all = append(all, n)
	}
	slices.Sort(all)
	if all = slices.Compact(all); len(all) > mostShares {
		s.wrong(s.at, "must have at most %d shares", mostShares)
	}
	l.cfg.Alerts.Shares = all
}

// share is a part of a quota in thousandths.
func share(text string) (int64, error) {
	v, err := strconv.ParseFloat(text, 64)
	n := math.Round(v * whole)
	if err != nil || n < 1 || n > whole || math.Abs(v*whole-n) > 1e-6 {
		return 0, errors.New("must be a share above 0 and at most 1, with at most three decimals, such as 0.8")
	}
	return int64(n), nil
}

// webhookURL is where alerts are sent: it may hold a query and credentials.
func webhookURL(s string) (proxy.Secret, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return proxy.Secret{}, errors.New("must be a URL such as https://hooks.example.com/...")
	}
	if u.Port() != "" || strings.HasSuffix(u.Host, ":") {
		if _, err := wholeNumber(u.Port(), 1, 65535); err != nil {
			return proxy.Secret{}, errors.New("has a port that is not between 1 and 65535")
		}
	}
	if u.Fragment != "" {
		return proxy.Secret{}, errors.New("must not have a fragment")
	}
	return proxy.NewSecret(s), nil
}

// List is the shares as they are written in the file.
func (a *Alerts) List() []float64 {
	all := make([]float64, len(a.Shares))
	for i, s := range a.Shares {
		all[i] = float64(s) / whole
	}
	return all
}

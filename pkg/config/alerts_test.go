package config

import (
	"slices"
	"strings"
	"testing"
)

const hook = "https://user:sk-test-webhook-0003@hooks.example.com/x"

func TestAlerts(t *testing.T) {
	base := vars{"OPENAI_API_KEY": "sk-test-alerts-0000000001", "CONFIG_FILE": "c.yaml"}
	with := func(file, name, value string) Source {
		v := vars{name: value}
		for k, text := range base {
			v[k] = text
		}
		return v.files(map[string]string{"c.yaml": file, "hook": hook + "\n"})
	}
	for _, c := range []struct {
		file, name, value string
		shares            []int64
		webhook           string
	}{
		{"", "", "", []int64{800, 1000}, ""},
		{"", "ALERT_WEBHOOK_URL", hook, []int64{800, 1000}, hook},
		{"", "ALERT_WEBHOOK_URL_FILE", "hook", []int64{800, 1000}, hook},
		{"alerts: {webhook: \"" + hook + "\"}", "", "", []int64{800, 1000}, hook},
		{"alerts: {shares: []}", "ALERT_WEBHOOK_URL", hook, nil, hook},
		{"alerts: {shares: [0.9, 0.1]}", "", "", []int64{100, 900}, ""},
	} {
		a := load(t, with(c.file, c.name, c.value)).Alerts
		if !slices.Equal(a.Shares, c.shares) || a.Webhook.Reveal() != c.webhook {
			t.Errorf("%q, %s: %v %q", c.file, c.name, a.Shares, a.Webhook.Reveal())
		}
	}
	if text := mistakes(t, with("alerts: {webhook: \""+hook+"\"}", "ALERT_WEBHOOK_URL", hook)); !strings.Contains(text, "set one of them") {
		t.Error(text)
	}
	c := load(t, with("", "ALERT_WEBHOOK_URL", "http://hooks.example.com/sk-test-webhook-0004"))
	var printed strings.Builder
	if c.Print(&printed); strings.Contains(printed.String(), "webhook-0004") || !strings.Contains(printed.String(), "plain http") {
		t.Error(printed.String())
	}
	if other := load(t, with("", "", "")); other.Fingerprint() == c.Fingerprint() {
		t.Error("a webhook does not change the fingerprint")
	}
}

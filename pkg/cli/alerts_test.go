package cli_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"openai-api-proxy/pkg/cli"
)

func TestAlerts(t *testing.T) {
	var status atomic.Int64
	status.Store(200)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }))
	defer hook.Close()
	const token = "sk-test-webhook-0000000000000001"
	p := start(t, map[string]string{"ALERT_WEBHOOK_URL": hook.URL + "/" + token,
		"CLIENT_TOKENS": fmt.Sprintf(`[{"id":"mine","token":%q,"quota":{"requests":1,"period":"total"}}]`, clientToken)})
	s := shellFor(p.url)
	s.ok(t, "", words("alerts list"), "AT\tEVENT\tTEXT\tREPLICA")
	p.chat(t)
	eventually(t, "the quota is told of", func() bool {
		return strings.Contains(s.run(t, "", "alerts", "list", "--limit", "1").out, "quota_reached\tclient mine has used ")
	})
	if r := s.ok(t, "", words("alerts test")); !strings.HasPrefix(r.err, "delivered in ") {
		t.Error(r.err)
	}
	s.ok(t, "", words("alerts test --json"), `{"delivered":true,"tookMs":`)
	status.Store(500)
	s.fails(t, cli.Failed, words("alerts test"), "not delivered: it answers 500")
	if strings.Contains(s.said.String(), token) {
		t.Error("the webhook's token was printed")
	}
}

func TestAlertsWithoutAWebhook(t *testing.T) {
	s := shellFor(start(t, nil).url)
	if r := s.ok(t, "", words("alerts list")); !strings.Contains(r.err, "no webhook is called") {
		t.Error(r.err)
	}
	s.fails(t, cli.Failed, words("alerts test"), "no webhook is configured")
}

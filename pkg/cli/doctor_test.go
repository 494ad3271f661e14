package cli_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"openai-api-proxy/pkg/cli"
	"openai-api-proxy/pkg/redistest"
)

// left fails when the doctor left something behind. Another replica than the one that was told hears of it a moment later.
func left(t *testing.T, s *shell) {
	t.Helper()
	for _, kind := range []string{"keys", "clients"} {
		eventually(t, "its "+kind+" are gone", func() bool {
			r := s.run(t, "", kind, "list", "--q", "doctor", "--json")
			return r.code == cli.Done && strings.Contains(r.out, `"total":0`)
		})
	}
}

func secretsIn(t *testing.T, said string) {
	t.Helper()
	if strings.Contains(said, "sk-test") || strings.Contains(said, "sk-proxy-") {
		t.Errorf("a secret is printed: %s", said)
	}
}

// One proxy without Redis is well, and cannot be waited for: its rests are as long as they are by default.
func TestDoctorOfOne(t *testing.T) {
	p := start(t, nil)
	s := shellFor(p.url)
	r := s.ok(t, "", words("doctor --quick"), "ok      replicas", "ok      reached", "ok      shares", "ok      round trips  embedded: none",
		"ok      streams", "ok      limit", "ok      usage", "ok      trip", "ok      reset", "ok      cleaned up")
	t.Log("\n" + r.out)
	left(t, s)
	secretsIn(t, r.out+r.err)
}

// Three replicas behind a load balancer are one: shares, limit, trip and probe.
func TestDoctorOfAFleet(t *testing.T) {
	s, _ := fleet(t, map[string]string{"ENCRYPTION_KEY": sealingKey})
	r := s.ok(t, "", words("doctor"), "ok      replicas     3, 1 version, 1 configuration", "ok      reached", "ok      shares", "weights 1 to 5", "ok      round trips",
		"ok      streams", "ok      limit", "ok      usage", "through 3 of 3 replicas left it alone", "ok      probe", "1 request reached the upstream")
	t.Log("\n" + r.out)
	left(t, s)
	secretsIn(t, r.out+r.err)
}

// fleet is three replicas over one Redis, behind a load balancer.
func fleet(t *testing.T, more map[string]string) (*shell, []*proxy) {
	t.Helper()
	env := map[string]string{"REDIS_URL": redistest.Start(t).URL(), "OPENAI_BASE_URL": upstream(t), "CONFIG_FILE": "c.json",
		"dir": t.TempDir(), "file": `{"strategy":"weighted","failover":{"openTimeout":2000}}`}
	for name, value := range more {
		env[name] = value
	}
	replicas := []*proxy{start(t, env), start(t, env), start(t, env)}
	s := shellFor(balance(t, replicas[0].Addr(), replicas[1].Addr(), replicas[2].Addr()))
	eventually(t, "all know one another", func() bool { return strings.Count(s.run(t, "", "replicas").out, "\ttest\t") == 3 })
	return s, replicas
}

// A replica that no request reaches is found, in JSON too.
func TestDoctorFindsWhatIsWrong(t *testing.T) {
	_, replicas := fleet(t, map[string]string{"ENCRYPTION_KEY": sealingKey})
	s := shellFor(balance(t, replicas[0].Addr(), replicas[1].Addr()))
	r := s.fails(t, cli.Failed, words("doctor --quick --json"), `"ok":false`)
	var report struct {
		Findings []struct {
			Name    string
			OK      bool
			Skipped bool
		}
	}
	if err := json.Unmarshal([]byte(r.out), &report); err != nil {
		t.Fatal(err, r.out)
	}
	verdicts := map[string]bool{}
	for _, f := range report.Findings {
		verdicts[f.Name] = f.OK || f.Skipped
	}
	if verdicts["reached"] || verdicts["trip"] || !verdicts["shares"] || !verdicts["limit"] || !verdicts["usage"] || !verdicts["cleaned up"] {
		t.Errorf("found %v", verdicts)
	}
	left(t, s)
}

// What keeps the doctor from beginning is said, and what it made until then is gone.
func TestDoctorIsRefused(t *testing.T) {
	s, _ := fleet(t, nil)
	s.fails(t, cli.Failed, words("doctor --quick"), "ENCRYPTION_KEY is not set")
	left(t, s)

	p := start(t, nil)
	s = shellFor(p.url)
	s.fails(t, cli.Failed, []string{"doctor", "--quick", "--advertise", "http://127.0.0.1:1"}, "does not reach the mock at http://127.0.0.1:1")
	s.fails(t, cli.Failed, []string{"doctor", "--quick", "--listen", "nowhere:at all"}, "cannot listen")
	left(t, s)

	// While keys are tokens, a client would end that for good.
	s = shellFor(start(t, map[string]string{"CLIENT_TOKENS": ""}).url)
	s.fails(t, cli.Failed, words("doctor --quick"), "--make-clients")
	s.ok(t, "", words("settings"), "whoever holds an upstream key")
}

// Whoever interrupts the doctor finds nothing of it left.
func TestDoctorInterrupted(t *testing.T) {
	p := start(t, nil)
	for _, made := range []string{"keys", "clients"} { // as soon as there are some
		s := shellFor(p.url)
		ctx, interrupt := context.WithCancel(t.Context())
		ended := make(chan result, 1)
		go func() { ended <- s.runUntil(ctx, new(buffer), "", "doctor") }()
		eventually(t, "it has begun", func() bool {
			return !strings.Contains(s.run(t, "", made, "list", "--q", "doctor", "--json").out, `"total":0`)
		})
		interrupt()
		select {
		case r := <-ended:
			if r.code != cli.Failed || !strings.Contains(r.err, "interrupted") {
				t.Errorf("ended with %d: %s%s", r.code, r.out, r.err)
			}
		case <-time.After(time.Minute):
			t.Fatal("it goes on")
		}
		left(t, s)
	}
}

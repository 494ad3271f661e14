package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestSourcesMerge(t *testing.T) {
	const one, two, three = "sk-test-merge-0001", "sk-test-merge-0002", "sk-test-merge-0003"
	src := vars{
		"OPENAI_API_KEY": one,
		"OPENAI_API_KEYS": fmt.Sprintf(`[{"id":"env-one","key":%q,"weight":7},{"id":"env-two","key":%q,"weight":2,"note":"x"},
			{"id":"c","key":%q}]`, one, two, three),
		"CONFIG_FILE": "c.yaml",
		"CLIENT_TOKENS": `[{"id":"b","token":"sk-test-client-0000000000001","rpm":9},
			{"id":"a","token":"sk-test-client-0000000000002"}]`,
	}.files(map[string]string{"c.yaml": "keys: [{id: z, key: " + two + "}]\n" +
		"clients: [{id: z, token: sk-test-client-0000000000001}]"})
	c := load(t, src)
	var got []string
	for _, k := range c.Keys {
		got = append(got, fmt.Sprintln(k.ID, k.Secret.Reveal(), k.Weight, k.Note, k.Source))
	}
	for _, c := range c.Clients {
		got = append(got, fmt.Sprintln(c.ID, c.Token.Reveal(), c.RPM))
	}
	want := "c " + three + " 1  environment\nenv-one " + one + " 7  environment\nz " + two + " 1  file\n" +
		"a sk-test-client-0000000000002 0\nz sk-test-client-0000000000001 0\n"
	if text := strings.Join(got, ""); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

func TestOneIDTwoKeysOfTwoSources(t *testing.T) {
	src := vars{"CONFIG_FILE": "c.yaml",
		"OPENAI_API_KEYS": `[{"id":"a","key":"sk-test-ids-0002"}]`,
		"CLIENT_TOKENS":   `[{"id":"a","token":"sk-test-ids-0000000000003"}]`,
	}.files(map[string]string{"c.yaml": "keys: [{id: a, key: sk-test-ids-0001}]\n" +
		"clients: [{id: a, token: sk-test-ids-0000000000004}]"})
	want := "OPENAI_API_KEYS[0]: has the same id as c.yaml:1:8 keys[0], but another key\n" +
		"CLIENT_TOKENS[0]: has the same id as c.yaml:2:11 clients[0], but another token"
	if got := mistakes(t, src); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestOperatorsHaveTokensOfTheirOwn(t *testing.T) {
	const one = "sk-test-operator-0000001"
	src := vars{"OPENAI_API_KEY": testKey, "ADMIN_TOKEN": one, "METRICS_TOKEN": one,
		"CLIENT_TOKENS": `[{"token":"` + one + `"}]`}.files(nil)
	want := "METRICS_TOKEN: is ADMIN_TOKEN: whoever scrapes would be an operator; choose another\n" +
		"ADMIN_TOKEN: is a client's token: that client would be an operator; choose another"
	if got := mistakes(t, src); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWarnings(t *testing.T) {
	src := vars{"OPENAI_API_KEY": testKey, "OPENAI_BASE_URL": "http://api.example.com",
		"METRICS_TOKEN": "short"}.files(nil)
	want := "OPENAI_BASE_URL: " + notEncrypted + "\n" +
		"METRICS_TOKEN: is short enough to be guessed; make one with `openssl rand -hex 16`"
	if got := strings.Join(load(t, src).Warnings, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestExposed(t *testing.T) {
	for base, want := range map[string]bool{
		"https://api.example.com": false, "http://api.example.com": true, "http://8.8.8.8:80": true,
		"http://[2001:db8::1]":  true,
		"http://localhost:9100": false, "http://127.0.0.1": false, "http://[::1]:80": false, "http://10.0.0.7": false,
		"http://192.168.1.1/x": false, "http://[fd00::1]": false, "http://mock": false,
		"http://mock.ns.svc.cluster.local": false,
		"http://[::ffff:127.0.0.1]":        false, "http://127.0.0.1.example.com": true,
	} {
		if got := exposed(base); got != want {
			t.Errorf("%s: %v", base, got)
		}
	}
}

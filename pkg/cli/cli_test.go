package cli_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"openai-api-proxy/pkg/cli"
)

// Every command does what it says, against a real proxy, and nothing of what it prints is a secret.
func TestCommands(t *testing.T) {
	p := start(t, nil)
	s := shellFor(p.url)
	added := "sk-test-added-000000000000000000001"

	// keys
	s.ok(t, "", words("keys list"), "a\tsk-...0001\tactive", "environment")
	s.ok(t, added+"\n", words("keys add --id c --weight 3 --tag eu --tag prod --models gpt-4o*,o3 --account org-c --set quota=1000"), "added c (sk-...0001)")
	s.ok(t, "", words("keys list --tag eu"), "c\tsk-...0001\tactive\t\torg-c\t\t3\tgpt-4o*,o3\teu,prod")
	s.ok(t, "", words("keys show c"), "weight\t3", `quota	[{"requests":1000,"period":"day"}]`, "account\torg-c")
	s.ok(t, "", words("keys disable c"), "disabled c")
	s.ok(t, "", words("keys list --state disabled"), "c\t")
	s.ok(t, "", words("keys enable c"), "enabled c")
	s.ok(t, "", words("keys test c a"), "c\tyes\tserved\t200", "a\tyes")
	s.ok(t, "", words("keys test --all"), "c\tyes", "b\tyes")
	s.ok(t, "", words("keys reset a c"), "reset 2 keys")
	s.ok(t, "", words("keys export --source api"), `"id":"c"`)
	file := filepath.Join(t.TempDir(), "key.txt")
	os.WriteFile(file, []byte("sk-test-added-000000000000000000002\n"), 0o600)
	s.ok(t, "", append(words("keys add --id d --key-file"), file), "added d")
	s.fails(t, cli.Failed, words("keys rm a"), "configured in the environment")
	s.ok(t, "", words("keys rm c d"), "deleted 2 keys")
	s.fails(t, cli.Failed, words("keys show c"), "there is no such key")
	s.fails(t, cli.Failed, words("keys disable a nosuch"), "nosuch: there is no")
	s.ok(t, "", words("keys enable a"))

	// clients
	r := s.ok(t, "", words("clients add --id team --rpm 60 --burst 10 --models gpt-4o* --ips 127.0.0.0/8 --expires 2099-01-01T00:00:00Z --set enabled=false"), "added team", "token: sk-proxy-")
	token := strings.TrimSpace(strings.SplitN(r.out, "token: ", 2)[1])
	s.ok(t, "", words("clients list"), "team\tno\t60\t10\tgpt-4o*\t127.0.0.0/8\t\t2099-01-01 00:00:00\tsk-..."+token[len(token)-4:])
	s.ok(t, "", words("clients enable team"), "enabled team")
	s.ok(t, "", words("clients show team"), "enabled\ttrue")
	s.ok(t, "", words("clients disable team"), "disabled team")
	r = s.ok(t, "", words("clients rotate team --keep 24h --quiet"))
	if !regexp.MustCompile(`^sk-proxy-[a-z0-9]{32}\n$`).MatchString(r.out) || r.out == token+"\n" || r.err != "" {
		t.Errorf("rotate printed %q and %q", r.out, r.err)
	}
	rotated := strings.TrimSpace(r.out)
	s.ok(t, "", append(words("clients add --id paying --set"), `quota=[{"usd":20.5,"period":"month"},{"requests":9,"period":"day"}]`), "added paying")
	s.ok(t, "", words("clients list"), "\t0\t20.5/20.5 usd month,9/9 requests day\tapi")
	s.ok(t, "", words("clients rm team paying"), "deleted team", "deleted paying")
	s.fails(t, cli.Failed, words("clients rm mine"), "mine: ")

	// what happened
	id := p.chat(t)
	eventually(t, "the request is counted", func() bool {
		return strings.Contains(s.run(t, "", "usage", "--step", "minute", "--by", "client").out, "\tmine\t1\t")
	})
	s.ok(t, "", words("stats --top 5"), "client\tmine\t\t1\t0\t100.0%", "model\tgpt-4o-mini", "COST USD\tUNPRICED", "\t0.00006285\t0\t")
	s.ok(t, "", words("requests --client mine --status 2xx --from 1h --limit 5"), id, "\t0.00006285\t", "\t/v1/chat/completions\t")
	s.ok(t, "", words("usage --step minute --by client"), "\t0.00006285\t0\n")
	s.ok(t, "", words("requests --status error"), "AT\tSTATUS")
	s.ok(t, "", words("replicas"), "\ttest\t", "\tyes\t")
	s.ok(t, "", words("refresh"), "\tyes\t")
	s.ok(t, "", words("audit --all"), "key.create\tc", "client.rotate\tteam", "config.refresh")

	// settings
	s.ok(t, "", words("settings"), "strategy\troundrobin\tdefault", "(who may call)\tclients")
	s.ok(t, "", []string{"settings", "set", "strategy=weighted", "failover.maxRetries=2", `operations.deny=["POST /v1/images/edits"]`}, "strategy\tweighted\tapi", `["POST /v1/images/edits"]`)
	if r := s.ok(t, "", words("settings get strategy")); r.out != "weighted\n" {
		t.Errorf("the value alone is %q", r.out)
	}
	s.ok(t, "", words("settings unset strategy"), "strategy\troundrobin\tdefault")
	s.fails(t, cli.Failed, words("settings set strategy=whatever"), "strategy")
	s.fails(t, cli.Failed, words("settings get nosuch"), "there is no setting nosuch")

	said := s.said.String()
	for _, secret := range []string{adminToken, clientToken, keyNumber(1), keyNumber(2), added} {
		if strings.Contains(said, secret) {
			t.Errorf("%s was printed", secret)
		}
	}
	for _, made := range []string{token, rotated} {
		if n := strings.Count(said, made); n != 1 {
			t.Errorf("a token was printed %d times", n)
		}
	}
}

// --json gives the answers of the API as they came.
func TestJSON(t *testing.T) {
	p := start(t, nil)
	s := shellFor(p.url)
	for _, line := range []string{"keys list", "keys show a", "clients list", "stats", "usage", "settings", "replicas", "audit", "alerts list", "keys test a", "keys reset a",
		"objects adopt --client mine --account a file-1", "objects list --client mine --family file", "objects disown --client mine file-1"} {
		r := s.ok(t, "", append(words(line), "--json"))
		var body map[string]any
		if err := json.Unmarshal([]byte(r.out), &body); err != nil || len(body) == 0 || strings.Count(r.out, "\n") != 1 {
			t.Errorf("%s printed %q: %v", line, r.out, err)
		}
	}
}

func TestImport(t *testing.T) {
	p := start(t, nil)
	s := shellFor(p.url)
	text := "# finance\n\nsk-test-import-00000000000000000001\n" + keyNumber(1) + "\nbad key\nsk-test-import-00000000000000000002\n"
	r := s.run(t, text, words("keys import - --tag imported --account org-x --weight 7")...)
	for _, want := range []string{"3\tcreated\t", "4\texists\ta\t", "5\tinvalid\t", "6\tcreated\t"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in %s", want, r.out)
		}
	}
	if r.code != cli.Failed || !strings.Contains(r.err, "2 created, 1 exist already, 1 invalid") {
		t.Errorf("ended with %d, %s", r.code, r.err)
	}
	s.ok(t, "", words("keys list --tag imported --account org-x"), "\t7\t")
	s.ok(t, `["sk-test-import-00000000000000000003", {"key":"sk-test-import-00000000000000000004","id":"four"}]`, words("keys import -"), "2\tcreated\tfour")
	s.ok(t, "", words("keys list --all --limit 1 --sort -id"), "four")
	s.fails(t, cli.Failed, words("keys import /nonexistent"), "no such file")
	if strings.Contains(s.said.String(), "sk-test-import") || strings.Contains(s.said.String(), "bad key") {
		t.Errorf("what was imported is printed: %s", s.said.String())
	}
}

// What is wrong with a command line is told with what there is, and ends with 2.
func TestMisuse(t *testing.T) {
	s := shellFor("http://127.0.0.1:1")
	for line, want := range map[string]string{
		"keys":                                     "list, show, add",
		"keys lst":                                 "list, show, add",
		"keys list --stat active":                  "there is no flag --stat; there are --account",
		"keys show":                                "usage: openai-api-proxy keys show",
		"keys show a b":                            "usage: ",
		"keys add --weight much":                   "whole number",
		"keys add --set key=sk-test-x":             "history of your shell",
		"keys add sk-test-on-the-line":             "usage: ",
		"keys add":                                 "no key was given",
		"keys test":                                "say --all",
		"keys test a --all":                        "not both",
		"settings set strategy":                    "strategy=weighted",
		"stats --url ftp://host":                   "must be like",
		"stats --url http://user:pw@host":          "must be like",
		"keys list --limit 0":                      "at least 1",
		"clients rotate":                           "usage: ",
		"doctor --quick extra":                     "usage: ",
		"requests --limit -1":                      "negative",
		"objects":                                  "list, adopt, disown",
		"objects list --family file":               "either --client or --group",
		"objects list --client mine":               "--family",
		"objects adopt --client mine x":            "--account",
		"objects adopt --account a x":              "either --client or --group",
		"objects disown --client a --group b x":    "either --client or --group",
		"objects adopt --client mine --account a":  "usage: ",
		"objects adopt --client m --account a - x": "not both",
		"objects disown --client mine -":           "no id was given",
		"doctor --advertise x --url http:/":        "must be like",
	} {
		r := s.fails(t, cli.Misuse, words(line), want)
		if strings.Contains(r.err, "sk-test") {
			t.Errorf("%s repeats a secret: %s", line, r.err)
		}
	}
}

// Every command that the help names has help of its own, which names its flags.
func TestHelp(t *testing.T) {
	s := shellFor("http://127.0.0.1:1")
	all := 0
	for line := range strings.Lines(cli.Help()) {
		name, about, found := strings.Cut(strings.TrimSpace(line), "  ")
		if !strings.HasPrefix(line, "  ") || !found {
			continue
		}
		all++
		if !cli.Knows(words(name)[0]) || about == "" {
			t.Errorf("%q is not known", name)
		}
		if name == "settings" {
			continue // the help of all that begins so
		}
		s.ok(t, "", append(words(name), "--help"), "usage: openai-api-proxy "+name, "--url address", "--json")
	}
	if all < 25 {
		t.Errorf("only %d commands", all)
	}
	s.ok(t, "", words("keys help"), "keys import", "ADMIN_TOKEN_FILE")
	if text := cli.Help("keys", "add"); !strings.Contains(text, "history") || !strings.Contains(text, "--key-file file") {
		t.Errorf("the help of keys add: %s", text)
	}
}

// Whoever cannot be asked is named.
func TestWhoDoesNotAnswer(t *testing.T) {
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	dead := "http://" + l.Addr().String()
	l.Close()
	s := shellFor(dead)
	r := s.fails(t, cli.Failed, words("stats"), dead+"/api/stats cannot be reached: ")
	if strings.Count(r.err, "\n") != 1 {
		t.Errorf("more than one line: %q", r.err)
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/replicas" {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
			return
		}
		w.Write([]byte("<html>"))
	}))
	defer other.Close()
	s.fails(t, cli.Failed, []string{"stats", "--url", other.URL}, "something else than the management API")
	s.fails(t, cli.Failed, []string{"replicas", "--url", other.URL}, "302 Found")

	p := start(t, map[string]string{"ADMIN_ADDR": "127.0.0.1:0"})
	s.fails(t, cli.Failed, []string{"stats", "--url", p.url}, "ADMIN_ADDR")
	s.ok(t, "", []string{"stats", "--url", "http://" + p.AdminAddr()})
	s.env["ADMIN_TOKEN"] = "sk-test-wrong-0000000000000000000001"
	s.fails(t, cli.Failed, []string{"stats", "--url", "http://" + p.AdminAddr()}, "the admin token is not accepted")
	if strings.Contains(s.said.String(), "sk-test") {
		t.Errorf("a token is printed: %s", s.said.String())
	}
}

// A single developer types nothing: the token is where the proxy keeps it. It is shown to nobody but this machine.
func TestWhereTheTokenIs(t *testing.T) {
	dir := t.TempDir()
	p := start(t, map[string]string{"ADMIN_TOKEN": "", "DATA_DIR": dir})
	s := shellFor(p.url)
	delete(s.env, "ADMIN_TOKEN")
	s.fails(t, cli.Failed, words("replicas"), "there is no admin token: set ADMIN_TOKEN or ADMIN_TOKEN_FILE")
	s.env["DATA_DIR"] = dir
	s.ok(t, "", words("replicas"))
	s.fails(t, cli.Failed, words("replicas --url http://proxy.invalid"), "there is no admin token")
	s.env["ADMIN_TOKEN_FILE"] = filepath.Join(dir, "admin-token")
	s.env["DATA_DIR"] = ""
	s.ok(t, "", words("replicas"))
	s.env["ADMIN_TOKEN"] = adminToken
	s.fails(t, cli.Misuse, words("replicas"), "both set")
}

// Who follows sees each request once, also over a restart of the proxy.
func TestFollow(t *testing.T) {
	dir, up := t.TempDir(), upstream(t)
	env := map[string]string{"DATA_DIR": dir, "OPENAI_BASE_URL": up}
	p := start(t, env)
	env["LISTEN_ADDR"] = p.Addr()
	old := p.chat(t)
	s, out := shellFor(p.url), new(buffer)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan result, 1)
	go func() { ended <- s.runUntil(ctx, out, "", "requests", "--follow", "--client", "mine") }()
	see := func(id string) {
		eventually(t, "the request is seen", func() bool { return strings.Contains(out.String(), id) })
	}
	see(old)
	first := p.chat(t)
	see(first)
	p.Stop()
	p = start(t, env)
	second := p.chat(t)
	see(second)
	stop()
	if r := <-ended; r.code != cli.Done || strings.Count(r.out, "AT\tSTATUS") != 1 {
		t.Errorf("ended with %d: %s%s", r.code, r.out, r.err)
	}
	for _, id := range []string{old, first, second} {
		if n := strings.Count(out.String(), id); n != 1 {
			t.Errorf("%s was seen %d times", id, n)
		}
	}
}

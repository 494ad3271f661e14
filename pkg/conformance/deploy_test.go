package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"openai-api-proxy/pkg/redistest"
)

const deployGuide = "docs/deploy.md"

// elsewhere begins a line that needs a machine, a cloud or an image engine that is not here.
var elsewhere = regexp.MustCompile(`^(docker|fly|helm|kubectl|sudo (systemctl|journalctl|iptables|netfilter-persistent|apt-get|certbot)) `)

func TestBothDeployGuidesHaveTheSameExamples(t *testing.T) {
	english, chinese := examples(t, deployGuide), examples(t, "docs/deploy.zh-CN.md")
	if len(english) < 15 || !slices.Equal(english, chinese) {
		t.Errorf("%d examples and %d, or they differ", len(english), len(chinese))
	}
}

// guide runs the examples of the guide by their names. What can run here is marked bash and named, all else sh.
type guide struct {
	text map[string]string
	ran  map[string]bool
}

func readGuide(t *testing.T) *guide {
	t.Helper()
	g := &guide{map[string]string{}, map[string]bool{"unpack": true}} // deploy/release runs that one, on a real archive
	for _, e := range examples(t, deployGuide) {
		switch {
		case e.language == "bash" && e.name != "" && g.text[e.name] == "":
			g.text[e.name] = strings.ReplaceAll(e.text, "sk-...", keyA)
		case e.language == "sh":
			for line := range strings.Lines(e.text) {
				if !elsewhere.MatchString(line) {
					t.Errorf("this could run here: %s", line)
				}
			}
		case e.language != "powershell":
			t.Errorf("no name, or one that is taken: %s\n%s", e.name, e.text)
		}
	}
	return g
}

// script is what a reader would type, with names of this test in the place of the guide's.
func (g *guide) script(t *testing.T, name string, replace ...string) string {
	t.Helper()
	text, found := g.text[name]
	for i := 0; i < len(replace); i += 2 {
		found = found && strings.Contains(text, replace[i])
	}
	if !found {
		t.Fatalf("the guide has no example %s, or without %q", name, replace)
	}
	g.ran[name] = true
	return strings.NewReplacer(replace...).Replace(text)
}

// run runs it in a folder; the program is on the path, and nobody needs to be root.
func (g *guide) run(t *testing.T, dir, script string, env ...string) (string, error) {
	t.Helper()
	p := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c",
		"sudo() { \"$@\"; }\n"+strings.ReplaceAll(script, "curl ", "curl -sS --fail-with-body "))
	p.Dir = dir
	p.Env = append([]string{"PATH=" + binaries + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	out, err := p.CombinedOutput()
	return string(out), err
}

// prints fails the test unless the example does what it says.
func (g *guide) prints(t *testing.T, dir, script string, env []string, want ...string) {
	t.Helper()
	out, err := g.run(t, dir, script, env...)
	if err != nil {
		t.Errorf("%v\n%s\n%s", err, script, out)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Errorf("no %q in\n%s", w, out)
		}
	}
}

// Every command of the guide that can run here does what the guide says of it.
func TestDeployGuide(t *testing.T) {
	g := readGuide(t)
	mock := startMock(t)
	t.Run("reach", func(t *testing.T) { g.reach(t, mock) })
	t.Run("serve", func(t *testing.T) { g.serve(t, mock) })
	t.Run("remote", func(t *testing.T) { g.remote(t) })
	t.Run("v1", func(t *testing.T) { g.v1(t, mock) })
	t.Run("build", func(t *testing.T) {
		g.prints(t, "../..", g.script(t, "build"), []string{"HOME=" + os.Getenv("HOME")}, "")
	})
	t.Run("install", func(t *testing.T) { g.install(t, mock) })
	t.Run("fronts", g.fronts)
	for name := range g.text {
		if !g.ran[name] {
			t.Errorf("nobody has run %s", name)
		}
	}
}

func (g *guide) reach(t *testing.T, mock string) {
	script := g.script(t, "reach")
	g.prints(t, t.TempDir(), script, []string{"OPENAI_BASE_URL=" + mock}, "connected to", "200", "\tok\t")
	nobody := "http://127.0.0.1:" + redistest.FreePort(t)
	if out, err := g.run(t, t.TempDir(), script, "OPENAI_BASE_URL="+nobody); err == nil || !strings.Contains(out, "FAILED") {
		t.Errorf("nobody listens there, yet: %v\n%s", err, out)
	}
}

// serve starts the proxy as the guide does, and asks it as the guide does.
func (g *guide) serve(t *testing.T, mock string) {
	port := redistest.FreePort(t)
	p := exec.Command("bash", "-euc", g.script(t, "serve", "\nopenai-api-proxy", "\nexec openai-api-proxy"))
	g.start(t, p, port, "PORT="+port, "OPENAI_BASE_URL="+mock)
	g.prints(t, t.TempDir(), g.script(t, "first", "127.0.0.1:10000", "127.0.0.1:"+port), []string{"OPENAI_API_KEY=" + keyA},
		`"status":"ok"`, `"chat.completion"`, "data: [DONE]")
}

// start runs a proxy until the end of the test; the program is on its path.
func (g *guide) start(t *testing.T, p *exec.Cmd, port string, env ...string) {
	t.Helper()
	await(t, "http://127.0.0.1:"+port+"/readyz", append(env, "PATH="+binaries+":"+os.Getenv("PATH")), p)
}

// remote is what is done from one's own computer to a proxy elsewhere.
func (g *guide) remote(t *testing.T) {
	const admin = "sk-test-guide-admin-000000001"
	r := start(t, "OPENAI_API_KEYS=", "CLIENT_TOKENS=", "OPENAI_API_KEY="+keyA, "ADMIN_TOKEN="+admin)
	g.prints(t, t.TempDir(), g.script(t, "remote", "https://my-proxy.onrender.com", r.url, "ADMIN_TOKEN=...", "ADMIN_TOKEN="+admin),
		nil, "1 accepted, 0 not")
	g.prints(t, t.TempDir(), g.script(t, "clients", "https://your.domain", r.url, "ADMIN_TOKEN=...", "ADMIN_TOKEN="+admin), nil, "alice")
}

// v1 is a proxy that was given what the first generation knew, asked as its callers ask.
func (g *guide) v1(t *testing.T, mock string) {
	port := redistest.FreePort(t)
	g.start(t, exec.Command(filepath.Join(binaries, "openai-api-proxy")), port, "OPENAI_API_KEY="+keyA, "PORT="+port, "OPENAI_BASE_URL="+mock)
	g.prints(t, t.TempDir(), g.script(t, "v1", "127.0.0.1:10001", "127.0.0.1:"+port), []string{"OPENAI_API_KEY=" + keyA}, `"chat.completion"`)
}

// place makes the folders of a system below a folder of the test, and tells how to speak of them.
func place(t *testing.T, folders ...string) (dir string, replace []string) {
	t.Helper()
	dir = t.TempDir()
	for _, f := range folders {
		if err := os.MkdirAll(filepath.Join(dir, f), 0o755); err != nil {
			t.Fatal(err)
		}
		top := "/" + strings.Split(f, "/")[0] + "/"
		if !slices.Contains(replace, " "+top) {
			replace = append(replace, " "+top, " "+dir+top)
		}
	}
	return dir, replace
}

// unpacked is the folder of an archive: the program and what is shipped beside it.
func unpacked(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(binaries, "openai-api-proxy"), filepath.Join(dir, "openai-api-proxy")); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"deploy/systemd", "deploy/nginx", "deploy/caddy"} {
		if err := os.CopyFS(filepath.Join(dir, folder), os.DirFS(filepath.Join("../..", folder))); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// install follows the guide on a Linux server, then starts what systemd would: the program of the unit with its variables.
func (g *guide) install(t *testing.T, mock string) {
	dir, replace := place(t, "usr/local/bin", "etc/systemd/system")
	g.prints(t, unpacked(t), g.script(t, "install", replace...), nil)
	text, err := os.ReadFile(filepath.Join(dir, "etc/systemd/system/openai-api-proxy.service"))
	if err != nil {
		t.Fatal(err)
	}
	port, program, env := redistest.FreePort(t), []string(nil), []string(nil)
	for line := range strings.Lines(string(text)) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), "="); name {
		case "Environment":
			env = append(env, value)
		case "EnvironmentFile":
			env = append(env, variables(t, filepath.Join(dir, value))...)
		case "ExecStart":
			program = strings.Fields(value)
		}
	}
	env = append(env, "OPENAI_BASE_URL="+mock, "LISTEN_ADDR=127.0.0.1:"+port, "DATA_DIR="+t.TempDir())
	g.start(t, exec.Command(filepath.Join(dir, program[0]), program[1:]...), port, env...)
}

// variables are those of an EnvironmentFile, which nobody but root may read.
func variables(t *testing.T, file string) []string {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("%s may be read: %v", file, info.Mode())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// fronts lets Caddy and nginx read what the guide installs. What they do under load, pkg/rollout shows.
func (g *guide) fronts(t *testing.T) {
	_, replace := place(t, "etc/caddy")
	g.prints(t, unpacked(t), g.script(t, "caddy", replace...), nil, "Valid configuration")

	dir, replace := place(t, "etc/nginx/conf.d", "etc/letsencrypt/live/your.domain")
	conf := fmt.Sprintf("daemon off; pid %[1]s/pid; error_log stderr; events {}\nhttp { include %[1]s/etc/nginx/conf.d/*.conf; }\n", dir)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	// Certificates and ports of this test; certbot and root have their own.
	here := fmt.Sprintf(`cd %[1]s/etc/letsencrypt/live/your.domain
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=your.domain -keyout privkey.pem -out fullchain.pem 2>/dev/null
sed -i 's#/etc/letsencrypt#%[1]s&#; s/listen 443/listen 127.0.0.1:%[2]s/; s/listen 80;/listen 127.0.0.1:%[3]s;/' %[1]s/etc/nginx/conf.d/*.conf
nginx -p %[1]s -c %[1]s/nginx.conf -t`, dir, redistest.FreePort(t), redistest.FreePort(t))
	g.prints(t, unpacked(t), g.script(t, "nginx", append(replace, "sudo nginx -t", here)...), nil, "syntax is ok")
}

package config

import (
	"bufio"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"openai-api-proxy/pkg/proxy"
)

const testKey = "sk-test-environment-0001"

func TestOnlyAKey(t *testing.T) {
	c := load(t, vars{"OPENAI_API_KEY": testKey, "CONFIG_FILE": "", "LISTEN_ADDR": "", "DRAIN_TIMEOUT": ""}.files(nil))
	if len(c.Keys) != 1 || len(c.Clients) != 0 || len(c.Warnings) != 0 || c.File != "" {
		t.Fatalf("%+v", c)
	}
	k := *c.Keys[0]
	id := "key-" + proxy.NewSecret(testKey).Fingerprint()
	if k.ID != id || k.Account != id || k.Secret.Reveal() != testKey || k.Weight != 1 || !k.Enabled ||
		k.Endpoint != "https://api.openai.com" || k.Source != "environment" {
		t.Errorf("%+v", k)
	}
	if c.Listen != ":10000" || c.DataDir != "data" || c.MaxBodyBytes != 512<<20 || c.StreamIdleTimeout != 5*time.Minute ||
		c.DrainTimeout != 30*time.Second || c.LogLevel != slog.LevelInfo || c.LogFormat != "" || c.RedisPrefix != "oap" ||
		!slices.Equal(c.CORSOrigins, []string{"*"}) || c.TrustedProxies != nil {
		t.Errorf("defaults: %+v", c)
	}
}

func TestVariables(t *testing.T) {
	for _, c := range []struct {
		name, text string
		line       string // what it prints as, or
		mistake    string // what is said of it
	}{
		{"PORT", "8080", "listen: :8080", ""},
		{"PORT", "0", "", "must be between 1 and 65535"},
		{"PORT", "65536", "", "must be between 1 and 65535"},
		{"PORT", "http", "", "must be a whole number in plain digits"},
		{"PORT", "+80", "", "must be a whole number in plain digits"},
		{"LISTEN_ADDR", "127.0.0.1:0", "listen: 127.0.0.1:0", ""},
		{"LISTEN_ADDR", "[::1]:80", "listen: [::1]:80", ""},
		{"LISTEN_ADDR", "127.0.0.1", "", "must be host:port, such as 127.0.0.1:10000, [::1]:10000 or :10000"},
		{"LISTEN_ADDR", "http://a:80", "", "must be host:port, such as 127.0.0.1:10000, [::1]:10000 or :10000"},
		{"LISTEN_ADDR", "a:b", "", "the port must be a whole number in plain digits"},
		{"LISTEN_ADDR", ":70000", "", "the port must be between 0 and 65535"},
		{"ADMIN_ADDR", "127.0.0.1:9000", "adminAddr: 127.0.0.1:9000", ""},
		{"ADMIN_ADDR", ":10000", "", "is the address that callers use; choose another port"},
		{"OPENAI_BASE_URL", "https://API.example.com/v1", "baseUrl: https://api.example.com", ""},
		{"OPENAI_BASE_URL", "https://api.example.com/", "baseUrl: https://api.example.com", ""},
		{"OPENAI_BASE_URL", "http://127.0.0.1:9100/x/v1/", "baseUrl: http://127.0.0.1:9100/x", ""},
		{"OPENAI_BASE_URL", "http://[fe80::1%25eth0]/", "", "has empty, dotted or escaped parts"},
		{"OPENAI_BASE_URL", "https://a//v1", "", "has empty, dotted or escaped parts"},
		{"REDIS_PREFIX", "{x}", "", "must be 1 to 64 letters, digits, dots, dashes or underscores"},
		{"REQUIRE_REDIS", "false", "requireRedis: false", ""},
		{"REQUIRE_REDIS", "yes", "", "must be true or false"},
		{"REQUIRE_REDIS", "true", "", "is set, but REDIS_URL is not: each replica would be a world of its own"},
		{"REDIS_URL", "redis://localhost:6379", "redisUrl: red...6379 (60ea7b7ca1)", ""},
		{"REDIS_URL", "localhost:6379", "", "must be redis://host:port or rediss://host:port"},
		{"ENCRYPTION_KEY", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "encryptionKeys: [secret:bf9e5cb7da]", ""},
		{"ENCRYPTION_KEY", "MDEy", "", "entry 1 must be 32 bytes in base64; make them with `openssl rand -base64 32`"},
		{"DATA_DIR", "/var/lib/oap", "dataDir: /var/lib/oap", ""},
		{"DATA_DIR", "", "dataDir: (none)", ""},
		{"ADMIN_TOKEN", "0123456789abcde", "", "must have at least 16 characters; make one with `openssl rand -hex 16`"},
		{"ADMIN_TOKEN", "0123456789 abcdef", "",
			"must be printable ASCII without spaces, since it goes into a header; byte 11 is not"},
		{"ADMIN_TOKEN", testKey, "", "is an upstream key, which callers may hold; choose another"},
		{"TRUSTED_PROXIES", "10.1.2.3/8, 192.0.2.1", "trustedProxies: [10.0.0.0/8 192.0.2.1/32]", ""},
		{"TRUSTED_PROXIES", "10.0.0.0/8,", "", "entry 2 must be an address or a range, such as 192.0.2.1 or 10.0.0.0/8"},
		{"CORS_ORIGINS", "https://A.example, http://b.example:8080",
			"corsOrigins: [https://a.example http://b.example:8080]", ""},
		{"CORS_ORIGINS", "https://a.example/", "",
			"entry 1 must be scheme://host[:port] without a path, such as https://app.example; or all of it *"},
		{"CORS_ORIGINS", "https://a.example,*", "",
			"entry 2 must be scheme://host[:port] without a path, such as https://app.example; or all of it *"},
		{"DRAIN_TIMEOUT", "10m", "drainTimeout: 10m0s", ""},
		{"DRAIN_TIMEOUT", "0s", "drainTimeout: 0s", ""},
		{"DRAIN_TIMEOUT", "30", "", "needs a unit: write 30s or 5m"},
		{"DRAIN_TIMEOUT", "soon", "", "must be a duration such as 30s or 5m"},
		{"DRAIN_TIMEOUT", "-1s", "", "must be between 0s and 24h0m0s"},
		{"STREAM_IDLE_TIMEOUT", "0s", "", "must be between 1ms and 24h0m0s"},
		{"MAX_BODY_BYTES", "1048576", "maxBodyBytes: 1048576", ""},
		{"MAX_BODY_BYTES", "3KiB", "maxBodyBytes: 3072", ""},
		{"MAX_BODY_BYTES", "2 GiB", "maxBodyBytes: 2147483648", ""},
		{"MAX_BODY_BYTES", "0", "", "must be between 1 and 1099511627776 bytes"},
		{"MAX_BODY_BYTES", "999999999999999 GiB", "", "must be between 1 and 1099511627776 bytes"},
		{"MAX_BODY_BYTES", "1 MB", "", "must be a number of bytes such as 1048576, 512 KiB, 512 MiB or 1 GiB"},
		{"REQUESTS_KEPT", "1000", "requestsKept: 1000", ""},
		{"REQUESTS_KEPT", "999", "", "must be between 1000 and 10000000"},
		{"REQUESTS_KEPT", "1e6", "", "must be a whole number in plain digits"},
		{"LOG_LEVEL", "debug", "logLevel: debug", ""},
		{"LOG_LEVEL", "warn+2", "", "must be one of debug, info, warn, error"},
		{"LOG_FORMAT", "text", "logFormat: text", ""},
		{"UPSTREAM_HTTP", "1.1", "upstreamHTTP: 1.1", ""},
		{"UPSTREAM_HTTP", "3", "", "must be one of auto, 1.1"},
		{"LOG_FORMAT", "xml", "", "must be one of json, text"},
		{"OPENAI_API_KEYS", "sk-test-x", "",
			"is not JSON: invalid character 's' looking for beginning of value (line 1, column 1)"},
		{"OPENAI_API_KEYS", `{"key":"sk-test-x"}`, "", "must be a list [...]"},
		{"OPENAI_API_KEYS", `[{"key":"a","key":"b"}]`, "",
			"this field was set before, in line 1, column 3 (line 1, column 13)"},
	} {
		t.Run(c.name+"="+c.text, func(t *testing.T) {
			src := vars{"OPENAI_API_KEY": testKey, c.name: c.text}.files(nil)
			if c.mistake != "" {
				if got, want := mistakes(t, src), c.name+": "+c.mistake; got != want {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
				return
			}
			if got := printed(t, load(t, src)); !strings.Contains(got, "\n"+c.line+"\n") {
				t.Errorf("no line %q in\n%s", c.line, got)
			}
		})
	}
}

// All mistakes come at once: those of the file by line, then those of the environment.
func TestAllMistakesAtOnce(t *testing.T) {
	src := vars{"PORT": "x", "LOG_LEVEL": "loud", "DRAIN_TIMEOUT": "30", "CONFIG_FILE": "/etc/c.yaml",
		"OPENAI_API_KEYS": `[{"key":"sk-test-1"},{"key":"sk-test-2","weigth":2},
			{"key":"sk-test-3","weight":0,"sk-test-4":1}]`,
		"CLIENT_TOKENS": `[{"token":"sk-test"}]`, "OPENAI_API_KEY": "sk test"}.
		files(map[string]string{"/etc/c.yaml": "strategy: none\nkeys: [{id: a}]\nclient: []\n"})
	want := strings.Join([]string{
		`/etc/c.yaml:1:11 strategy: must be one of roundrobin, random, weighted, quota, leastbusy`,
		`/etc/c.yaml:2:8 keys[0]: needs the field "key"`,
		`/etc/c.yaml:3:1 client: unknown field; did you mean "clients"?`,
		`PORT: must be a whole number in plain digits`,
		`DRAIN_TIMEOUT: needs a unit: write 30s or 5m`,
		`LOG_LEVEL: must be one of debug, info, warn, error`,
		`OPENAI_API_KEYS[1].weigth: unknown field; did you mean "weight"?`,
		`OPENAI_API_KEYS[2].weight: must be between 1 and 1000`,
		`OPENAI_API_KEYS[2]: has an unknown field`,
		`OPENAI_API_KEY: must be printable ASCII without spaces, since it goes into a header; byte 3 is not`,
		"CLIENT_TOKENS[0].token: must have at least 16 characters; make one with `openssl rand -hex 16`",
	}, "\n")
	if got := mistakes(t, src); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTwins(t *testing.T) {
	files := map[string]string{"/key": testKey + "\n", "/crlf": testKey + "\r\n", "/two": testKey + "\n\n", "/empty": "\n",
		"/keys": `[{"key":"` + testKey + `","weight":0}]`}
	for _, c := range []struct {
		name    string
		env     vars
		mistake string
	}{
		{"newline", vars{"OPENAI_API_KEY_FILE": "/key"}, ""},
		{"windows", vars{"OPENAI_API_KEY_FILE": "/crlf"}, ""},
		{"empty is not set", vars{"OPENAI_API_KEY_FILE": "/key", "OPENAI_API_KEY": ""}, ""},
		{"two newlines", vars{"OPENAI_API_KEY_FILE": "/two"},
			"OPENAI_API_KEY_FILE: must be printable ASCII without spaces, since it goes into a header; byte 25 is not"},
		{"both", vars{"OPENAI_API_KEY_FILE": "/key", "OPENAI_API_KEY": testKey},
			"OPENAI_API_KEY: is set, and so is OPENAI_API_KEY_FILE; set one of them"},
		{"both, by choice", vars{"OPENAI_API_KEY": testKey, "DATA_DIR": "", "DATA_DIR_FILE": "/key"},
			"DATA_DIR: is set, and so is DATA_DIR_FILE; set one of them"},
		{"a key in place of a path", vars{"OPENAI_API_KEY_FILE": testKey}, "OPENAI_API_KEY_FILE: the file does not exist"},
		{"in a list", vars{"OPENAI_API_KEYS_FILE": "/keys"}, "OPENAI_API_KEYS_FILE[0].weight: must be between 1 and 1000"},
		{"no twin", vars{"OPENAI_API_KEY": testKey, "CONFIG_FILE_FILE": "/absent"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.mistake == "" {
				if k := load(t, c.env.files(files)).Keys; len(k) != 1 || k[0].Secret.Reveal() != testKey {
					t.Errorf("keys: %v", k)
				}
			} else if got := mistakes(t, c.env.files(files)); got != c.mistake {
				t.Errorf("got\n%s\nwant\n%s", got, c.mistake)
			}
		})
	}
	c := load(t, vars{"OPENAI_API_KEY": testKey, "ADMIN_TOKEN_FILE": "/empty", "DATA_DIR_FILE": "/empty"}.files(files))
	want := []string{"ADMIN_TOKEN_FILE: the file is empty, so ADMIN_TOKEN counts as not set"}
	if !slices.Equal(c.Warnings, want) {
		t.Errorf("warnings: %q", c.Warnings)
	}
	if c.DataDir != "" {
		t.Errorf("DATA_DIR is %q", c.DataDir)
	}
}

// Real files and variables, and an error that is the system's own.
func TestFromOS(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, v := range variables {
		t.Setenv(v.name, "")
		t.Setenv(v.name+"_FILE", "")
	}
	t.Setenv("OPENAI_API_KEY_FILE", "key")
	if err := os.WriteFile("key", []byte(testKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c := load(t, FromOS()); c.Keys[0].Secret.Reveal() != testKey {
		t.Errorf("%v", c.Keys[0])
	}
	t.Setenv("OPENAI_API_KEY_FILE", dir)
	if got, want := mistakes(t, FromOS()), "OPENAI_API_KEY_FILE: the file cannot be read: is a directory"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestListenAddr(t *testing.T) {
	env := vars{"PORT": "8080", "DRAIN_TIMEOUT": "wrong"}
	if addr, err := ListenAddr(env.files(nil)); addr != ":8080" || err != nil {
		t.Errorf("%q, %v", addr, err)
	}
	env["LISTEN_ADDR"] = "127.0.0.1:9"
	if addr, err := ListenAddr(env.files(nil)); addr != "127.0.0.1:9" || err != nil {
		t.Errorf("%q, %v", addr, err)
	}
	env["LISTEN_ADDR"] = "9"
	if addr, err := ListenAddr(env.files(nil)); addr != "" || err == nil {
		t.Errorf("%q, %v", addr, err)
	}
}

// The example names every variable that the code knows, in its order, with its default, below a line that says what it
// is for.
func TestExample(t *testing.T) {
	f, err := os.Open("../../.env.example")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	shape := regexp.MustCompile(`^#?([A-Z_]+)=(.*)$`)
	var got, want []string
	var last string
	for lines := bufio.NewScanner(f); lines.Scan(); last = lines.Text() {
		if m := shape.FindStringSubmatch(lines.Text()); m != nil {
			got = append(got, m[1]+"="+m[2])
			if !strings.HasPrefix(last, "# ") {
				t.Errorf("%s is not explained", m[1])
			}
		}
	}
	for _, v := range variables {
		want = append(want, v.name+"="+v.fallback)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

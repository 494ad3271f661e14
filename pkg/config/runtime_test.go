package config

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestReadKey(t *testing.T) {
	k, err := ReadKey([]byte(`{"id":"a","key":"sk-test-runtime-0000000001","weight":3,"tags":["x","y"],"pool":"p"}`),
		"https://api.example.com")
	if err != nil || k.ID != "a" || k.Account != "a" || k.Weight != 3 || len(k.Tags) != 2 || k.Pool != "p" ||
		k.Endpoint != "https://api.example.com" || k.Source != SourceRuntime || !k.Enabled {
		t.Errorf("%+v, %v", k, err)
	}
	for text, want := range map[string]string{
		`{"id":"a"}`: `key: needs the field "key"`,
		`{"key":"sk-test-runtime-0000000001","weight":0}`:       "key.weight: must be between 1 and 1000",
		`{"key":"sk-test-runtime-0000000001","wieght":1}`:       `key.wieght: unknown field; did you mean "weight"?`,
		`{"key":"sk-test-runtime-0000000001","id":"no spaces"}`: "key.id: must be 1 to 64 letters, digits, dots, dashes or underscores",
		`[]`:   "key: must be an object {...}",
		`{"k`:  "key: is not JSON: unexpected end of JSON input (line 1, column 3)",
		`null`: "key: must be an object {...}",
	} {
		if _, err := ReadKey([]byte(text), ""); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

func TestReadClient(t *testing.T) {
	c, err := ReadClient([]byte(`{"id":"team","token":"sk-test-client-00000000001","rpm":5}`))
	if err != nil || c.ID != "team" || c.RPM != 5 || c.Burst != 5 || c.Source != SourceRuntime {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := ReadClient([]byte(`{"id":"team","token":"short"}`)); err == nil {
		t.Error("a short token is taken")
	}
}

func TestOverride(t *testing.T) {
	base := DefaultSettings()
	base.Operations.Allow = []string{"POST /v1/decisions"}
	values := map[string]json.RawMessage{"strategy": []byte(`"random"`), "failover.maxRetries": []byte(`0`),
		"operations.deny": []byte(`["GET /v1/models"]`), "probe.interval": []byte(`0`)}
	got, err := base.Override(values)
	if err != nil || got.Strategy != "random" || got.Failover.MaxRetries != 0 || got.Failover.Deadline != time.Minute ||
		len(got.Operations.Deny) != 1 || len(got.Operations.Allow) != 1 || got.Probe.Interval != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	for name, c := range map[string]struct{ value, want string }{
		"strategy":             {`"best"`, "settings.strategy: must be one of roundrobin, random, weighted, quota, leastbusy"},
		"failover.maxRetries":  {`11`, "settings.failover.maxRetries: must be between 0 and 10"},
		"failover.openTimeout": {`3600000`, "maxRest (600000 ms) must not be below openTimeout (3600000 ms)"},
		"failover.maxRetrys":   {`1`, `settings.failover.maxRetrys: unknown field; did you mean "maxRetries"?`},
		"failover":             {`{"maxRetries":1}`, "settings: failover is no setting; settings in groups are named like failover.maxRetries"},
		"keys":                 {`[]`, "keys is no setting"},
		"a.b.c":                {`1`, "cannot be that of a setting"},
	} {
		if _, err := base.Override(map[string]json.RawMessage{name: []byte(c.value)}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

// Every setting can be overridden by the value that it has.
func TestEverySettingCanBeOverridden(t *testing.T) {
	base := DefaultSettings()
	values := map[string]json.RawMessage{}
	for _, s := range base.List() {
		text, err := json.Marshal(s.Value)
		if err != nil {
			t.Fatal(err)
		}
		values[s.Name] = text
	}
	got, err := base.Override(values)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range got.List() {
		if a, b := mustJSON(t, s.Value), mustJSON(t, base.List()[i].Value); a != b {
			t.Errorf("%s became %s, was %s", s.Name, a, b)
		}
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A proxy that operators can reach may start without a key.
func TestNoKeyYet(t *testing.T) {
	none := "there is no upstream key"
	for name, c := range map[string]struct {
		env   vars
		files map[string]string
		ok    bool
	}{
		"nobody can add one":       {vars{}, nil, false},
		"memory only":              {vars{"DATA_DIR": ""}, nil, false},
		"admin token":              {vars{"ADMIN_TOKEN": "sk-test-admin-0000000001"}, nil, true},
		"admin token made before":  {vars{}, map[string]string{"data/admin-token": "x"}, true},
		"redis, but no token":      {vars{"REDIS_URL": "redis://127.0.0.1"}, map[string]string{"data/admin-token": "x"}, false},
		"redis and an admin token": {vars{"REDIS_URL": "redis://127.0.0.1", "ADMIN_TOKEN": "sk-test-admin-0000000001"}, nil, true},
	} {
		_, err := Load(c.env.files(c.files))
		if c.ok != (err == nil) || err != nil && !strings.Contains(err.Error(), none) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

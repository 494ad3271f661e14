package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// canary stands for a secret. Inputs write it as $, so that the fuzzer keeps it whole wherever it moves it.
const canary = "sk-test-c4n4ry-7Qd81kZ0pX"

// FuzzLoad: whatever the file and the variables hold, Load neither panics nor repeats a secret, in its mistakes, its
// warnings or its print.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/*.json", "testdata/*.yaml"} {
		paths, _ := filepath.Glob(pattern) // the pattern is right, so there is no error
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text, filepath.Ext(path), "", "", "DRAIN_TIMEOUT", "$")
		}
	}
	f.Add([]byte(`{"keys":[{"id":"$","key":"$","note":"$","$":1}]}`), ".json", `[{"key":"$"}]`, `[{"token":"$"}]`,
		"PORT", "$")
	f.Add([]byte("$: [$\n"), ".yaml", "[$]", "$", "OPENAI_API_KEY_FILE", "$")
	f.Add([]byte("keys: [{id: x, key: $, account: $, baseUrl: 'http://$@x'}]\nstrategy: $"), "", "$", "", "LOG_LEVEL", "$")
	f.Fuzz(func(t *testing.T, file []byte, ext, keys, clients, name, text string) {
		const path = "/c"
		fill := func(s string) string { return strings.ReplaceAll(s, "$", canary) }
		files := map[string]string{path + ext: string(bytes.ReplaceAll(file, []byte("$"), []byte(canary)))}
		env := vars{name: fill(text), "CONFIG_FILE": path + ext, "OPENAI_API_KEYS": fill(keys),
			"CLIENT_TOKENS": fill(clients)}
		c, err := Load(env.files(files))
		if err != nil {
			if strings.Contains(err.Error(), canary) && !strings.Contains(ext, canary) {
				t.Errorf("a mistake shows a secret: %v", err)
			}
			return
		}
		if strings.Contains(strings.Join(c.Warnings, "\n"), canary) {
			t.Errorf("a warning shows a secret: %q", c.Warnings)
		}
		out := printed(t, c)
		for _, k := range c.Keys {
			if k.Secret.Reveal() == canary && strings.Contains(out, canary) {
				t.Errorf("a secret is printed:\n%s", out)
			}
			if k.ID == "" || k.Account == "" || k.Endpoint == "" || k.Weight < 1 || k.Secret.IsZero() {
				t.Errorf("half a key: %+v", k)
			}
		}
	})
}

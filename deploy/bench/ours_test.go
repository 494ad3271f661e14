package main

import (
	"os"
	"path/filepath"
	"testing"

	"openai-api-proxy/pkg/config"
)

// The proxy takes the files that are written for it, and finds in them what is to be measured.
func TestSetup(t *testing.T) {
	for name, as := range map[string]setup{"small": small, "alone": {keys: 1, clients: 1}, "many alike": {keys: 3, clients: 150, alike: true},
		"many": {keys: 1000, clients: 200}} {
		path := filepath.Join(t.TempDir(), "config.json")
		tokens, err := as.write(path)
		if err != nil {
			t.Fatal(err)
		}
		env := map[string]string{"CONFIG_FILE": path, "DATA_DIR": ""}
		c, err := config.Load(config.Source{ReadFile: os.ReadFile, Env: func(name string) (string, bool) {
			value, set := env[name]
			return value, set
		}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(c.Keys) != as.keys || len(c.Clients) != as.clients || len(tokens) != as.clients {
			t.Errorf("%s: %d keys, %d clients, %d tokens", name, len(c.Keys), len(c.Clients), len(tokens))
		}
		strict := 0
		for _, one := range c.Clients {
			if one.Concurrency > 0 {
				strict++
			}
		}
		if want := min(max(as.clients-1, 0), 1); as.alike && strict > 0 || !as.alike && strict != want {
			t.Errorf("%s: %d clients ask Redis for every request", name, strict)
		}
	}
}

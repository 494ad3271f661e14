package config

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

func TestWhichFile(t *testing.T) {
	const inJSON = `{"strategy":"random"}`
	const inYAML = "strategy: random\n"
	for _, c := range []struct {
		name, file, text string // file "": none is named
		strategy         string // or
		mistake          string
	}{
		{"default", "", inJSON, "random", ""},
		{"json", "x.JSON", inJSON, "random", ""},
		{"yaml", "x.yaml", inYAML, "random", ""},
		{"json called yaml", "x.yml", inJSON, "random", ""},
		{"byte order mark", "x.json", "\ufeff" + inJSON, "random", ""},
		{"json by its looks", "x.conf", " \n" + inJSON, "random", ""},
		{"yaml by its looks", "x", inYAML, "random", ""},
		{"empty json", "x.json", " \n", "roundrobin", ""},
		{"only a comment", "x.yaml", "# nothing yet\n", "roundrobin", ""},
		{"comment before the document", "x.yaml", "# nothing yet\n---\nstrategy: random\n---\n", "random", ""},
		{"yaml called json", "x.json", inYAML, "",
			"x.json:1:1: is not JSON: invalid character 's' looking for beginning of value"},
		{"cut json", "x.json", `{"strategy"`, "", "x.json:1:11: is not JSON: unexpected end of JSON input"},
		{"two texts", "x.json", inJSON + inJSON, "", "x.json:1:22: is not JSON: invalid character '{' after top-level value"},
		{"directive", "x.yaml", "%YAML 1.2\n---\n" + inYAML, "",
			"x.yaml:1:1: anchors, aliases, tags and directives are not read here; write the value itself\n" +
				"x.yaml:3:9: a file has one document; put all settings into the first"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := c.file
			if path == "" {
				path = defaultFile
			}
			src := vars{"OPENAI_API_KEY": testKey, "CONFIG_FILE": c.file}.files(map[string]string{"/app/" + path: c.text})
			src.Dir = "/app"
			if c.mistake != "" {
				if got := mistakes(t, src); got != c.mistake {
					t.Errorf("got\n%s\nwant\n%s", got, c.mistake)
				}
				return
			}
			if got := load(t, src); got.Strategy != c.strategy || got.File != "/app/"+path {
				t.Errorf("strategy %s from %s", got.Strategy, got.File)
			}
		})
	}
}

// What cannot be read is a mistake, alone: nobody knows whether it has keys.
func TestUnreadableFile(t *testing.T) {
	denied := func(string) ([]byte, error) {
		return nil, fmt.Errorf("opening %s: %w", testKey, fs.ErrPermission)
	}
	for _, c := range []struct{ name, want string }{
		{"", "config.multi.json: the file cannot be read"},
		{testKey, "CONFIG_FILE: the file cannot be read"},
	} {
		src := vars{"CONFIG_FILE": c.name}.files(nil)
		src.ReadFile = denied
		if got := mistakes(t, src); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
	if got := mistakes(t, vars{"CONFIG_FILE": testKey}.files(nil)); got != "CONFIG_FILE: the file does not exist" {
		t.Error(got)
	}
	if got := mistakes(t, vars{}.files(nil)); !strings.HasPrefix(got, "OPENAI_API_KEY: there is no upstream key: set ") {
		t.Error(got)
	}
}

func TestDidYouMean(t *testing.T) {
	known := []string{"id", "key", "weight", "replayBytes"}
	for name, want := range map[string]string{
		"wieght": "weight", "Weight": "weight", "replay_bytes": "replayBytes", "keys": "key", "ids": "id",
		"weightless": "", "x": "", "": "", "account": "",
	} {
		if want != "" {
			want = `; did you mean "` + want + `"?`
		}
		if got := didYouMean(name, known); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

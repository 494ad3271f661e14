package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/seal"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/memstate"
)

// What is no secret is shown and logged, so no field may hold one: its own, or one that somebody else has.
func TestMisplacedSecrets(t *testing.T) {
	const own, client = "sk-test-own-key-0000000000001", "sk-test-client-token-00000001"
	r := open(t, memstate.New(), boxOf(t, seal.NewKey()), "keys: [{id: of-file, key: "+fileKey+"}]")
	if _, _, err := r.AddClient(t.Context(), operator, json.RawMessage(`{"id":"c","token":"`+client+`"}`)); err != nil {
		t.Fatal(err)
	}
	refused := func(err error, what string) {
		t.Helper()
		var f *proxy.Fault
		if !errors.As(err, &f) || f.Kind != proxy.InvalidRequest {
			t.Errorf("%s: %v", what, err)
		} else if strings.Contains(f.Error(), "sk-test") {
			t.Errorf("%s is repeated: %v", what, f)
		}
	}
	for field, value := range map[string]string{"id": `"` + own + `"`, "account": `"` + fileKey + `"`, "pool": `"` + client + `"`,
		"note": `"the key ` + own + ` of the team"`, "tags": `["a","` + own + `"]`, "organization": `"` + own + `"`, "project": `"sk-test-admin-000000000001"`} {
		spec := fmt.Sprintf(`{"key":%q,%q:%s}`, own, field, value)
		added, err := r.AddKeys(t.Context(), operator, []json.RawMessage{json.RawMessage(spec)})
		if err == nil {
			err = added[0].Err
		}
		refused(err, "the "+field+" of a key")
	}
	added, err := r.AddKeys(t.Context(), operator, []json.RawMessage{json.RawMessage(`{"key":"` + own + `","note":"own key of the team"}`)})
	if err != nil || added[0].Err != nil {
		t.Fatal(err, added)
	}
	refused(r.PatchKey(t.Context(), operator, added[0].ID, json.RawMessage(`{"note":"`+own+`"}`), state.Anything), "a changed note")
	_, _, err = r.AddClient(t.Context(), operator, json.RawMessage(`{"id":"`+own+`"}`))
	refused(err, "the id of a client")
	refused(r.PatchClient(t.Context(), operator, "c", json.RawMessage(`{"pool":"`+client+`"}`), state.Anything), "a changed pool")
}

// Of two keys with one secret that of the file stays, of two others the one with the smaller id; ids are unique.
func TestUnique(t *testing.T) {
	r := open(t, memstate.New(), nil, "")
	key := func(id, secret, source string) Key {
		return Key{Key: &proxy.Key{ID: id, Secret: proxy.NewSecret(secret), Source: source}}
	}
	var got []string
	for _, k := range r.unique([]Key{key("z", "s1", "file"), key("b", "s2", "api"), key("a", "s2", "api"), key("m", "s1", "api"),
		key("y", "s3", "api"), key("y", "s4", "environment"), key("c", "s5", "api")}) {
		got = append(got, k.ID+"/"+k.Secret.Reveal())
	}
	if text := strings.Join(got, " "); text != "a/s2 c/s5 y/s4 z/s1" {
		t.Errorf("kept %s", text)
	}
}

package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/seal"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/memstate"
)

var operator = Actor{Name: "admin", Address: "192.0.2.1"}

const fileKey = "sk-test-of-the-file-00000000001"

// loaded is what a file says.
func loaded(t testing.TB, file string) *config.Config {
	t.Helper()
	cfg, err := config.Load(config.Source{
		Env: func(name string) (string, bool) {
			v, ok := map[string]string{"CONFIG_FILE": "c.yaml", "DATA_DIR": "", "ADMIN_TOKEN": "sk-test-admin-000000000001"}[name]
			return v, ok
		},
		ReadFile: func(path string) ([]byte, error) {
			if path == "c.yaml" {
				return []byte(file), nil
			}
			return nil, os.ErrNotExist
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func boxOf(t testing.TB, keys ...proxy.Secret) *seal.Box {
	t.Helper()
	box, err := seal.New(keys)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

// rig is a catalog and what it put in force.
type rig struct {
	*Catalog
	applied []*Snapshot
}

func open(t testing.TB, store state.Catalog, box *seal.Box, file string) *rig {
	t.Helper()
	r := new(rig)
	r.Catalog = New(loaded(t, file), Options{Store: store, Box: box, Apply: func(s *Snapshot) { r.applied = append(r.applied, s) },
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
	if err := r.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func kindOf(err error) proxy.Kind {
	var f *proxy.Fault
	if errors.As(err, &f) {
		return f.Kind
	}
	return ""
}

func (r *rig) add(t testing.TB, specs ...string) []Added {
	t.Helper()
	raw := make([]json.RawMessage, len(specs))
	for i, s := range specs {
		raw[i] = json.RawMessage(s)
	}
	added, err := r.AddKeys(t.Context(), operator, raw)
	if err != nil {
		t.Fatal(err)
	}
	return added
}

const oneKey = "keys: [{id: filed, key: " + fileKey + "}]"

func TestKeys(t *testing.T) {
	store := memstate.New()
	r := open(t, store, boxOf(t, seal.NewKey()), oneKey)
	added := r.add(t, `{"id":"a","key":"sk-test-runtime-a-000000001","weight":2,"tags":["x"]}`,
		`{"key":"sk-test-runtime-b-000000001"}`,
		`{"id":"a","key":"sk-test-runtime-c-000000001"}`,
		`{"id":"again","key":"sk-test-runtime-a-000000001"}`,
		`{"id":"filed","key":"sk-test-runtime-d-000000001"}`,
		`{"id":"copy","key":"`+fileKey+`"}`,
		`{"id":"bad","key":"sk-test-runtime-e-000000001","weight":0}`)
	for i, want := range []proxy.Kind{"", "", proxy.Conflict, proxy.Conflict, proxy.Conflict, proxy.Conflict, proxy.InvalidRequest} {
		if got := kindOf(added[i].Err); got != want {
			t.Errorf("key %d: %v, want %q", i, added[i].Err, want)
		}
		if added[i].Err != nil && strings.Contains(added[i].Err.Error(), "sk-test") {
			t.Errorf("the refusal repeats the secret: %v", added[i].Err)
		}
	}
	now := r.Current()
	if len(now.Keys) != 3 || !strings.HasPrefix(added[1].ID, "key-") {
		t.Fatalf("%d keys, %v", len(now.Keys), added)
	}
	a, _ := now.Key("a")
	if a.Weight != 2 || a.Source != config.SourceRuntime || a.Endpoint != "https://api.openai.com" || a.Created.IsZero() {
		t.Errorf("%+v", a)
	}
	if err := r.PatchKey(t.Context(), operator, "a", []byte(`{"weight":5,"tags":null,"note":"n"}`), a.Revision); err != nil {
		t.Fatal(err)
	}
	if k, _ := r.Current().Key("a"); k.Weight != 5 || k.Tags != nil || k.Note != "n" || k.Secret != a.Secret {
		t.Errorf("%+v", k)
	}
	for patch, want := range map[string]proxy.Kind{`{"weight":6}`: proxy.Conflict, `{"id":"z"}`: proxy.InvalidRequest, `[]`: proxy.InvalidRequest,
		`{"key":"` + fileKey + `"}`: proxy.Conflict, `{"weight":"many"}`: proxy.InvalidRequest} {
		if err := r.PatchKey(t.Context(), operator, "a", []byte(patch), a.Revision); kindOf(err) != want {
			t.Errorf("%s at an old revision: %v", patch, err)
		}
	}
	if err := r.DeleteKeys(t.Context(), operator, []string{"a", "filed"}, state.Anything); kindOf(err) != proxy.Conflict || len(r.Current().Keys) != 3 {
		t.Errorf("a key of the file was deleted: %v", err)
	}
	if err := r.DeleteKeys(t.Context(), operator, []string{"a"}, state.Anything); err != nil || len(r.Current().Keys) != 2 {
		t.Errorf("%v", err)
	}
	if err := r.PatchKey(t.Context(), operator, "a", []byte(`{}`), state.Anything); kindOf(err) != proxy.NotFound {
		t.Errorf("%v", err)
	}
}

// Keys of the file can be disabled at run time, and nothing else.
func TestKeysOfTheFile(t *testing.T) {
	r := open(t, memstate.New(), nil, oneKey)
	if err := r.PatchKey(t.Context(), operator, "filed", []byte(`{"weight":2}`), state.Anything); kindOf(err) != proxy.Conflict {
		t.Errorf("%v", err)
	}
	for _, enabled := range []bool{false, true, false} {
		if err := r.PatchKey(t.Context(), operator, "filed", fmt.Appendf(nil, `{"enabled":%t}`, enabled), state.Anything); err != nil {
			t.Fatal(err)
		}
		if k, _ := r.Current().Key("filed"); k.Enabled != enabled || k.Overridden == enabled {
			t.Errorf("%+v", k)
		}
	}
	if err := r.Rebase(loaded(t, oneKey+"\nstrategy: random")); err != nil {
		t.Fatal(err)
	}
	if k, _ := r.Current().Key("filed"); k.Enabled {
		t.Error("enabled again by a change of the file that says nothing of it")
	}
	if _, err := r.AddKeys(t.Context(), operator, []json.RawMessage{[]byte(`{}`)}); kindOf(err) != proxy.Conflict {
		t.Errorf("a key is added without an encryption key: %v", err)
	}
}

// Of two operators who read the same and change it through two replicas one is refused, whichever way they change it and
// however often it was changed before.
func TestOverridesOfTwoReplicas(t *testing.T) {
	store := memstate.New()
	file := oneKey + "\nclients: [{id: filed, token: sk-test-token-of-the-file-0000001}]"
	a, b := open(t, store, nil, file), open(t, store, nil, file)
	patches := map[string]func(r *rig, enabled bool, revision int64) error{
		"key": func(r *rig, enabled bool, revision int64) error {
			return r.PatchKey(t.Context(), operator, "filed", fmt.Appendf(nil, `{"enabled":%t}`, enabled), revision)
		},
		"client": func(r *rig, enabled bool, revision int64) error {
			return r.PatchClient(t.Context(), operator, "filed", fmt.Appendf(nil, `{"enabled":%t}`, enabled), revision)
		},
	}
	revisions := map[string]func(r *rig) int64{
		"key":    func(r *rig) int64 { k, _ := r.Current().Key("filed"); return k.Revision },
		"client": func(r *rig) int64 { c, _ := r.Current().Client("filed"); return c.Revision },
	}
	for kind, patch := range patches {
		for round, enabled := range []bool{false, true, false, false} {
			read := revisions[kind](a)
			if read != revisions[kind](b) {
				t.Fatal("the replicas are not at one revision")
			}
			start, errs := make(chan struct{}), make(chan error, 2)
			for _, r := range []*rig{a, b} {
				go func() {
					<-start
					errs <- patch(r, enabled, read)
				}()
			}
			close(start)
			first, second := kindOf(<-errs), kindOf(<-errs)
			if refused := first + second; refused != proxy.Conflict {
				t.Errorf("%s, round %d: %q and %q, want one conflict", kind, round, first, second)
			}
			if err := patch(a, enabled, read); kindOf(err) != proxy.Conflict {
				t.Errorf("%s, round %d: a replica that has heard of the change makes it again: %v", kind, round, err)
			}
			for _, r := range []*rig{a, b} {
				if err := r.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		// Who names no revision is heard, also by a replica that does not know of the change before.
		for round, enabled := range []bool{true, false, true} {
			if err := patch([]*rig{a, b}[round%2], enabled, state.Anything); err != nil {
				t.Errorf("%s, round %d: %v", kind, round, err)
			}
		}
		if err := a.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	k, _ := a.Current().Key("filed")
	c, _ := a.Current().Client("filed")
	if !k.Enabled || !c.Enabled {
		t.Errorf("key enabled: %t, client enabled: %t, want what was said last", k.Enabled, c.Enabled)
	}
}

func TestClients(t *testing.T) {
	store := memstate.New()
	r := open(t, store, nil, oneKey)
	if !r.Current().ByKeys {
		t.Fatal("without clients the keys are tokens")
	}
	id, token, err := r.AddClient(t.Context(), operator, []byte(`{"id":"team","rpm":60}`))
	if err != nil || id != "team" || !strings.HasPrefix(token.Reveal(), "sk-proxy-") {
		t.Fatalf("%s %v %v", id, token, err)
	}
	now := r.Current()
	team, _ := now.Client("team")
	if team.RPM != 60 || team.Burst != 60 || len(team.Tokens) != 1 || team.Tokens[0].Hash != token.Hash() || now.ByKeys || !now.Permanent {
		t.Errorf("%+v", team)
	}
	items, _, _ := store.Items(t.Context())
	for _, i := range items {
		if strings.Contains(string(i.Value), token.Reveal()) {
			t.Error("the token is kept as it is")
		}
	}
	second, err := r.RotateClient(t.Context(), operator, "team", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	team, _ = r.Current().Client("team")
	if len(team.Tokens) != 2 || team.Tokens[0].Hash != second.Hash() || !team.Tokens[0].Until.IsZero() ||
		team.Tokens[1].Hash != token.Hash() || time.Until(team.Tokens[1].Until) < 59*time.Minute || team.RPM != 60 {
		t.Errorf("%+v", team.Tokens)
	}
	for range 10 {
		if _, err = r.RotateClient(t.Context(), operator, "team", time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if team, _ = r.Current().Client("team"); len(team.Tokens) != mostTokens {
		t.Errorf("%d tokens", len(team.Tokens))
	}
	last, _ := r.RotateClient(t.Context(), operator, "team", 0)
	if team, _ = r.Current().Client("team"); team.Tokens[0].Hash != last.Hash() {
		t.Errorf("%+v", team.Tokens)
	}
	for _, bad := range []string{`{"id":"team"}`, `{"id":"default"}`, `{"id":"x","token":"` + last.Reveal() + `"}`, `{"id":"y","token":"` + fileKey + `"}`} {
		if _, _, err := r.AddClient(t.Context(), operator, []byte(bad)); kindOf(err) != proxy.Conflict {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if err := r.PatchClient(t.Context(), operator, "team", []byte(`{"rpm":5,"burst":null}`), state.Anything); err != nil {
		t.Fatal(err)
	}
	if team, _ = r.Current().Client("team"); team.RPM != 5 || team.Burst != 5 || team.Tokens[0].Hash != last.Hash() {
		t.Errorf("%+v", team)
	}
	if err := r.PatchClient(t.Context(), operator, "team", []byte(`{"token":"sk-test-chosen-00000000001"}`), state.Anything); kindOf(err) != proxy.InvalidRequest {
		t.Errorf("%v", err)
	}
	if err := r.DeleteClient(t.Context(), operator, "team", state.Anything); err != nil || len(r.Current().Clients) != 0 || r.Current().ByKeys {
		t.Errorf("the v1 way came back: %v", err)
	}
	notes, _, err := r.Notes(t.Context(), "", 100)
	if err != nil || len(notes) != 15 || notes[0].Action != "client.delete" || notes[0].Address != operator.Address {
		t.Errorf("%d notes, %v", len(notes), err)
	}
}

func TestSettings(t *testing.T) {
	r := open(t, memstate.New(), nil, oneKey+"\nstrategy: random")
	if err := r.PatchSettings(t.Context(), operator, []byte(`{"failover.openTimeout":500000,"strategy":"weighted"}`)); err != nil {
		t.Fatal(err)
	}
	if set := r.Current().Settings; set.Strategy != "weighted" || set.Failover.OpenTimeout != 500*time.Second {
		t.Errorf("%+v", set)
	}
	// They have to agree with what is overridden already.
	if err := r.PatchSettings(t.Context(), operator, []byte(`{"failover.maxRest":100000}`)); kindOf(err) != proxy.InvalidRequest {
		t.Errorf("%v", err)
	}
	if err := r.PatchSettings(t.Context(), operator, []byte(`{"strategy":null}`)); err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Current().List() {
		want := map[string]string{"strategy": "file", "failover.openTimeout": "api"}[s.Name]
		if want == "" {
			want = "default"
		}
		if s.Source != want {
			t.Errorf("%+v, want it from %s", s, want)
		}
	}
	// A file that does not go with what is overridden is refused, and what was in force stays.
	if err := r.Rebase(loaded(t, oneKey+"\nfailover: {openTimeout: 1000, maxRest: 2000}")); err == nil {
		t.Error("a file was taken that does not go with the overrides")
	}
	if got := r.Current().Settings.Strategy; got != "random" {
		t.Errorf("strategy %s", got)
	}
}

// Another replica sees every change; a third that comes later sees all of them.
func TestReplicas(t *testing.T) {
	store, key := memstate.New(), seal.NewKey()
	a, b := open(t, store, boxOf(t, key), oneKey), open(t, store, boxOf(t, key), oneKey)
	follower := b.Follow()
	defer follower.Stop()
	a.add(t, `{"id":"k","key":"sk-test-runtime-a-000000001"}`)
	if _, _, err := a.AddClient(t.Context(), operator, []byte(`{"id":"c"}`)); err != nil {
		t.Fatal(err)
	}
	follower.CatalogChanged(a.Current().Version)
	for end := time.Now().Add(time.Minute); b.Current().Version != a.Current().Version; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the other replica does not follow")
		}
	}
	c := open(t, store, boxOf(t, key), oneKey)
	for _, other := range []*rig{b, c} {
		if s := other.Current(); len(s.Keys) != 2 || len(s.Clients) != 1 || s.ByKeys {
			t.Errorf("%d keys, %d clients", len(s.Keys), len(s.Clients))
		}
	}
	// Who has read an older revision does not overwrite.
	k, _ := b.Current().Key("k")
	if err := a.PatchKey(t.Context(), operator, "k", []byte(`{"weight":2}`), state.Anything); err != nil {
		t.Fatal(err)
	}
	if err := b.PatchKey(t.Context(), operator, "k", []byte(`{"weight":3}`), k.Revision); kindOf(err) != proxy.Conflict {
		t.Errorf("%v", err)
	}
}

// What nobody can open any more is not used and not lost; what an old key can open is sealed anew.
func TestEncryptionKeys(t *testing.T) {
	store, first, second := memstate.New(), seal.NewKey(), seal.NewKey()
	open(t, store, boxOf(t, first), oneKey).add(t, `{"id":"k","key":"sk-test-runtime-a-000000001"}`)
	items, _, _ := store.Items(t.Context())
	for _, i := range items {
		if strings.Contains(string(i.Value), "sk-test") {
			t.Errorf("readable: %q", i.Value)
		}
	}
	if s := open(t, store, boxOf(t, second), oneKey).Current(); len(s.Keys) != 1 || s.Unreadable != 1 {
		t.Errorf("%d keys, %d unreadable", len(s.Keys), s.Unreadable)
	}
	between := open(t, store, boxOf(t, second, first), oneKey)
	between.reseal(t.Context())
	if s := open(t, store, boxOf(t, second), oneKey).Current(); len(s.Keys) != 2 || s.Unreadable != 0 {
		t.Errorf("after the rotation %d keys, %d unreadable", len(s.Keys), s.Unreadable)
	}
	// A key that somebody wrote into the state without being able to seal it is none.
	forged := state.Change{Kind: state.KeyItem, ID: "forged", Expect: state.Nothing,
		Value: []byte(`{"spec":{"id":"forged","key":"sk-test-forged-0000000001"}}`)}
	if _, err := store.Apply(context.Background(), between.Current().Version, []state.Change{forged}, state.Note{}); err != nil {
		t.Fatal(err)
	}
	if s := open(t, store, boxOf(t, second), oneKey).Current(); len(s.Keys) != 2 || s.Unreadable != 1 {
		t.Errorf("a forged key is used: %d keys", len(s.Keys))
	}
}

// A state that forgot everything gets it back from who still knows.
func TestStateThatForgot(t *testing.T) {
	key := seal.NewKey()
	r := open(t, memstate.New(), boxOf(t, key), oneKey)
	r.add(t, `{"id":"k","key":"sk-test-runtime-a-000000001"}`)
	empty := memstate.New()
	r.Store = empty
	r.add(t, `{"id":"l","key":"sk-test-runtime-b-000000001"}`)
	if s := open(t, empty, boxOf(t, key), oneKey).Current(); len(s.Keys) != 3 {
		t.Errorf("%d keys after the state was emptied", len(s.Keys))
	}
	if s := r.Current(); len(s.Keys) != 3 {
		t.Errorf("%d keys here", len(s.Keys))
	}
}

// Snapshots come in order and never lose what is configured.
func TestSnapshotsComeInOrder(t *testing.T) {
	r := open(t, memstate.New(), boxOf(t, seal.NewKey()), oneKey)
	done := make(chan error, 4)
	for i := range 4 {
		go func() {
			var err error
			for n := range 25 {
				_, err = r.AddKeys(context.Background(), operator, []json.RawMessage{
					fmt.Appendf(nil, `{"id":"k-%d-%d","key":"sk-test-many-%d-%d-0000000001"}`, i, n, i, n)})
				if err != nil {
					break
				}
			}
			done <- err
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for i, s := range r.applied[1:] {
		if s.Version < r.applied[i].Version || len(s.Keys) < len(r.applied[i].Keys) {
			t.Errorf("snapshot %d goes back", i)
		}
	}
	if n := len(r.Current().Keys); n != 101 {
		t.Errorf("%d keys", n)
	}
}

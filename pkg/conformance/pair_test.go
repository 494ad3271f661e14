package conformance

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"openai-api-proxy/pkg/redistest"
)

// The two clients of a pair: nothing of one is to be seen by the other.
const (
	sdk   = token
	other = token + "-other"
)

// accounts are the keys of a pair, each with an account of its own, by the name of that.
var accounts = map[string]string{"a": keyA, "b": keyB, "c": keyC}

// pair is two replicas with one state in front of a mock upstream with three accounts.
type pair struct {
	rig      // the mock, and what it was asked
	env      []string
	replicas []*replica
	turn     int
	restarts int
	held     map[string]string // the account of each object that was looked for, by its id
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{rig: rig{mock: startMock(t)}, held: map[string]string{}}
	p.configure(t, map[string]any{"requests": 10_000})
	p.env = []string{"OPENAI_BASE_URL=" + p.mock, "REDIS_URL=" + redistest.Start(t).URL(), "LOG_LEVEL=warn",
		fmt.Sprintf(`OPENAI_API_KEYS=[{"id":"a","key":%q},{"id":"b","key":%q},{"id":"c","key":%q}]`, keyA, keyB, keyC),
		fmt.Sprintf(`CLIENT_TOKENS=[{"id":"sdk","token":%q},{"id":"other","token":%q}]`, sdk, other)}
	p.replicas = []*replica{p.launch(t), p.launch(t)}
	return p
}

// launch starts a replica, in whose log there must be no data race when the test has ended.
func (p *pair) launch(t *testing.T) *replica {
	t.Helper()
	var r *replica
	t.Cleanup(func() {
		if r != nil && strings.Contains(r.log.String(), "DATA RACE") {
			t.Error(r.log)
		}
	})
	r = launch(t, p.env, nil)
	return r
}

// next is the SDK of a client, through one replica and the other in turn.
func (p *pair) next(of string) openai.Client {
	p.turn++
	return openai.NewClient(option.WithBaseURL(p.replicas[p.turn%2].url+"/v1"), option.WithAPIKey(of), option.WithMaxRetries(0))
}

// restart kills one replica, another one each time, and starts it again at another address.
func (p *pair) restart(t *testing.T) {
	t.Helper()
	i := p.restarts % 2
	p.restarts++
	p.replicas[i].kill()
	p.replicas[i] = p.launch(t)
}

// byTest marks the requests that did not come through the proxy.
const byTest = "asked_by=the_test"

// holder is the account that has the object at a path: of the three keys only that of the account is shown it. What is asked
// of the object from then on is known to stay.
func (p *pair) holder(t *testing.T, path string) (account string) {
	t.Helper()
	for name, key := range accounts {
		if p.shows(t, path, key) {
			if account != "" {
				t.Errorf("%s is in %s and in %s", path, account, name)
			}
			account = name
		}
	}
	if account == "" {
		t.Errorf("no account has %s", path)
	}
	p.held[path[strings.LastIndexByte(path, '/')+1:]] = account
	return account
}

// shows reports whether the mock shows something to a key.
func (p *pair) shows(t *testing.T, path, key string) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.mock+path+"?"+byTest, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// holders are the accounts of several objects of a collection. There must be more than one, or nothing is shown by it.
func (p *pair) holders(t *testing.T, collection string, ids []string) {
	t.Helper()
	seen := map[string]int{}
	for _, id := range ids {
		seen[p.holder(t, collection+"/"+id)]++
	}
	if len(seen) < 2 {
		t.Errorf("all of %s lie in one account: %v", collection, seen)
	}
}

// stayed checks that whatever the proxy asked of an object that was looked for went to a key of its account, and that
// something was asked of each. Call it at the end.
func (p *pair) stayed(t *testing.T) {
	t.Helper()
	times := map[string]int{}
	for _, asked := range p.asked(t) {
		if strings.Contains(asked.Path, byTest) {
			continue
		}
		for id, account := range p.held {
			if !names(asked.Path, id) && !names(asked.Body, id) {
				continue
			}
			if times[id]++; asked.Key != accounts[account] {
				t.Errorf("%s, of account %s, was asked for with %s: %s", id, account, asked.Key, asked.Path)
			}
		}
	}
	for id := range p.held {
		if times[id] == 0 {
			t.Errorf("nothing was asked of %s", id)
		}
	}
}

// names reports whether an id stands in a text, and not as the beginning of another one.
func names(text, id string) bool {
	for {
		_, after, found := strings.Cut(text, id)
		if !found {
			return false
		}
		if after == "" || after[0] < '0' || after[0] > '9' {
			return true
		}
		text = after
	}
}

// foreign checks that to the other client something of the first is not there, and that the upstream hears nothing of that.
func (p *pair) foreign(t *testing.T, what string, reach func(openai.Client) error) {
	t.Helper()
	before := total(p.requests(t))
	var no *openai.Error
	if err := reach(p.next(other)); !errors.As(err, &no) || no.StatusCode != http.StatusNotFound || no.Code != "not_found" {
		t.Errorf("another client %s: %v", what, err)
	}
	if n := total(p.requests(t)) - before; n != 0 {
		t.Errorf("another client %s: %d requests reached the upstream", what, n)
	}
}

// unseen is foreign for what the first client has made, and for what nobody has: the other client hears the same of both, byte for
// byte.
func (p *pair) unseen(t *testing.T, what, id string, reach func(c openai.Client, id string) error) {
	t.Helper()
	said := map[string]bool{}
	for _, id := range []string{id, id + "q"} {
		p.foreign(t, what, func(c openai.Client) error {
			err := reach(c, id)
			var no *openai.Error
			if errors.As(err, &no) {
				said[no.RawJSON()] = true
			}
			return err
		})
	}
	if len(said) != 1 {
		t.Errorf("another client %s: it hears %v", what, said)
	}
}

// answers checks that the SDK says an error of the status.
func answers(t *testing.T, what string, err error, status int) {
	t.Helper()
	var no *openai.Error
	if !errors.As(err, &no) || no.StatusCode != status {
		t.Errorf("%s: %v, want %d", what, err, status)
	}
}

func total(requests map[string]int64) (n int64) {
	for _, one := range requests {
		n += one
	}
	return n
}

// pager goes through a list of the SDK, page by page.
type pager[T any] interface {
	Next() bool
	Current() T
	Err() error
}

// listed are the ids of all that a list has.
func listed[T any](all pager[T], id func(T) string) (ids []string, err error) {
	for all.Next() {
		ids = append(ids, id(all.Current()))
	}
	return ids, all.Err()
}

// same checks that a list has the ids and no others, in whatever order.
func same(t *testing.T, what string, got, want []string, err error) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v (%v)", what, got, want, err)
	}
}

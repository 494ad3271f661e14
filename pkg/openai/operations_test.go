package openai

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	table, err := NewOperations([]string{"POST /v1/decisions", "GET /v1/things/{id}/parts"}, []string{"POST /v1/moderations"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path string
		op, out      string
		model        string
		err          error
	}{
		{"POST", "/v1/chat/completions", "/v1/chat/completions", "/v1/chat/completions", "", nil},
		{"POST", "/proxy/v1/chat/completions", "/v1/chat/completions", "/v1/chat/completions", "", nil},
		{"HEAD", "/v1/models", "/v1/models", "/v1/models", "", nil},
		{"GET", "/v1/models/ft:gpt-4o:org::id", "/v1/models/{model}", "/v1/models/ft:gpt-4o:org::id", "ft:gpt-4o:org::id", nil},
		{"GET", "/v1/models/meta%2Fllama", "/v1/models/{model}", "/v1/models/meta%2Fllama", "meta/llama", nil},
		{"POST", "/v1/decisions", "/v1/decisions", "/v1/decisions", "", nil},
		{"GET", "/v1/things/7/parts", "/v1/things/{id}/parts", "/v1/things/7/parts", "", nil},
		{"POST", "/v1/moderations", "", "", "", ErrDenied},
		{"GET", "/v1/chat/completions", "", "", "", ErrUnknown},
		{"POST", "/v1/chat/completions/", "", "", "", ErrHostile},
		{"POST", "/V1/chat/completions", "", "", "", ErrUnknown},
		{"POST", "/v1/nothing", "", "", "", ErrUnknown},
		{"POST", "/proxy/proxy/v1/completions", "", "", "", ErrUnknown},
		{"POST", "/v1", "", "", "", ErrUnknown},
		{"GET", "/v1/organization/users", "", "", "", ErrDenied},
		{"GET", "/v1/organization", "", "", "", ErrDenied},
		{"GET", "/v1/organizational", "", "", "", ErrUnknown},
		{"POST", "/v1/realtime/client_secrets", "", "", "", ErrDenied},
		{"POST", "/v1/chat/%63ompletions", "", "", "", ErrHostile},
		{"POST", "/v1/chat%2Fcompletions", "", "", "", ErrHostile},
		{"GET", "/v1/models/..", "", "", "", ErrHostile},
		{"GET", "/v1/models/%2e%2E", "", "", "", ErrHostile},
		{"GET", "/v1/models/a%2f..%2fb", "", "", "", ErrHostile},
		{"GET", "/v1/models/a%5cb", "", "", "", ErrHostile},
		{"GET", "/v1/models/%00", "", "", "", ErrHostile},
		{"GET", "/v1/models/%0d%0a", "", "", "", ErrHostile},
		{"GET", "/v1/models/%zz", "", "", "", ErrHostile},
		{"GET", "/v1//models", "", "", "", ErrHostile},
		{"GET", "/v1/./models", "", "", "", ErrHostile},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			m, err := table.Match(c.method, c.path)
			if !errors.Is(err, c.err) || m.Op.Path != c.op || m.Path != c.out || m.Model != c.model {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
}

func TestBadEntries(t *testing.T) {
	_, err := NewOperations([]string{"/v1/x", "post /v1/x", "POST /v2/x", "POST /v1/../x", "POST /v1/x?y", "GET /v1/good"}, []string{"POST"})
	for _, bad := range []string{`"/v1/x"`, `"post /v1/x"`, `"POST /v2/x"`, `"POST /v1/../x"`, `"POST /v1/x?y"`, `"POST"`} {
		if err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s is not named in %v", bad, err)
		}
	}
	if strings.Contains(err.Error(), "good") {
		t.Error(err)
	}
}

// What matches is rebuilt to a path that says the same to whoever parses it next.
func FuzzMatch(f *testing.F) {
	for _, s := range []string{"/v1/models/a", "/proxy/v1/models/%2e", "/v1/models/a%2Fb", "/v1/chat/completions", "//", "/v1/models/%"} {
		f.Add(s)
	}
	table, err := NewOperations([]string{"GET /v1/things/{id}/parts/{part}"}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path string) {
		for _, method := range []string{"GET", "POST"} {
			m, err := table.Match(method, path)
			if err != nil {
				continue
			}
			again, err := table.Match(method, m.Path)
			if err != nil || again.Path != m.Path || again.Op != m.Op {
				t.Fatalf("%q became %q, which is %+v, %v", path, m.Path, again, err)
			}
			got, want := strings.Split(m.Path, "/"), strings.Split(m.Op.Path, "/")
			for i := range want {
				plain, err := url.PathUnescape(got[i])
				if err != nil || plain == "." || plain == ".." || !isSlot(want[i]) && got[i] != want[i] {
					t.Fatalf("%q became %q", path, m.Path)
				}
			}
		}
	})
}

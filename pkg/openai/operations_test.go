package openai

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func table(t testing.TB, allow, deny []string) *Operations {
	t.Helper()
	o, err := NewOperations(allow, deny)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestMatch(t *testing.T) {
	o := table(t, []string{"POST /v1/decisions", "GET /v1/things/{id}/parts"}, []string{"POST /v1/moderations"})
	for _, c := range []struct {
		method, path string
		op           string // empty: the path itself, without /proxy
		model        string
	}{
		{"POST", "/v1/chat/completions", "", ""},
		{"POST", "/proxy/v1/chat/completions", "", ""},
		{"POST", "/v1/responses/input_tokens", "", ""},
		{"POST", "/v1/responses/compact", "", ""},
		{"GET", "/v1/models", "", ""},
		{"HEAD", "/v1/models", "", ""},
		{"GET", "/v1/models/ft:gpt-4o:org::id", "/v1/models/{model}", "ft:gpt-4o:org::id"},
		{"GET", "/v1/models/meta%2Fllama", "/v1/models/{model}", "meta/llama"},
		{"HEAD", "/proxy/v1/models/a;b", "/v1/models/{model}", "a;b"},
		{"GET", "/v1/models/%252e%252e", "/v1/models/{model}", "%2e%2e"}, // escaped twice: a name
		{"POST", "/v1/decisions", "", ""},
		{"GET", "/v1/things/%C3%A4/parts", "/v1/things/{id}/parts", ""},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			want := strings.TrimPrefix(c.path, "/proxy")
			op := c.op
			if op == "" {
				op = want
			}
			m, err := o.Match(c.method, c.path)
			if err != nil || m.Op.Path != op || m.Path != want || m.Model != c.model {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
}

func TestMatchRefuses(t *testing.T) {
	o := table(t, nil, []string{"POST /v1/moderations"})
	for _, c := range []struct {
		method, path string
		want         error
	}{
		{"POST", "/v1/moderations", ErrDenied},
		{"GET", "/v1/organization", ErrDenied},
		{"DELETE", "/v1/organization/users/u", ErrDenied},
		{"GET", "/proxy/v1/organizations", ErrDenied},
		{"GET", "/v1/projects/p", ErrDenied},
		{"POST", "/v1/realtime/client_secrets", ErrDenied},
		{"POST", "/v1/realtime/sessions", ErrDenied},
		{"POST", "/v1/realtime/transcription_sessions", ErrDenied},
		{"POST", "/v1/realtime/translations/client_secrets", ErrDenied},
		{"POST", "/v1/chatkit/sessions/s/cancel", ErrDenied},
		{"GET", "/v1/organizational", ErrUnknown},
		{"GET", "/v1/moderations", ErrUnknown},
		{"GET", "/v1/completions", ErrUnknown},
		{"DELETE", "/v1/models/ft:gpt-4o:org::id", ErrDenied},
		{"DELETE", "/v1/models/ft%3Agpt-4o", ErrDenied},
		{"POST", "/v1/realtime/calls", ErrDenied},
		{"GET", "/v1/chatkit/threads/t/items", ErrDenied},
		{"GET", "/v1/fine_tuning/checkpoints/c/permissions", ErrDenied},
		{"post", "/v1/chat/completions", ErrUnknown},
		{"HEAD", "/v1/completions", ErrUnknown},
		{"POST", "/v1/models/a%2Fb", ErrUnknown},
		{"POST", "/v1/chat/completions/", ErrUnknown},
		{"GET", "/v1/models/", ErrUnknown},
		{"GET", "/v1/models;x", ErrUnknown},
		{"POST", "/V1/chat/completions", ErrUnknown},
		{"POST", "/v1/nothing", ErrUnknown},
		{"POST", "/proxy/proxy/v1/completions", ErrUnknown},
		{"POST", "/proxyv1/completions", ErrUnknown},
		{"POST", "v1/completions", ErrUnknown},
		{"POST", "/v1", ErrUnknown},
		{"POST", "/v1/", ErrUnknown},
		{"GET", "/", ErrUnknown},
		{"GET", "", ErrUnknown},
		{"POST", "/v1/chat/%63ompletions", ErrHostile},
		{"POST", "/v1/chat%2Fcompletions", ErrHostile},
		{"POST", "/v1/%6doderations", ErrHostile},
		{"GET", "/%76%31/models", ErrHostile},
		{"GET", "/v1/%6frganization/users", ErrHostile},
		{"GET", "/v1/models/..", ErrHostile},
		{"GET", "/v1/organization/..", ErrHostile},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			if m, err := o.Match(c.method, c.path); !errors.Is(err, c.want) || m != (Match{}) {
				t.Errorf("%+v, %v, want %v", m, err, c.want)
			}
		})
	}
}

// The settings open and close just what they say, and a path cannot be spelled so as to get around them.
func TestSettings(t *testing.T) {
	for name, c := range map[string]struct {
		allow, deny []string
		method      string
		path        string
		op          string
		err         error
	}{
		"deny by slot":            {nil, []string{"POST /v1/audio/{kind}"}, "POST", "/v1/audio/speech", "", ErrDenied},
		"deny under another name": {nil, []string{"GET /v1/models/{id}"}, "GET", "/v1/models/a", "", ErrDenied},
		"deny goes for HEAD":      {nil, []string{"GET /v1/models"}, "HEAD", "/v1/models", "", ErrDenied},
		"deny one of a slot":      {nil, []string{"GET /v1/models/gpt-4"}, "GET", "/v1/models/gpt-4", "", ErrDenied},
		"and escaped":             {nil, []string{"GET /v1/models/gpt-4"}, "GET", "/v1/models/gpt%2D4", "", ErrDenied},
		"and not the others": {nil, []string{"GET /v1/models/gpt-4"}, "GET", "/v1/models/gpt-5",
			"/v1/models/{model}", nil},
		"deny another method": {nil, []string{"GET /v1/embeddings"}, "POST", "/v1/embeddings", "/v1/embeddings", nil},
		"deny before allow":   {[]string{"GET /v1/x"}, []string{"GET /v1/x"}, "GET", "/v1/x", "", ErrDenied},
		"open administration": {[]string{"GET /v1/organization/costs"}, nil, "GET", "/v1/organization/costs",
			"/v1/organization/costs", nil},
		"but only that": {[]string{"GET /v1/organization/costs"}, nil, "GET", "/v1/organization/users", "",
			ErrDenied},
		"and with its method": {[]string{"GET /v1/organization/costs"}, nil, "POST", "/v1/organization/costs", "",
			ErrDenied},
		"a slot does not open it": {[]string{"GET /v1/{a}/{b}"}, nil, "GET", "/v1/organization/users", "", ErrDenied},
		"nor when escaped":        {[]string{"GET /v1/{a}/{b}"}, nil, "GET", "/v1/%6frganization/users", "", ErrDenied},
		"nor in one segment": {[]string{"GET /v1/x/{a}", "GET /v1/{a}"}, nil, "GET", "/v1/organization%2Fusers",
			"", ErrDenied},
		"it opens others":                      {[]string{"GET /v1/{a}/{b}"}, nil, "GET", "/v1/things/f", "/v1/{a}/{b}", nil},
		"fewer slots are meant":                {[]string{"GET /v1/x/{a}", "GET /v1/x/y"}, nil, "GET", "/v1/x/y", "/v1/x/y", nil},
		"of equals the first":                  {[]string{"GET /v1/x/{a}", "GET /v1/{a}/y"}, nil, "GET", "/v1/x/y", "/v1/x/{a}", nil},
		"it opens nothing of one segment less": {[]string{"DELETE /v1/{a}/{b}"}, nil, "DELETE", "/v1/models/m", "", ErrDenied},
		"it may open that":                     {[]string{"DELETE /v1/models/{model}"}, nil, "DELETE", "/v1/models/m", "/v1/models/{model}", nil},
		"what is owned stays so":               {[]string{"GET /v1/files/{id}"}, nil, "GET", "/v1/files/f", "/v1/files/{file}", nil},
		"a slot takes no empty one":            {[]string{"GET /v1/x/{a}"}, nil, "GET", "/v1/x/", "", ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := table(t, c.allow, c.deny).Match(c.method, c.path)
			if !errors.Is(err, c.err) || m.Op.Path != c.op {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
}

func TestAllowedOperations(t *testing.T) {
	for entry, want := range map[string]Operation{
		"POST /v1/decisions":              {Model: ModelInJSON, Repeat: RepeatAfter5xx},
		"POST /v1/engines/{model}/x":      {Model: ModelInJSON, Repeat: RepeatAfter5xx},
		"GET /v1/things/{id}":             {Model: NoModel, Repeat: RepeatUnlessRefused},
		"GET /v1/models/{model}/x":        {Model: ModelInPath, Repeat: RepeatUnlessRefused},
		"DELETE /v1/models/{model}":       {Model: ModelInPath, Repeat: RepeatAfter5xx},
		"DELETE /v1/things/{id}":          {Model: NoModel, Repeat: RepeatAfter5xx},
		"POST /v1/images/edits":           {Model: ModelInForm, Repeat: RepeatUnlessRefused}, // known better already
		"GET /v1/models/{id}":             {Model: ModelInPath, Repeat: RepeatUnlessRefused, Path: "/v1/models/{model}"},
		"PUT /v1/a-b_c.d~e:f/{some_slot}": {Model: NoModel, Repeat: RepeatAfter5xx},
	} {
		method, path, _ := strings.Cut(entry, " ")
		want.Method = method
		if want.Path == "" {
			want.Path = path
		}
		m, err := table(t, []string{entry}, nil).Match(method, path)
		if m.Op != want || err != nil {
			t.Errorf("%s is %+v, %v, want %+v", entry, m.Op, err, want)
		}
	}
}

func TestBadEntries(t *testing.T) {
	bad := []string{"/v1/x", "post /v1/x", "POST /v2/x", "POST /v1/../x", "POST /v1/x?y", "POST", "", "POST  /v1/x",
		"POST /v1/x ", "HEAD /v1/x", "FETCH /v1/x", "POST /v1/", "POST /v1", "POST /v1/x/", "POST /v1//x", "POST /v1/%78",
		"POST /v1/{", "POST /v1/{}", "POST /v1/x{y}", "POST /v1/{x}y", "POST /v1/{{x}}", "POST /v1/x\ty", "POST /proxy/v1/x"}
	for _, entry := range bad {
		for _, lists := range [][2][]string{{{entry}, nil}, {nil, {entry}}} {
			if _, err := NewOperations(lists[0], lists[1]); err == nil {
				t.Errorf("%q is accepted", entry)
			}
		}
	}
	o, err := NewOperations(append(slices.Clone(bad[:3]), "GET /v1/good"), bad[3:6])
	if o != nil || err == nil {
		t.Fatalf("%v, %v", o, err)
	}
	for _, entry := range bad[:6] {
		if !strings.Contains(err.Error(), `"`+entry+`"`) {
			t.Errorf("%q is not named in %v", entry, err)
		}
	}
	if strings.Contains(err.Error(), "good") {
		t.Error(err)
	}
}

// What matches is rebuilt to a path that says the same to whoever parses it next.
func FuzzMatch(f *testing.F) {
	for _, s := range []string{"/v1/models/a", "/proxy/v1/models/%2e", "/v1/models/a%2Fb", "/v1/chat/completions", "//",
		"/v1/models/%", "/v1/things/%41/parts/b;c", "/v1/a/..%2f", "/v1/x%00", `/v1/models/\`, "/v1/models/a?b#c"} {
		f.Add("GET", s)
		f.Add("POST", s)
	}
	o := table(f, []string{"GET /v1/things/{id}/parts/{part}", "POST /v1/{a}"}, []string{"GET /v1/models/b"})
	f.Fuzz(func(t *testing.T, method, path string) {
		m, err := o.Match(method, path)
		if err != nil {
			if m != (Match{}) {
				t.Errorf("%+v, %v", m, err)
			}
			return
		}
		again, err := o.Match(method, m.Path)
		if err != nil || again != m {
			t.Fatalf("%q became %q, which is %+v, %v", path, m.Path, again, err)
		}
		got, want := strings.Split(m.Path, "/"), strings.Split(m.Op.Path, "/")
		if len(got) != len(want) {
			t.Fatalf("%q became %q", path, m.Path)
		}
		for i := range want {
			plain, err := url.PathUnescape(got[i])
			if err != nil || plain == "." || plain == ".." || !isSlot(want[i]) && got[i] != want[i] {
				t.Fatalf("%q became %q", path, m.Path)
			}
		}
		if u, err := url.Parse("http://upstream" + m.Path); err != nil || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("%q is parsed as %+v, %v", m.Path, u, err)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	o := table(b, nil, nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := o.Match("POST", "/v1/chat/completions"); err != nil {
			b.Fatal(err)
		}
	}
}

package auth

import (
	"errors"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"openai-api-proxy/pkg/proxy"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// staff are clients of every kind.
func staff() *Gate {
	g := open(windows(),
		&proxy.Client{ID: "plain", Enabled: true},
		&proxy.Client{ID: "off"},
		&proxy.Client{ID: "over", Enabled: true, Expires: noon},
		&proxy.Client{ID: "lasting", Enabled: true, Expires: noon.Add(1)},
		&proxy.Client{ID: "inside", Enabled: true,
			IPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fe80::/10")}},
		&proxy.Client{ID: "off-inside", IPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
	)
	g.now = func() time.Time { return noon }
	return g
}

func TestClient(t *testing.T) {
	tests := map[string]struct {
		header http.Header
		addr   string
		client string     // empty: refused
		kind   proxy.Kind // of the refusal
		why    cause
	}{
		"known":                   {header: bearing("sk-test-plain"), client: "plain"},
		"scheme in small letters": {header: http.Header{"Authorization": {"bearer sk-test-plain"}}, client: "plain"},
		"more blanks":             {header: http.Header{"Authorization": {"BEARER   sk-test-plain "}}, client: "plain"},
		"not expired yet":         {header: bearing("sk-test-lasting"), client: "lasting"},
		"from inside":             {header: bearing("sk-test-inside"), addr: "10.9.9.9", client: "inside"},
		"inside, mapped":          {header: bearing("sk-test-inside"), addr: "::ffff:10.9.9.9", client: "inside"},
		"inside, with a zone":     {header: bearing("sk-test-inside"), addr: "fe80::1%eth0", client: "inside"},
		"outside": {header: bearing("sk-test-inside"), addr: "11.0.0.1",
			kind: proxy.IPNotAllowed, why: outside},
		"outside and disabled": {header: bearing("sk-test-off-inside"), addr: "11.0.0.1",
			kind: proxy.InvalidAPIKey, why: disabled},
		"unknown":   {header: bearing("sk-test-nobody"), kind: proxy.InvalidAPIKey, why: unknown},
		"disabled":  {header: bearing("sk-test-off"), kind: proxy.InvalidAPIKey, why: disabled},
		"expired":   {header: bearing("sk-test-over"), kind: proxy.InvalidAPIKey, why: expired},
		"no header": {header: http.Header{}, kind: proxy.InvalidAPIKey, why: missing},
		"no token":  {header: http.Header{"Authorization": {"Bearer "}}, kind: proxy.InvalidAPIKey, why: missing},
		"basic": {header: http.Header{"Authorization": {"Basic sk-test-plain"}},
			kind: proxy.InvalidAPIKey, why: missing},
		"elsewhere": {header: http.Header{"X-Api-Key": {"sk-test-plain"}}, kind: proxy.InvalidAPIKey, why: missing},
		"two values": {header: http.Header{"Authorization": {"Bearer sk-test-plain", "Bearer sk-test-plain"}},
			kind: proxy.InvalidRequest, why: doubled},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			g, addr := staff(), home
			if tt.addr != "" {
				addr = netip.MustParseAddr(tt.addr)
			}
			client, err := g.Client(t.Context(), tt.header, addr)
			if tt.client != "" {
				if err != nil || client.ID != tt.client {
					t.Fatalf("got %v, %v, want client %s", client, err, tt.client)
				}
				return
			}
			f := faultOf(t, err)
			if client != nil || f.Kind != tt.kind || !errors.Is(f, tt.why) {
				t.Errorf("got client %v and %v, want kind %s for %q", client, f, tt.kind, tt.why)
			}
			if f.Kind == proxy.InvalidAPIKey && (f.Public != refused || f.Param != "" || f.RetryAfter != 0) {
				t.Errorf("the refusal %+v tells the cause", f)
			}
			if n := value(t, g.metrics.failures.WithLabelValues(string(tt.why))); n != 1 {
				t.Errorf("cause %q counted %v times", tt.why, n)
			}
		})
	}
}

func TestAllowModel(t *testing.T) {
	tests := map[string]struct {
		models proxy.Patterns
		model  string
		want   proxy.Kind // empty: allowed
	}{
		"no list":          {nil, "gpt-4o", ""},
		"no list, unnamed": {nil, "", ""},
		"listed":           {proxy.Patterns{"o1", "gpt-*"}, "gpt-4o", ""},
		"not listed":       {proxy.Patterns{"gpt-*"}, "o1", proxy.ModelNotAllowed},
		"unnamed":          {proxy.Patterns{"*"}, "", proxy.InvalidRequest},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := AllowModel(&proxy.Client{Models: tt.models}, tt.model)
			if tt.want == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			if f := faultOf(t, err); f.Kind != tt.want || f.Param != "model" {
				t.Errorf("got %+v, want %s of model", f, tt.want)
			}
		})
	}
}

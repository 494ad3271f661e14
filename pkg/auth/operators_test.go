package auth

import (
	"context"
	"net/http"
	"net/netip"
	"testing"

	"openai-api-proxy/pkg/proxy"
)

func TestOperators(t *testing.T) {
	const admin, metrics = "sk-test-admin", "sk-test-metrics"
	twice := http.Header{"Authorization": {"Bearer " + admin, "Bearer " + admin}}
	tests := map[string]struct {
		admin, metrics string // tokens that are set
		header         http.Header
		asAdmin, asMon proxy.Kind // empty: let in
	}{
		"admin token":          {admin, metrics, bearing(admin), "", ""},
		"metrics token":        {admin, metrics, bearing(metrics), proxy.InvalidAPIKey, ""},
		"a client's token":     {admin, metrics, bearing("sk-test-plain"), proxy.InvalidAPIKey, proxy.InvalidAPIKey},
		"no token":             {admin, metrics, nil, proxy.InvalidAPIKey, proxy.InvalidAPIKey},
		"two tokens":           {admin, metrics, twice, proxy.InvalidRequest, proxy.InvalidRequest},
		"metrics token only":   {"", metrics, bearing(metrics), proxy.AdminDisabled, ""},
		"wrong metrics token":  {"", metrics, bearing(admin), proxy.AdminDisabled, proxy.InvalidAPIKey},
		"nothing set":          {"", "", bearing(admin), proxy.AdminDisabled, proxy.AdminDisabled},
		"nothing set or given": {"", "", bearing(""), proxy.AdminDisabled, proxy.AdminDisabled},
		"admin token only":     {admin, "", bearing(""), proxy.InvalidAPIKey, proxy.InvalidAPIKey},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tokens := NewAdmin(AdminOptions{Token: proxy.NewSecret(tt.admin), Metrics: proxy.NewSecret(tt.metrics),
				Gate: open(windows(), &proxy.Client{ID: "plain", Enabled: true})})
			checks := []struct {
				name  string
				check func(context.Context, http.Header, netip.Addr) error
				want  proxy.Kind
			}{{"Admin", tokens.Admin, tt.asAdmin}, {"Metrics", tokens.Metrics, tt.asMon}}
			for _, c := range checks {
				err := c.check(t.Context(), tt.header, home)
				if c.want == "" {
					if err != nil {
						t.Errorf("%s: %v", c.name, err)
					}
				} else if f := faultOf(t, err); f.Kind != c.want {
					t.Errorf("%s: %v, want %s", c.name, f, c.want)
				}
			}
		})
	}
}

func TestOperatorsShareTheFailureLimit(t *testing.T) {
	g := open(windows())
	tokens := NewAdmin(AdminOptions{Token: proxy.NewSecret("sk-test-admin"), Gate: g})
	guess(t, g, home, defaultFailures)
	if f := faultOf(t, tokens.Admin(t.Context(), bearing("sk-test-guess"), home)); f.Kind != proxy.RateLimited {
		t.Errorf("a guess too many: %v", f)
	}
	if err := tokens.Admin(t.Context(), bearing("sk-test-admin"), home); err != nil {
		t.Errorf("the right token had to wait: %v", err)
	}
}

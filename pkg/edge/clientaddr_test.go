package edge

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestClientAddr(t *testing.T) {
	e := &Edge{Options: Options{TrustedProxies: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}}
	for _, c := range []struct {
		name string
		peer string
		xff  []string
		want string
	}{
		{"no proxy", "192.0.2.1:99", nil, "192.0.2.1"},
		{"a stranger's header is not believed", "192.0.2.1:99", []string{"1.2.3.4"}, "192.0.2.1"},
		{"one trusted hop", "10.0.0.1:99", []string{"1.2.3.4"}, "1.2.3.4"},
		{"what the caller put in front is not believed", "10.0.0.1:99", []string{"6.6.6.6, 1.2.3.4"}, "1.2.3.4"},
		{"trusted hops in the chain are stepped over", "10.0.0.1:99", []string{"1.2.3.4, 10.9.9.9, 10.0.0.2"}, "1.2.3.4"},
		{"several lines are one list", "10.0.0.1:99", []string{"6.6.6.6", "1.2.3.4, 10.0.0.2"}, "1.2.3.4"},
		{"only trusted ones", "10.0.0.1:99", []string{"10.0.0.7"}, "10.0.0.7"},
		{"no header", "10.0.0.1:99", nil, "10.0.0.1"},
		{"garbage at the end", "10.0.0.1:99", []string{"1.2.3.4, unknown"}, "10.0.0.1"},
		{"garbage behind the first stranger is not read", "10.0.0.1:99", []string{"garbage, 1.2.3.4"}, "1.2.3.4"},
		{"ports", "10.0.0.1:99", []string{"1.2.3.4:5678"}, "1.2.3.4"},
		{"mapped IPv4", "[::ffff:10.0.0.1]:99", []string{"::ffff:1.2.3.4"}, "1.2.3.4"},
		{"IPv6 with port and zone", "[fd00::1%eth0]:99", []string{"[2001:db8::1]:443"}, "2001:db8::1"},
		{"IPv6 in brackets", "[fd00::1]:99", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"empty entry", "10.0.0.1:99", []string{"1.2.3.4,"}, "10.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.xff}}
			if got := e.clientAddr(r).String(); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestCallerIsWrittenAsItsAddress(t *testing.T) {
	for _, proxies := range [][]netip.Prefix{nil, {netip.MustParsePrefix("10.0.0.0/8")}} {
		e := &Edge{Options: Options{TrustedProxies: proxies}}
		for _, peer := range []string{"192.0.2.1:99", "10.0.0.1:99", "[::ffff:10.0.0.1]:99", "[fd00::1%eth0]:99", "[::1]:1", "192.0.2.1", "::ffff:1.2.3.4", "::1", "@", ""} {
			r := &http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": {"1.2.3.4"}}}
			addr, text := e.caller(r)
			if text != addr.String() || addr != e.clientAddr(r) {
				t.Errorf("%s: %s and %q", peer, addr, text)
			}
		}
	}
}

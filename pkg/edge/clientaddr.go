package edge

import (
	"net/http"
	"net/netip"
	"strings"
)

// clientAddr is the address of who calls: that of the connection, or, when it comes through trusted proxies, the last
// address in X-Forwarded-For that is not one of them. A chain that cannot be read is not believed at all.
func (e *Edge) clientAddr(r *http.Request) netip.Addr {
	peer := parseAddr(r.RemoteAddr)
	if !e.trusted(peer) {
		return peer
	}
	var chain []string
	for _, line := range r.Header["X-Forwarded-For"] {
		chain = append(chain, strings.Split(line, ",")...)
	}
	found := peer
	for i := len(chain) - 1; i >= 0; i-- {
		addr := parseAddr(strings.TrimSpace(chain[i]))
		if !addr.IsValid() {
			return peer
		}
		if found = addr; !e.trusted(addr) {
			break
		}
	}
	return found
}

// caller is the same, and how it is written. Nearly all come from the address of their connection, which is written already.
func (e *Edge) caller(r *http.Request) (addr netip.Addr, text string) {
	addr = e.clientAddr(r)
	if host, _, found := strings.Cut(r.RemoteAddr, ":"); found && addr.Is4() && len(e.TrustedProxies) == 0 && host != "" && host[0] != '[' {
		return addr, host // an IPv4 address has one form only
	}
	return addr, addr.String()
}

func (e *Edge) trusted(addr netip.Addr) bool {
	for _, p := range e.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// parseAddr reads an address with or without a port, as IPv4 where it is one, without a zone.
func parseAddr(s string) netip.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

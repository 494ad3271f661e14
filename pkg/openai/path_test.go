package openai

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestCheckPath(t *testing.T) {
	for _, path := range []string{"/", "", "/v1/models", "/console/", "/api/keys/a%2Fb", "/api/keys/%20%C3%A4", "/a;b",
		"/...",
		"/.a", "/a..b", "/%252e", "/a:b@c"} {
		if err := CheckPath(path); err != nil {
			t.Errorf("%q: %v", path, err)
		}
	}
	for _, path := range []string{"//", "//v1", "/v1//models", "/v1/models//", "/.", "/..", "/v1/../x", "/v1/..",
		"/%2e", "/%2E%2e",
		"/.%2e/", "/a%2f..%2fb", "/%2e%2f", `/a\b`, "/a%5cb", "/a%5Cb", "/%00", "/a%0ab", "/a%0D", "/a%7f", "/a\x00",
		"/a\nb", "/a\x7f",
		"/%", "/%4", "/%zz", "/a b", "/a?b", "/a#b"} {
		if err := CheckPath(path); !errors.Is(err, ErrHostile) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// What passes spells, once unescaped, no segment that leads elsewhere.
func FuzzCheckPath(f *testing.F) {
	for _, s := range []string{"/", "/a/%2e%2e/b", "/a%2f..", "/%5c", "//", "/a%", "/%252e%252e", "/\u0080/ä"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if CheckPath(path) != nil {
			return
		}
		plain, err := url.PathUnescape(path)
		if err != nil {
			t.Fatalf("%q: %v", path, err)
		}
		if strings.ContainsAny(plain, "\\\x00\r\n\x7f") || strings.ContainsAny(path, "?# ") || strings.Contains(path, "//") {
			t.Errorf("%q passed", path)
		}
		for segment := range strings.SplitSeq(plain, "/") {
			if segment == "." || segment == ".." {
				t.Errorf("%q passed", path)
			}
		}
	})
}

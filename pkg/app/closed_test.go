package app_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"openai-api-proxy/pkg/openai"
)

// spellings are ways to write a path so that one parser takes it for another one, or for the same.
var spellings = map[string]func(path string) string{
	"plain":           func(p string) string { return p },
	"under proxy":     func(p string) string { return "/proxy" + p },
	"under proxy ..":  func(p string) string { return "/proxy/.." + p },
	"query":           func(p string) string { return p + "?limit=1" },
	"empty query":     func(p string) string { return p + "?" },
	"fragment":        func(p string) string { return p + "#x" },
	"slash at end":    func(p string) string { return p + "/" },
	"slashes at end":  func(p string) string { return p + "//" },
	"dot at end":      func(p string) string { return p + "/." },
	"dots at end":     func(p string) string { return p + "/x/.." },
	"escaped end":     func(p string) string { return p + "%2f" },
	"null at end":     func(p string) string { return p + "%00" },
	"null and more":   func(p string) string { return p + "%00.json" },
	"newline at end":  func(p string) string { return p + "%0a" },
	"return at end":   func(p string) string { return p + "%0d%0aX:y" },
	"space at end":    func(p string) string { return p + "%20" },
	"tab at end":      func(p string) string { return p + "%09" },
	"parameter":       func(p string) string { return p + ";x=y" },
	"suffix":          func(p string) string { return p + ".json" },
	"tilde":           func(p string) string { return p + "~" },
	"escaped ?":       func(p string) string { return p + "%3flimit=1" },
	"escaped #":       func(p string) string { return p + "%23" },
	"broken escape":   func(p string) string { return p + "%" },
	"broken escape 2": func(p string) string { return p + "%zz" },
	"two slashes":     func(p string) string { return "/" + p },
	"slashes inside":  func(p string) string { return strings.ReplaceAll(p, "/", "//") },
	"slash first":     func(p string) string { return strings.Replace(p, "/v1/", "/v1//", 1) },
	"backslashes":     func(p string) string { return "/v1/" + strings.ReplaceAll(p[4:], "/", `\`) },
	"escaped \\":      func(p string) string { return "/v1/" + strings.ReplaceAll(p[4:], "/", "%5c") },
	"escaped slashes": func(p string) string { return "/v1/" + strings.ReplaceAll(p[4:], "/", "%2f") },
	"escaped SLASHES": func(p string) string { return "/v1/" + strings.ReplaceAll(p[4:], "/", "%2F") },
	"all escaped":     func(p string) string { return "/" + strings.ReplaceAll(p[1:], "/", "%2f") },
	"twice escaped":   func(p string) string { return "/v1/" + strings.ReplaceAll(p[4:], "/", "%252f") },
	"wide slashes":    func(p string) string { return "/v1/" + strings.ReplaceAll(p[4:], "/", "%ef%bc%8f") },
	"overlong slash":  func(p string) string { return "/v1/" + strings.ReplaceAll(p[4:], "/", "%c0%af") },
	"first letter":    func(p string) string { return "/v1/" + escaped(p[4:5]) + p[5:] },
	"all letters":     func(p string) string { return "/v1/" + eachLetter(p[4:], escaped) },
	"letters twice": func(p string) string {
		return "/v1/" + eachLetter(p[4:], func(s string) string { return "%25" + escaped(s)[1:] })
	},
	"escaped v1":     func(p string) string { return "/%76%31" + p[3:] },
	"escaped v":      func(p string) string { return "/%761" + p[3:] },
	"upper case":     func(p string) string { return "/v1/" + strings.ToUpper(p[4:]) },
	"title":          func(p string) string { return "/v1/" + strings.ToUpper(p[4:5]) + p[5:] },
	"V1":             func(p string) string { return "/V1" + p[3:] },
	"under models":   func(p string) string { return "/v1/models/.." + p[3:] },
	"escaped dots":   func(p string) string { return "/v1/models/%2e%2e" + p[3:] },
	"escaped DOTS":   func(p string) string { return "/v1/models/%2E%2E" + p[3:] },
	"half a dot":     func(p string) string { return "/v1/models/.%2e" + p[3:] },
	"dots twice":     func(p string) string { return "/v1/models/%252e%252e" + p[3:] },
	"dots and slash": func(p string) string { return "/v1/models/..%2f" + p[4:] },
	"dots and \\":    func(p string) string { return `/v1/models/..\` + p[4:] },
	"dots;":          func(p string) string { return "/v1/models/..;" + p[3:] },
	"dot first":      func(p string) string { return "/./v1" + p[3:] },
	"dot inside":     func(p string) string { return "/v1/." + p[3:] },
	"escaped dot":    func(p string) string { return "/v1/%2e" + p[3:] },
	"up and back":    func(p string) string { return "/v1/../v1" + p[3:] },
	"out of chat":    func(p string) string { return "/v1/chat/completions/../.." + p[3:] },
	"out of a slot":  func(p string) string { return "/v1/files/a%2f..%2f.." + p[3:] },
	"absolute":       func(p string) string { return "http://upstream" + p },
	"another host":   func(p string) string { return "//api.openai.com" + p },
	"user and host":  func(p string) string { return "http://a@upstream" + p },
	"v1 twice":       func(p string) string { return "/v1" + p },
	"proxy twice":    func(p string) string { return "/proxy/proxy" + p },
	"leading space":  func(p string) string { return "/%20" + p[1:] },
	"soft hyphen":    func(p string) string { return "/v1/%c2%ad" + p[4:] },
	"dotless i":      func(p string) string { return strings.ReplaceAll(p, "i", "%c4%b1") },
}

func escaped(s string) string { return fmt.Sprintf("%%%02x", s[0]) }

func eachLetter(s string, f func(string) string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= 'a' && c <= 'z' {
			b.WriteString(f(s[i : i+1]))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// However a closed path is spelled, it does not reach the upstream: administration and minting, each in every spelling.
func TestClosedPathsInEverySpelling(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1)})
	paths, sent := 0, 0
	raw := &rawCaller{addr: r.Addr()}
	defer raw.close()
	for _, op := range openai.Published() {
		if op.Class < openai.Administration {
			continue
		}
		paths++
		for name, spell := range spellings {
			at := spell(filled(op.Path))
			status, err := raw.ask(op.Method, at)
			if sent++; err != nil || status < 400 || status >= 500 {
				t.Fatalf("%s: %s %s: %d, %v", name, op.Method, at, status, err)
			}
		}
	}
	if paths < 70 || len(spellings) < 60 {
		t.Errorf("%d paths in %d spellings", paths, len(spellings))
	}
	if n := len(mock.Requests()); n != 0 {
		t.Errorf("%d of %d reached the upstream: %+v", n, sent, mock.Requests()[0])
	}
	t.Logf("%d requests for %d paths", sent, paths)
}

// filled is a template with names in its slots.
func filled(template string) string {
	segments := strings.Split(template, "/")
	for i, s := range segments {
		if strings.HasPrefix(s, "{") {
			segments[i] = strings.Trim(s, "{}") + "1"
		}
	}
	return strings.Join(segments, "/")
}

// rawCaller writes request lines as they are given.
type rawCaller struct {
	addr string
	conn net.Conn
	from *bufio.Reader
}

func (r *rawCaller) close() {
	if r.conn != nil {
		r.conn.Close()
		r.conn = nil
	}
}

func (r *rawCaller) ask(method, target string) (status int, err error) {
	if r.conn == nil {
		if r.conn, err = net.Dial("tcp", r.addr); err != nil {
			return 0, err
		}
		r.from = bufio.NewReader(r.conn)
	}
	r.conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(r.conn, "%s %s HTTP/1.1\r\nHost: proxy\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		method, target, keyNumber(1))
	resp, err := http.ReadResponse(r.from, &http.Request{Method: method})
	if err != nil {
		r.close()
		return 0, err
	}
	defer resp.Body.Close()
	if _, err = io.Copy(io.Discard, resp.Body); resp.Close || err != nil {
		r.close()
	}
	return resp.StatusCode, err
}

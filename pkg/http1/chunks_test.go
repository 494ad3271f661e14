package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httputil"
	"strings"
	"testing"
)

// readChunks reads a body in chunks that comes in pieces of the sizes that cut returns; ended is whether its end was found.
func readChunks(text string, cut func(most int) int) (data string, rest int, ended bool, err error) {
	var c chunks
	for text != "" && c.place != bodyOver {
		p := []byte(text[:cut(len(text))])
		text = text[len(p):]
		n, beyond, err := c.take(p)
		if data, rest = data+string(p[:n]), beyond+len(text); err != nil {
			return data, rest, false, err
		}
	}
	return data, rest, c.place == bodyOver, nil
}

func whole(most int) int { return most }

// endsAsStandard compares with net/http: what it takes is taken, with the same end, and what it refuses is refused. Its reader stops
// behind the last chunk: where trailers follow, only what stands before them is compared.
func endsAsStandard(t *testing.T, text string, cut func(most int) int) {
	t.Helper()
	r := bufio.NewReader(strings.NewReader(text))
	want, wrong := io.ReadAll(httputil.NewChunkedReader(r))
	behind, _ := io.ReadAll(r)
	behind, plainEnd := bytes.CutPrefix(behind, []byte("\r\n"))
	data, rest, ended, err := readChunks(text, cut)
	ok := false
	switch {
	case wrong != nil:
		ok = !(ended && err == nil) && (strings.HasPrefix(string(want), data) || strings.HasPrefix(data, string(want)))
	case plainEnd:
		ok = ended && err == nil && data == string(want) && rest == len(behind)
	default:
		ok = data == string(want)
	}
	if !ok {
		t.Errorf("%q: %q, then %d bytes, %v, %v; net/http %q, %q, %v", text, data, rest, ended, err, want, behind, wrong)
	}
}

func TestChunks(t *testing.T) {
	for text, want := range map[string]struct {
		data  string
		rest  int
		ended bool
	}{
		"3\r\nyes\r\n0\r\n\r\n":                            {"yes", 0, true},
		"3\r\nyes\r\n2\r\n\r\n\r\n0\r\n\r\nHTTP":           {"yes\r\n", 4, true},
		"0A \t\r\n0123456789\r\n00\r\n\r\n":                {"0123456789", 0, true},
		"1;a=b;c=\"d\"\r\nx\r\n0;e\r\n\r\n":                {"x", 0, true},
		"1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n.":             {"x", 1, true},
		"1\r\nx\r\n0\r\n":                                  {"x", 0, false},
		"1\r\nx\r\n0\r\n\r":                                {"x", 0, false},
		"5\r\nx":                                           {"x", 0, false},
		"0\r\n" + strings.Repeat("A: b\r\n", 100) + "\r\n": {"", 0, true},
	} {
		for name, cut := range map[string]func(int) int{"whole": whole, "by byte": func(int) int { return 1 }} {
			data, rest, ended, err := readChunks(text, cut)
			if data != want.data || rest != want.rest || ended != want.ended || err != nil {
				t.Errorf("%q %s: %q, %d, %v, %v", text, name, data, rest, ended, err)
			}
		}
	}
}

func TestNoChunks(t *testing.T) {
	for _, text := range []string{"\r\n", "x\r\n", "-1\r\n", "0x1\r\n", "+1\r\nx", " 1\r\nx", "1 ;a\r\nx", "1 1\r\nx", "1\nx", "1\r\r\nx", "1;a\n\r\nx", "1;\ra\r\nx",
		"1\r\nxx", "1\r\nx\n", "1\r\nx\rx", "1\r\nx0\r\n", "0\r\n\n", "0\r\nA: b\n\r\n", "0\r\nA\rb\r\n\r\n", "0\r\n\r\r\n", "00000000000000001\r\nx",
		"1;" + strings.Repeat("a", 5000) + "\r\nx\r\n", "0\r\n" + strings.Repeat("A: b\r\n", 1000) + "\r\n", strings.Repeat("1;"+strings.Repeat("a", 1000)+"\r\nx\r\n", 20)} {
		if data, _, _, err := readChunks(text, whole); err == nil {
			t.Errorf("%.40q was taken for %q", text, data)
		}
	}
}

// Nobody who sits before or behind us may see another end than we do.
func TestChunksAreThoseOfNetHTTP(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	dice := rand.New(rand.NewPCG(seed, 1))
	for range 20_000 {
		var text strings.Builder
		for range dice.IntN(5) {
			n := 1 + dice.IntN(20)
			fmt.Fprintf(&text, "%x%s\r\n%s\r\n", n, []string{"", " ", ";a", ";a=\"b\"", "\t "}[dice.IntN(5)], strings.Repeat("d", n))
		}
		text.WriteString("0\r\n\r\n")
		if dice.IntN(4) == 0 {
			text.WriteString("HTTP/1.1 200")
		}
		all := []byte(text.String())
		if dice.IntN(2) == 0 {
			all[dice.IntN(len(all))] = "\r\n0 19afG;:\x00d"[dice.IntN(13)]
		}
		endsAsStandard(t, string(all), func(most int) int { return 1 + dice.IntN(most) })
	}
}

func FuzzChunks(f *testing.F) {
	f.Add("3\r\nyes\r\n0\r\n\r\n")
	f.Add("3\r\nyes\r\n0\r\nA: b\r\n\r\nHTTP")
	f.Fuzz(func(t *testing.T, text string) { endsAsStandard(t, text, whole) })
}

package openai

import (
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzValid compares with encoding/json.
func FuzzValid(f *testing.F) {
	for _, text := range []string{"", " ", "{}", "[]", `{"a":1}`, `{"a":1,}`, `{"a" : [1, 2.5e-3, -0, true,false,null , "x"]}`, "01", "-", "1.", "1e", "1e+",
		`"\u12aF"`, `"\u12g0"`, `"\x"`, "\"\x1f\"", "\"\x7f\xff\"", `"1234567\"9`, `"12345678"`, `"1234567` + "\n" + `"`, `{"a"}`, `{1:2}`, `[1 2]`, `{"a":}`,
		"tru", "nulll", "[", "{", "[[[]]]", "{\"a\":{\"b\":[{}]}} ", "\x00", "1\x00", "[\x00]", `"` + strings.Repeat("12345678", 5) + "\x01\"",
		`"\`, `"\u00`, "\"\u2028模型\"", "-a", "--1", "+1", ".5", "1.e3", "1E5", "\ufeff{}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if tooDeep(text) {
			return
		}
		if got, want := valid(text), json.Valid([]byte(text)); got != want {
			t.Errorf("%q: %v, encoding/json says %v", text, got, want)
		}
	})
}

func TestSpecial(t *testing.T) {
	for c := range 256 {
		for at := range 8 {
			text := []byte("plaintxt")
			text[at] = byte(c)
			want := uint64(0)
			if c < ' ' || c == '"' || c == '\\' {
				want = 0x80 << (8 * at)
			}
			if got := special(binary.LittleEndian.Uint64(text)); got&-got != want {
				t.Errorf("%#x at %d: %#x", c, at, got)
			}
		}
	}
}

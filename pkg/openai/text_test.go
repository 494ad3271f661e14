package openai

import (
	"encoding/json"
	"strings"
	"testing"
)

// A body of brackets would overflow the stack of whoever checks it by recursion, and end the process.
func TestDeepDocuments(t *testing.T) {
	const many = 15 << 20
	for name, text := range map[string]string{
		"lists":              `{"model":"a","x":` + strings.Repeat("[", many),
		"objects":            `{"model":"a","x":` + strings.Repeat(`{"x":`, many/5),
		"whole":              `{"model":"a","x":` + strings.Repeat("[", deepest) + strings.Repeat("]", deepest) + "}",
		"references in them": `{"model":"a","input":` + strings.Repeat(`{"file_id":`, many/11),
	} {
		if h := ReadHead([]byte(text)); h.Readable || h.Model != "a" {
			t.Errorf("%s: %+v", name, h)
		}
		if _, err := InjectUsage([]byte(text)); err == nil {
			t.Errorf("%s: patched", name)
		}
	}
	for name, text := range map[string]string{
		"as deep as may be": `{"x":` + strings.Repeat("[", deepest-1) + strings.Repeat("]", deepest-1) + "}",
		"long, not deep":    `{"x":[` + strings.Repeat("[],", deepest) + `[]]}`,
		"in a string":       `{"x":"\"` + strings.Repeat(`[{\\`, deepest) + `"}`,
	} {
		if !isDocument(text) {
			t.Errorf("%s: refused", name)
		}
	}
}

func TestStringEnd(t *testing.T) {
	for text, want := range map[string]int{
		`"`: 0, `a" `: 1, `\""`: 2, `\\"`: 2, `\\\""`: 4, ``: 0, `abc`: 3, `\"`: 2, `"\"`: 0, `a\\\\"b"`: 5,
	} {
		if got := stringEnd(text); got != want {
			t.Errorf("%s ends at %d, want %d", text, got, want)
		}
	}
}

// What is accepted here is what the standard library accepts.
func FuzzIsDocument(f *testing.F) {
	for _, s := range []string{`{}`, ` {"a":[1,{"b":"\u00e4\\"}]} `, `[]`, `{"a":`, "{}x", `{"a":"` + "\n" + `"}`,
		`{"a":01}`} {
		f.Add(s, 0)
	}
	f.Add(`{"a":`, deepest+1)
	f.Fuzz(func(t *testing.T, text string, brackets int) {
		text += strings.Repeat("[", max(0, min(brackets, 2*deepest)))
		object := strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{")
		if got, want := isDocument(text), object && json.Valid([]byte(text)); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	})
}

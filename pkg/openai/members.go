package openai

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// members calls see for each member of the object that the text is, in order and with the value as it is written, and
// reports whether the text is one well-formed object. Of one that is not it shows what stands before the mistake.
func members(text string, see func(name, value string)) (whole bool) {
	v := validate(text)
	v.blank()
	return !tooDeep(text) && v.object(see) && v.ended()
}

// object shows the members of the object at hand.
func (v *validator) object(see func(name, value string)) bool {
	return v.next() == '{' && v.list('}', func() bool {
		begin := v.at
		if !v.string() {
			return false
		}
		name := unquoted(view(v.text[begin:v.at]))
		if begin = v.colon(); begin < 0 || !v.value() {
			return false
		}
		see(name, view(v.text[begin:v.at]))
		return true
	})
}

// unquoted is what a well-formed string of JSON says.
func unquoted(text string) string {
	if strings.IndexByte(text, '\\') < 0 {
		return text[1 : len(text)-1]
	}
	return gjson.Parse(text).Str
}

// parsed is a well-formed value.
func parsed(value string) gjson.Result {
	switch value[0] {
	case '{', '[':
		return gjson.Result{Type: gjson.JSON, Raw: value}
	case '"':
		return gjson.Result{Type: gjson.String, Raw: value, Str: unquoted(value)}
	case 't', 'f', 'n':
		return gjson.Parse(value)
	default:
		return gjson.Result{Type: gjson.Number, Raw: value, Num: number(value)}
	}
}

// number reads what is a number. Nearly all are small and whole.
func number(text string) float64 {
	const exact = 15 // so many digits are a whole number that a float has, too
	n := 0
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' || len(text) > exact {
			f, _ := strconv.ParseFloat(text, 64) // what is too large is infinite
			return f
		}
		n = n*10 + int(text[i]-'0')
	}
	return float64(n)
}

package cli

import (
	"encoding/json"
	"flag"
	"fmt"
	"strconv"
	"strings"
)

// field is a flag that sets a field of a key or client. The names of fields are those of the configuration file.
type field struct {
	flag, name string
	kind       fieldKind
	about      string
}

type fieldKind uint8

const (
	text   fieldKind = iota
	number           // whole
	list             // with commas, and the flag may come again
)

func keyFields() []field {
	return []field{
		{"id", "id", text, "`name` of the key; made from the secret otherwise"},
		{"account", "account", text, "`name` of the account whose rate limit and bill it shares"},
		{"weight", "weight", number, "`n` from 1 to 1000: its share with the strategies that weigh"},
		{"models", "models", list, "`patterns` of the models it serves, such as gpt-4o*,o3"},
		{"rpm", "rpm", number, "`n` requests a minute, and at once, over all replicas"},
		{"tpm", "tpm", number, "`n` tokens a minute, and at once"},
		{"concurrency", "concurrency", number, "`n` requests at the same time"},
		{"tag", "tags", list, "`tag` to find it by; may be given again"},
		{"note", "note", text, "`text` for people"},
		{"pool", "pool", text, "`name` of the pool; it serves clients of that pool only"},
		{"base-url", "baseUrl", text, "`address` of its upstream"},
		{"organization", "organization", text, "`name` that is sent as OpenAI-Organization"},
		{"project", "project", text, "`name` that is sent as OpenAI-Project"},
		{"expires", "expires", text, "`moment` from which on it is not used, such as 2030-01-01T00:00:00Z"},
	}
}

func clientFields() []field {
	return []field{
		{"id", "id", text, "`name` of the client"},
		{"rpm", "rpm", number, "`n` requests a minute"},
		{"burst", "burst", number, "`n` requests at once; as many as --rpm otherwise"},
		{"models", "models", list, "`patterns` of the models it may use, such as gpt-4o*,o3"},
		{"ips", "ips", list, "`prefixes` from which it may call, such as 10.0.0.0/8"},
		{"expires", "expires", text, "`moment` from which on it may not call, such as 2030-01-01T00:00:00Z"},
		{"pool", "pool", text, "`name` of the pool whose keys serve it"},
	}
}

// spec is a key or client that is put together from flags.
type spec struct{ values map[string]any }

// flags adds a flag for each field, and --set for all others.
func (s *spec) flags(f *flag.FlagSet, fields []field) {
	s.values = map[string]any{}
	for _, one := range fields {
		f.Func(one.flag, one.about, func(given string) error { return s.take(one, given) })
	}
	f.Func("set", "any other `field=json` of the configuration file; may be given again", func(given string) error {
		name, value, found := strings.Cut(given, "=")
		if !found || name == "" {
			return fmt.Errorf("must be like quota=1000")
		}
		if name == "key" || name == "token" {
			return fmt.Errorf("%s is a secret: it would end in the history of your shell", name)
		}
		s.values[name] = jsonOr(value)
		return nil
	})
}

func (s *spec) take(one field, given string) error {
	switch one.kind {
	case number:
		n, err := strconv.ParseInt(given, 10, 64)
		if err != nil {
			return fmt.Errorf("must be a whole number")
		}
		s.values[one.name] = n
	case list:
		before, _ := s.values[one.name].([]string)
		s.values[one.name] = append(before, strings.Split(given, ",")...)
	default:
		s.values[one.name] = given
	}
	return nil
}

// jsonOr is a value as JSON where it is some, and as a text otherwise: people do not quote.
func jsonOr(value string) any {
	if json.Valid([]byte(value)) {
		return json.RawMessage(value)
	}
	return value
}

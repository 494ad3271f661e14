package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

const (
	// importAtOnce is how many keys one request may bring.
	importAtOnce = 5000
	// importBytes keeps a request below the 4 MiB that the API takes.
	importBytes = 3 << 20
)

func keysImport() *command {
	q := url.Values{}
	return &command{name: "keys import", args: "FILE|-", about: "add many keys: one a line, or a JSON array", least: 1, most: 1,
		more: "Blank lines, and lines that begin with #, are skipped. The elements of an array are keys, or objects with the fields of\n" +
			"the configuration file. The flags are for all that do not say otherwise. Of each key it is told what became of it:\n" +
			"created, exists (the proxy has it already) or invalid.",
		flags: func(f *flag.FlagSet) { importFlags(f, q) },
		run: func(ctx context.Context, s *session) error {
			text, err := s.read(ctx, s.args[0], "")
			if err != nil {
				return err
			}
			parts, err := split(text)
			if err != nil {
				return err
			}
			return s.imported(ctx, parts, q)
		}}
}

func importFlags(f *flag.FlagSet, q url.Values) {
	for _, one := range [][2]string{{"account", "`name` of the account of them all"}, {"pool", "`name` of the pool"}, {"note", "`text` for people"},
		{"weight", "`n` from 1 to 1000"}, {"models", "`patterns` of the models, with commas"}} {
		f.Func(one[0], one[1], func(given string) error { q.Set(one[0], given); return nil })
	}
	f.Func("tag", "`tag` to find them by; may be given again", func(given string) error {
		q.Set("tags", strings.TrimPrefix(q.Get("tags")+","+given, ","))
		return nil
	})
}

// part is what goes into one request. first is the line, or element, before its first one.
type part struct {
	payload
	first int
}

// imported sends the parts one after another and prints what became of each key.
func (s *session) imported(ctx context.Context, parts []part, q url.Values) error {
	t := &table{head: []string{"LINE", "STATUS", "ID", "WHY"}}
	var sum importAnswer
	for _, p := range parts {
		var a importAnswer
		text, err := s.api.call(ctx, "POST", "/api/keys/import", q, &p.payload, &a)
		if err != nil {
			if len(t.rows) > 0 {
				s.print(t)
				s.say("stopped before line %d: what is above is done", p.first+1)
			}
			return err
		}
		if s.json {
			if err := s.raw(text); err != nil {
				return err
			}
		}
		sum.Created, sum.Skipped, sum.Failed = sum.Created+a.Created, sum.Skipped+a.Skipped, sum.Failed+a.Failed
		for _, line := range a.Results {
			t.add(strconv.Itoa(p.first+line.Line), line.Status, line.ID, line.Error.Message)
		}
	}
	if !s.json {
		s.print(t)
		s.say("%d created, %d exist already, %d invalid", sum.Created, sum.Skipped, sum.Failed)
	}
	if sum.Failed > 0 {
		return errTold
	}
	return nil
}

// split cuts an import into what one request may bring.
func split(text []byte) ([]part, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && (trimmed[0] == '[' || trimmed[0] == '{') {
		return splitArray(trimmed)
	}
	return splitLines(text), nil
}

func splitLines(text []byte) (parts []part) {
	var begin, first, keys, number int
	cut := func(end int) {
		if keys > 0 {
			parts = append(parts, part{payload{"text/plain; charset=utf-8", text[begin:end]}, first})
		}
		begin, first, keys = end, number, 0
	}
	at := 0
	for line := range bytes.Lines(text) {
		bare := bytes.TrimSpace(line)
		isKey := len(bare) > 0 && bare[0] != '#'
		if isKey && (keys == importAtOnce || at+len(line)-begin > importBytes) {
			cut(at)
		}
		if isKey {
			keys++
		}
		number++
		at += len(line)
	}
	cut(at)
	return parts
}

func splitArray(text []byte) (parts []part, err error) {
	var all []json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("this is neither one key a line nor a JSON array of keys")
	}
	for from := 0; from < len(all); {
		to, size := from, 0
		for to < len(all) && to-from < importAtOnce && (size == 0 || size+len(all[to]) < importBytes) {
			size += len(all[to]) + 1
			to++
		}
		parts = append(parts, part{*asJSON(all[from:to]), from})
		from = to
	}
	return parts, nil
}

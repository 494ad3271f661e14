package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"strings"

	"github.com/gin-gonic/gin"

	"openai-api-proxy/pkg/catalog"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// imported is the body of the answer to an import. It names what failed by its line, never by its text.
type imported struct {
	Created int          `json:"created"`
	Skipped int          `json:"skipped"` // there already
	Failed  int          `json:"failed"`
	Results []importLine `json:"results"`
}

type importLine struct {
	Line   int         `json:"line"` // of the text, or the number of the element; from 1
	ID     string      `json:"id,omitempty"`
	Status string      `json:"status"` // created, exists or invalid
	Error  *errorShort `json:"error,omitempty"`
}

type errorShort struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// importKeys adds many keys and says of each what became of it.
func (a *API) importKeys(c *gin.Context) error {
	q := queryOf(c)
	defaults := importDefaults(q)
	if err := q.end(); err != nil {
		return err
	}
	text, kind, err := body(c, plainType, jsonType)
	if err != nil {
		return err
	}
	var specs []importSpec
	if kind == plainType {
		specs = lines(text)
	} else if specs, err = elements(text); err != nil {
		return err
	}
	if len(specs) > state.MostChanges {
		return proxy.Faultf(proxy.TooLarge, "at most %d keys are taken at once", state.MostChanges)
	}
	raw := make([]json.RawMessage, len(specs))
	for i := range specs {
		raw[i] = specs[i].with(defaults)
	}
	added, err := a.Catalog.AddKeys(c.Request.Context(), a.actor(c), raw)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, told(a.Catalog.Current(), specs, added))
}

// told says what became of each.
func told(now *catalog.Snapshot, specs []importSpec, added []catalog.Added) imported {
	body := imported{Results: make([]importLine, len(specs))}
	for i, one := range added {
		line := importLine{Line: specs[i].line, ID: one.ID, Status: "created"}
		var f *proxy.Fault
		switch {
		case one.Err == nil:
			body.Created++
		case errors.As(one.Err, &f) && f.Kind == proxy.Conflict:
			body.Skipped++
			line.Status, line.ID = "exists", holder(now, specs[i].spec)
			line.Error = &errorShort{string(f.Kind), f.Public}
		default:
			body.Failed++
			line.Status, line.ID, line.Error = "invalid", "", &errorShort{string(proxy.InvalidRequest), "cannot be read"}
			if f != nil {
				line.Error = &errorShort{string(f.Kind), f.Public}
			}
		}
		body.Results[i] = line
	}
	return body
}

// holder is the key that has the secret of a spec; empty when it is something else, or nobody.
func holder(now *catalog.Snapshot, spec map[string]json.RawMessage) string {
	var secret string
	if json.Unmarshal(spec["key"], &secret) != nil {
		return ""
	}
	id := now.Holder(proxy.NewSecret(secret).Hash())
	if k, found := now.Key(id); !found || k.Secret != proxy.NewSecret(secret) {
		return ""
	}
	return id
}

// importSpec is a key that is to be added.
type importSpec struct {
	line int
	spec map[string]json.RawMessage // nil: it is not even an object
}

// with fills in what the spec does not say itself.
func (s importSpec) with(defaults map[string]json.RawMessage) json.RawMessage {
	if s.spec == nil {
		return json.RawMessage("null") // refused by the reader, like whatever else is no object
	}
	whole := maps.Clone(defaults)
	maps.Copy(whole, s.spec)
	text, _ := json.Marshal(whole) // its parts are JSON
	return text
}

// lines reads one key from each line; what is blank or begins with # is skipped.
func lines(text []byte) (specs []importSpec) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		quoted, _ := json.Marshal(line) // a text always encodes
		specs = append(specs, importSpec{number, map[string]json.RawMessage{"key": quoted}})
	}
	return specs
}

// elements reads an array of objects with the fields of the file, or of texts that are keys.
func elements(text []byte) ([]importSpec, error) {
	var all []json.RawMessage
	if json.Unmarshal(text, &all) != nil || all == nil {
		return nil, wrong("", "the body must be a JSON array of keys")
	}
	specs := make([]importSpec, len(all))
	for i, element := range all {
		specs[i].line = i + 1
		if len(element) > 0 && element[0] == '"' {
			specs[i].spec = map[string]json.RawMessage{"key": element}
		} else if json.Unmarshal(element, &specs[i].spec) != nil {
			specs[i].spec = nil
		}
	}
	return specs, nil
}

var identifier = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// importDefaults are the fields that the query sets for all keys which do not set them themselves.
func importDefaults(q *query) map[string]json.RawMessage {
	fields := map[string]json.RawMessage{}
	set := func(name string, v any) {
		if text, err := json.Marshal(v); err == nil {
			fields[name] = text
		}
	}
	for _, name := range []string{"account", "pool"} {
		if text := q.text(name); text != "" {
			q.identifier(name, text)
			set(name, text)
		}
	}
	if tags := q.list("tags"); tags != nil {
		for _, tag := range tags {
			q.identifier("tags", tag)
		}
		set("tags", tags)
	}
	if weight := q.number("weight", 0, 1, 1000); weight > 0 {
		set("weight", weight)
	}
	if note := q.text("note"); note != "" {
		set("note", note)
	}
	if models := q.list("models"); models != nil {
		set("models", models)
	}
	return fields
}

func (q *query) identifier(name, text string) {
	if !identifier.MatchString(text) {
		q.wrong(name, "must be 1 to 64 letters, digits, dots, dashes or underscores")
	}
}

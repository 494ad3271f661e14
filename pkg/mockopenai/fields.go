package mockopenai

import (
	"encoding/json"

	"github.com/tidwall/gjson"
)

// value is a field of an object, wherever it came from.
func (o *object) value(name string) gjson.Result {
	switch v := o.fields[name].(type) {
	case nil:
		return gjson.Result{}
	case string:
		return gjson.Result{Type: gjson.String, Str: v}
	case json.RawMessage:
		return gjson.ParseBytes(v)
	default:
		text, _ := json.Marshal(v) // of what becomes JSON anyway
		return gjson.ParseBytes(text)
	}
}

func (o *object) text(name string) string { return o.value(name).String() }

func (o *object) number(name string) int64 { return o.value(name).Int() }

// usual sets the fields that an object has not.
func (o *object) usual(fields map[string]any) {
	for name, value := range fields {
		if _, there := o.fields[name]; !there {
			o.fields[name] = value
		}
	}
}

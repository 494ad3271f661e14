package mockopenai

import (
	"strings"

	"github.com/tidwall/gjson"
)

// deepest is how deep sample follows a schema: one that contains itself has no end.
const deepest = 16

// sample is a JSON document that satisfies the schema, as far as SDKs write schemas: every required property is filled
// by its type, with the first of an enum or anyOf; $ref is followed within the schema.
func sample(schema gjson.Result) string { return sampleOf(schema, schema, 0) }

func sampleOf(root, schema gjson.Result, depth int) string {
	if depth > deepest {
		return "null"
	}
	if ref, ok := strings.CutPrefix(schema.Get("$ref").String(), "#"); ok {
		target := root
		for name := range strings.SplitSeq(strings.TrimPrefix(ref, "/"), "/") {
			if name != "" {
				target = target.Get(gjson.Escape(name))
			}
		}
		return sampleOf(root, target, depth+1)
	}
	if v := schema.Get("const"); v.Exists() {
		return v.Raw
	}
	if v := schema.Get("enum.0"); v.Exists() {
		return v.Raw
	}
	if v := schema.Get("anyOf.0"); v.Exists() {
		return sampleOf(root, v, depth+1)
	}
	return sampleType(root, schema, depth)
}

// sampleType goes by the type alone, the first if there are several. A schema that names none is taken for an object.
func sampleType(root, schema gjson.Result, depth int) string {
	typ := schema.Get("type")
	if typ.IsArray() {
		typ = typ.Get("0")
	}
	switch typ.String() {
	case "string":
		return `"text"`
	case "integer":
		return "1"
	case "number":
		return "1.5"
	case "boolean":
		return "true"
	case "array":
		return "[]"
	case "null":
		return "null"
	default:
		return sampleObject(root, schema, depth)
	}
}

func sampleObject(root, schema gjson.Result, depth int) string {
	properties := schema.Get("properties").Map()
	var out strings.Builder
	out.WriteByte('{')
	for i, name := range schema.Get("required").Array() {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString(quote(name.String()))
		out.WriteByte(':')
		out.WriteString(sampleOf(root, properties[name.String()], depth+1))
	}
	out.WriteByte('}')
	return out.String()
}

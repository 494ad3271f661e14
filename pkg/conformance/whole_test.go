package conformance

import (
	"reflect"
	"testing"

	"github.com/openai/openai-go/v3/packages/respjson"
)

// whole checks that an answer has every field that the SDK says it must have, those of the objects in it too.
func whole(t *testing.T, answer any) {
	t.Helper()
	lacks(t, reflect.Indirect(reflect.ValueOf(answer)))
}

func lacks(t *testing.T, v reflect.Value) {
	t.Helper()
	told := v.FieldByName("JSON")
	if !told.IsValid() {
		return
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		said, known := fieldOf(told, field.Name)
		if !known {
			continue
		}
		if field.Tag.Get("api") == "required" && said.Raw() == "" {
			t.Errorf("%s lacks %s: %s", v.Type().Name(), field.Name, v.Addr().MethodByName("RawJSON").Call(nil)[0])
		}
		if field.Type.Kind() == reflect.Struct && said.Valid() {
			lacks(t, v.Field(i))
		}
	}
}

// fieldOf is what the SDK read of a field.
func fieldOf(told reflect.Value, name string) (said respjson.Field, known bool) {
	field := told.FieldByName(name)
	if !field.IsValid() {
		return said, false
	}
	said, known = field.Interface().(respjson.Field)
	return said, known
}

package openai

import (
	"slices"
	"testing"
)

func TestReferences(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want []string
	}{
		"previous response": {`{"previous_response_id":"resp_1"}`, []string{"previous_response_id"}},
		"one that null replaces": {`{"previous_response_id":"resp_1","previous_response_id":null}`,
			[]string{"previous_response_id"}},
		"null and empty": {`{"previous_response_id":null,"conversation":{},"prompt":{"id":""},"file_ids":[ ],
			"input":[{"file_id":null},{"file_id":""}],"tools":[{"vector_store_ids":[],"container":null}]}`, nil},
		"conversation":          {`{"conversation":"conv_1"}`, []string{"conversation"}},
		"conversation object":   {`{"conversation":{"id":"conv_1"}}`, []string{"conversation"}},
		"stored prompt":         {`{"prompt":{"id":"pmpt_1"}}`, []string{"prompt.id"}},
		"an id before its null": {`{"prompt":{"id":null,"id":"pmpt_1"}}`, []string{"prompt.id"}},
		"file of a prompt": {`{"prompt":{"id":"pmpt_1","variables":{"x":{"file_id":"file-1"}}}}`,
			[]string{"prompt.id", "file_id"}},
		"plain prompt": {`{"prompt":"a file_id"}`, nil},
		"files in the input": {`{"input":[{"content":[{"file_id":"file-1"},{"file_id":"file-2"}]}]}`,
			[]string{"file_id"}},
		"files of a message":        {`{"messages":[{"attachments":[{"file_id" : "file-1"}]}]}`, []string{"file_id"}},
		"image and mask":            {`{"images":[{"file_id":"file-1"}],"mask":{"file_id":"file-2"}}`, []string{"file_id"}},
		"a field of tomorrow":       {`{"sources":[{"file_id":"file-1"}]}`, []string{"file_id"}},
		"at the top":                {`{"file_ids":["file-1"]}`, []string{"file_id"}},
		"vector store":              {`{"tools":[{"vector_store_ids":["vs_1"]}]}`, []string{"vector_store_ids"}},
		"named container":           {`{"tools":[{"container":"cntr_1"}]}`, []string{"container"}},
		"container of an item":      {`{"input":[{"container_id":"cntr_1"}]}`, []string{"container"}},
		"new container":             {`{"tools":[{"container":{"type":"auto"}}]}`, nil},
		"new container's files":     {`{"tools":[{"container":{"file_ids":["file-1"]}}]}`, []string{"file_id"}},
		"container of another kind": {`{"input":[{"arguments":{"container":"docker"}}]}`, nil},
		"a text about it":           {`{"messages":[{"content":"\"file_id\":\"x\""}]}`, nil},
		"a value of that name":      {`{"input":["file_id","x"]}`, nil},
		"a longer name":             {`{"input":[{"\"file_id":"x","file_id_":"x"}]}`, nil},
		"a function's parameter": {`{"tools":[{"parameters":{"properties":{"file_id":{"type":"string"},
			"container":{"type":"string"}}}}]}`, nil},
		"the caller's own names":            {`{"metadata":{"file_id":"x"},"text":{"example":{"file_id":"x"}}}`, nil},
		"a name in escapes":                 {`{"input":[{"file_\u0069d":"file-1"}]}`, []string{"file_id"}},
		"a string that ends in backslashes": {`{"input":[{"a":"\\\\","file_id":"file-1"}]}`, []string{"file_id"}},
		"in an unfinished body":             {`{"input":[{"file_id":"file-1"},{"content":"`, []string{"file_id"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ReadHead([]byte(c.body)).References; !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

package openai

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"unsafe"

	"github.com/tidwall/gjson"
)

// ReadHead reads a JSON request body in one pass over its top level. Of a member that is given twice the last one counts,
// as it does for most parsers.
func ReadHead(body []byte) Head {
	var h Head
	if len(body) == 0 {
		return h
	}
	// gjson copies what it is given as bytes; a body may be tens of megabytes and does not change while it is read.
	text := unsafe.String(unsafe.SliceData(body), len(body))
	doc := gjson.Parse(text)
	h.Readable = doc.IsObject() && gjson.Valid(text)
	models := 0
	doc.ForEach(func(key, value gjson.Result) bool {
		switch key.String() {
		case "model":
			models++
			h.Model = ""
			if value.Type == gjson.String {
				h.Model = strings.Clone(value.Str)
			}
		case "stream":
			h.Stream = value.Bool()
		case "stream_options":
			h.IncludeUsage = value.Get("include_usage").Bool()
		case "background":
			h.Background = value.Bool()
		case "max_tokens", "max_completion_tokens", "max_output_tokens":
			h.MaxTokens = max(value.Int(), 0)
		case "previous_response_id", "conversation":
			if value.Type == gjson.String && value.Str != "" || value.IsObject() {
				h.References = append(h.References, key.String())
			}
		case "prompt":
			if value.IsObject() && value.Get("id").Str != "" {
				h.References = append(h.References, "prompt.id")
			}
		case "tools", "input", "messages", "attachments", "tool_resources", "image", "images", "mask":
			h.References = append(h.References, referencesIn(value)...)
		}
		return true
	})
	h.Doubled = models > 1
	return h
}

// references are the members, at any depth, by which a body points at stored objects.
var references = map[string]string{"file_id": "file_id", "file_ids": "file_id", "vector_store_ids": "vector_store_ids",
	"container": "container", "container_id": "container"}

// referencesIn names the stored objects that a part of the body points at. Most bodies point at none, which the text
// itself shows without a walk.
func referencesIn(part gjson.Result) []string {
	if !strings.Contains(part.Raw, `file_id`) && !strings.Contains(part.Raw, `vector_store_ids`) &&
		!strings.Contains(part.Raw, `container`) && !strings.Contains(part.Raw, `\u`) {
		return nil
	}
	var found []string
	walk(part, 0, func(key string, value gjson.Result) {
		name, known := references[key]
		// A container that is an object asks for a new one.
		if known && (value.Type == gjson.String && value.Str != "" || value.IsArray() && len(value.Array()) > 0) {
			found = append(found, name)
		}
	})
	return found
}

// deepest is how far references are looked for: no request of the API nests deeper.
const deepest = 32

func walk(v gjson.Result, depth int, see func(key string, value gjson.Result)) {
	if depth > deepest || !v.IsObject() && !v.IsArray() {
		return
	}
	object := v.IsObject()
	v.ForEach(func(key, value gjson.Result) bool {
		if object {
			see(key.String(), value)
		}
		walk(value, depth+1, see)
		return true
	})
}

const (
	mostParts  = 1000     // of a form
	mostInPart = 64 << 10 // bytes of a form value that is read
)

// ReadFormHead reads a multipart/form-data body. Of an unfinished one it tells what it found, and that it was not Readable.
func ReadFormHead(contentType string, body []byte) Head {
	var h Head
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return h
	}
	models := 0
	form := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for range mostParts {
		part, err := form.NextRawPart()
		if err == io.EOF {
			h.Readable = true
			break
		}
		if err != nil {
			break
		}
		name := part.FormName()
		if part.FileName() != "" || name != "model" && name != "stream" {
			continue
		}
		value, err := io.ReadAll(io.LimitReader(part, mostInPart))
		if err != nil {
			break
		}
		if name == "model" {
			models++
			h.Model = string(value)
			continue
		}
		h.Stream = string(value) == "true" || string(value) == "1"
	}
	h.Doubled = models > 1
	return h
}

package openai

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
)

const (
	mostParts  = 1000     // of a form
	mostInPart = 64 << 10 // bytes of a form value that are read
)

// ReadFormHead reads a multipart/form-data body: model and stream, which may stand behind the files. Of a body that is
// unfinished, has a longer value there or too many parts it tells what it found, and that it was not Readable.
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
		if err != nil {
			h.Readable = err == io.EOF // bare only behind the last boundary
			break
		}
		name := part.FormName()
		if part.FileName() != "" || name != "model" && name != "stream" {
			continue
		}
		value, err := io.ReadAll(io.LimitReader(part, mostInPart+1))
		if err != nil || len(value) > mostInPart {
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

package openai

import (
	"bytes"
	"io"
	"mime/multipart"
	"strings"
)

const (
	mostParts  = 1000     // of a form
	mostInPart = 64 << 10 // bytes of a form value that are read
)

// ReadFormHead reads a multipart/form-data body: model, stream and references, which may stand behind the files. Of a body that is
// unfinished, has a part whose name is in doubt, a longer value there or too many parts it tells what it found, and that it was not Readable.
func ReadFormHead(contentType string, body []byte) Head {
	var h Head
	boundary := boundaryOf(contentType)
	if boundary == "" {
		return h
	}
	models, r := 0, new(headReader)
	form := multipart.NewReader(bytes.NewReader(body), boundary)
	name, isFile := "", false
	for parts := range mostParts {
		part, err := form.NextRawPart()
		if err != nil {
			h.Readable = err == io.EOF // bare only behind the last boundary
			h.InFile = !h.Readable && isFile && bytes.Count(body, []byte("--"+boundary)) == parts
			break
		}
		if name, isFile = nameOf(part); name == "" {
			break
		}
		if isFile {
			continue
		}
		value, err := io.ReadAll(io.LimitReader(part, mostInPart+1))
		if err != nil || len(value) > mostInPart && !isPlainField(name, string(value)) {
			break
		}
		switch only(fieldPath(name)) {
		case "model":
			models++
			h.Model = string(value)
		case "stream":
			h.Stream = string(value) == "true" || string(value) == "1"
		default:
			r.referByField(name, string(value))
		}
	}
	h.Doubled, h.Readable = models > 1, h.Readable && !r.crowded
	h.References, h.Items, h.Searches = r.head.References, r.head.Items, r.head.Searches
	return h
}

// nameOf is the name of a part, and whether it is a file; empty when there is no name, or parsers may differ in it.
func nameOf(part *multipart.Part) (name string, isFile bool) {
	said := part.Header["Content-Disposition"]
	if len(said) != 1 {
		return "", false
	}
	lower := strings.ToLower(said[0])
	name, isFile = part.FormName(), part.FileName() != ""
	switch {
	case !isFile && part.Header.Get("Content-Transfer-Encoding") != "":
		return "", false // some decode the value
	case strings.Contains(strings.ReplaceAll(lower, "filename*", ""), "name*"), !isFile && strings.Contains(lower, `\`):
		return "", false
	case isFile && !strings.Contains(lower, "filename=") && !isPlainField(name, "x"):
		return "", false // a parser that does not know filename* takes it for a value
	}
	return name, isFile
}

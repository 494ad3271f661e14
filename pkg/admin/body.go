package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
)

const (
	// mostBody bounds a body, in bytes.
	mostBody = 4 << 20
	// mostDepth bounds how deep JSON may nest; the file needs three.
	mostDepth = 32
	// bodyWithin is how long a body may take to arrive.
	bodyWithin = 30 * time.Second
)

// The types of bodies.
const (
	jsonType  = "application/json"
	patchType = "application/merge-patch+json"
	plainType = "text/plain"
)

// body reads the body, which must be of one of the types. JSON is known to be some afterwards.
func body(c *gin.Context, types ...string) (text []byte, kind string, err error) {
	kind, params, err := mime.ParseMediaType(c.GetHeader("Content-Type"))
	charset := params["charset"]
	if err != nil || !slices.Contains(types, kind) || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, "", wrong("", "the Content-Type must be "+strings.Join(types, " or "))
	}
	if c.GetHeader("Content-Encoding") != "" {
		return nil, "", wrong("", "the body must not be encoded")
	}
	rc := http.NewResponseController(c.Writer)
	_ = rc.SetReadDeadline(time.Now().Add(bodyWithin)) // not every server can
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	text, err = io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, mostBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, "", err
	case err != nil:
		return nil, "", wrong("", "the body could not be read to its end")
	case !utf8.Valid(text):
		return nil, "", wrong("", "the body is not UTF-8")
	case kind == plainType:
		return text, kind, nil
	case tooDeep(text):
		return nil, "", wrong("", "the body nests too deep")
	case !json.Valid(text):
		return nil, "", wrong("", "the body is not JSON")
	}
	return text, kind, nil
}

// tooDeep reports whether brackets nest deeper than mostDepth. It comes before anything that recurses.
func tooDeep(text []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{' || b == '[':
			if depth++; depth > mostDepth {
				return true
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return false
}

// object reads a body that is a JSON object with some of these members and no others into v.
func object(c *gin.Context, v any, members ...string) error {
	text, _, err := body(c, jsonType)
	if err != nil {
		return err
	}
	var given map[string]json.RawMessage
	if json.Unmarshal(text, &given) != nil || given == nil {
		return wrong("", "the body must be a JSON object")
	}
	for name := range given {
		if !slices.Contains(members, name) {
			return wrong("", "the body has an unknown member; there are "+strings.Join(members, ", "))
		}
	}
	var mistyped *json.UnmarshalTypeError
	if err := json.Unmarshal(text, v); errors.As(err, &mistyped) {
		return wrong(members[0], members[0]+" is of the wrong type")
	} else if err != nil {
		return wrong("", "the body cannot be read")
	}
	return nil
}

// hasBody reports whether there is one.
func hasBody(c *gin.Context) bool { return c.Request.ContentLength != 0 }

// answer writes v as JSON.
func answer(c *gin.Context, status int, v any) error {
	var text bytes.Buffer
	to := json.NewEncoder(&text)
	to.SetEscapeHTML(false)
	if err := to.Encode(v); err != nil {
		return err
	}
	_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(writeWithin))
	c.Data(status, jsonType, bytes.TrimSuffix(text.Bytes(), []byte("\n")))
	_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Time{})
	return nil
}

// writeWithin is how long an operator may leave one write unread.
const writeWithin = 30 * time.Second

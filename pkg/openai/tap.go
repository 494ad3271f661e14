package openai

import (
	"bytes"
	"strings"

	"github.com/tidwall/gjson"
)

const (
	// lineKept is the longest line, or body, of which the tap keeps all.
	lineKept = 64 << 10
	// tailKept is what it keeps of longer ones: usage stands at the end.
	tailKept = 16 << 10
)

// Tap reads an answer beside the bytes that pass: the usage, how many events carried output, how it ended. It never
// fails; what it cannot read costs only the figure.
type Tap struct {
	events bool // server-sent events; otherwise one JSON document
	silent bool // neither: nothing to read
	line   []byte
	cut    bool // line has lost its beginning

	usage  Usage
	known  bool
	deltas int64
	ended  bool
	failed bool
}

// NewTap makes a tap for an answer of the content type.
func NewTap(contentType string) *Tap {
	t := &Tap{events: strings.HasPrefix(contentType, "text/event-stream")}
	t.silent = !t.events && !strings.Contains(contentType, "json")
	return t
}

// Write takes the next bytes.
func (t *Tap) Write(p []byte) (int, error) {
	n := len(p)
	if t.silent {
		return n, nil
	}
	if !t.events {
		t.keep(p)
		return n, nil
	}
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			t.keep(p)
			break
		}
		if len(t.line) == 0 {
			t.see(p[:end], false)
		} else {
			t.keep(p[:end])
			t.see(t.line, t.cut)
			t.line, t.cut = t.line[:0], false
		}
		p = p[end+1:]
	}
	return n, nil
}

// keep appends to the line, of which only the tail stays when it is too long.
func (t *Tap) keep(p []byte) {
	t.line = append(t.line, p...)
	if len(t.line) > lineKept {
		t.line = append(t.line[:0], t.line[len(t.line)-tailKept:]...)
		t.cut = true
	}
}

var (
	dataField  = []byte("data:")
	doneData   = []byte("[DONE]")
	usageName  = []byte(`"usage"`)
	errorName  = []byte(`"error"`)
	typeName   = []byte(`"type"`)
	contentKey = []byte(`"content":"`)
	deltaKey   = []byte(`"delta":"`)
	argsKey    = []byte(`"arguments":"`)
	textKey    = []byte(`"text":"`)
)

// see reads one line of a stream. Ordinary ones, which carry output, are only searched, not decoded.
func (t *Tap) see(line []byte, cut bool) {
	if !cut {
		data, found := bytes.CutPrefix(line, dataField)
		if !found {
			return
		}
		line = bytes.TrimSpace(data)
		if bytes.Equal(line, doneData) {
			t.ended = true
			return
		}
		if carriesOutput(line) {
			t.deltas++
		}
		t.readType(line)
	}
	if bytes.Contains(line, usageName) {
		t.readUsage(line, cut)
	}
}

// carriesOutput reports whether an event has a piece of text, of arguments or of audio that is not empty.
func carriesOutput(line []byte) bool {
	for _, key := range [...][]byte{deltaKey, contentKey, argsKey, textKey} {
		if i := bytes.Index(line, key); i >= 0 && i+len(key) < len(line) && line[i+len(key)] != '"' {
			return true
		}
	}
	return false
}

// terminal are the types of events after which nothing follows, and whether they tell of a failure.
var terminal = map[string]bool{"response.completed": false, "response.incomplete": false, "response.failed": true,
	"image_generation.completed": false, "image_edit.completed": false, "speech.audio.done": false,
	"transcript.text.done": false, "error": true}

func (t *Tap) readType(line []byte) {
	if bytes.Contains(line, errorName) {
		if e := gjson.GetBytes(line, "error"); e.IsObject() || e.Type == gjson.String && e.Str != "" {
			t.failed = true
		}
	}
	if !bytes.Contains(line, typeName) {
		return
	}
	if failed, ends := terminal[gjson.GetBytes(line, "type").Str]; ends {
		t.ended = true
		t.failed = t.failed || failed
	}
}

// readUsage finds the usage in a line or body; of one that was cut, in its tail.
func (t *Tap) readUsage(doc []byte, cut bool) {
	var found gjson.Result
	if cut {
		if i := lastMember(doc, usageName); i >= 0 {
			found = gjson.ParseBytes(bytes.TrimLeft(doc[i+len(usageName):], ": \t"))
		}
	} else if found = gjson.GetBytes(doc, "usage"); !found.IsObject() {
		found = gjson.GetBytes(doc, "response.usage")
	}
	if u, ok := usageOf(found); ok {
		t.usage, t.known = u, true
	}
}

// lastMember is where the name stands last, not as a part of an escaped string.
func lastMember(doc, name []byte) int {
	for end := len(doc); ; {
		i := bytes.LastIndex(doc[:end], name)
		if i <= 0 || doc[i-1] != '\\' {
			return i
		}
		end = i
	}
}

// mostTokens bounds what is believed: beyond it integers lose digits on their way through Lua and JavaScript.
const mostTokens = 1 << 53

// usageOf reads a usage object in any of its forms.
func usageOf(u gjson.Result) (Usage, bool) {
	if !u.IsObject() {
		return Usage{}, false
	}
	input, output := u.Get("input_tokens"), u.Get("output_tokens")
	inputMore, outputMore := "input_tokens_details", "output_tokens_details"
	if !input.Exists() {
		input, output = u.Get("prompt_tokens"), u.Get("completion_tokens")
		inputMore, outputMore = "prompt_tokens_details", "completion_tokens_details"
	}
	if !input.Exists() && !output.Exists() {
		return Usage{}, false // as for a transcription that is paid by the second
	}
	usage := Usage{Input: input.Int(), Output: output.Int(), Basis: Exact,
		Cached: u.Get(inputMore + ".cached_tokens").Int(), Reasoning: u.Get(outputMore + ".reasoning_tokens").Int()}
	for _, n := range [...]int64{usage.Input, usage.Cached, usage.Output, usage.Reasoning} {
		if n < 0 || n > mostTokens {
			return Usage{}, false
		}
	}
	return usage, true
}

// Usage is what the upstream said was used; false while it has not.
func (t *Tap) Usage() (Usage, bool) {
	if !t.events && !t.known && len(t.line) > 0 {
		t.readUsage(t.line, t.cut)
	}
	return t.usage, t.known
}

// Deltas is how many events carried output: roughly one token each.
func (t *Tap) Deltas() int64 { return t.deltas }

// Ended reports whether the stream's own last event was seen.
func (t *Tap) Ended() bool { return t.ended }

// Failed reports whether the stream told of a failure.
func (t *Tap) Failed() bool { return t.failed }

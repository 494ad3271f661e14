package openai

import (
	"strings"

	"github.com/tidwall/gjson"
)

// Reference is an object stored upstream that a request points at.
type Reference struct {
	Param  string // the field that does
	Family Family
	ID     string // as it is given, which may be no id at all
}

// mostReferences bounds those of one request, more than any operation takes. A body with more counts as not readable.
const mostReferences = 10_000

// referring are the names that point at something wherever they stand.
var referring = map[string]Family{"file_id": Files, "file_ids": Files, "input_file_id": Files, "vector_store_id": VectorStores,
	"vector_store_ids": VectorStores, "container_id": Containers, "assistant_id": Assistants, "thread_id": Threads,
	"skill_id": Skills, "tunnel_id": Tunnels, "conversation_id": Conversations}

// pointing are those that do so at the top only: lower down, and in the caller's own names, the words have other uses.
var pointing = map[string]Family{"previous_response_id": Responses, "conversation": Conversations, "training_file": Files,
	"validation_file": Files, "consent": Consents, "voice": Voices, "video": Videos, "characters": Characters}

// reference notes what a member of the top level points at.
func (r *headReader) reference(name string, value gjson.Result) {
	if value.Type != gjson.String && value.Type != gjson.JSON {
		return // a number is no name
	}
	family, points := pointing[name]
	switch {
	case name == "metadata" || name == "attributes" || name == "response_format" || name == "text":
		// These are the caller's own names, and examples of what the model may write.
		return
	case name == "voice":
		r.referByVoice(name, value)
	case points:
		r.referByIDs(name, family, value)
	case name == "prompt":
		r.referByMember(name, "id", Prompts, value)
	case name == "audio":
		r.eachOf(value, "voice", func(voice gjson.Result) { r.referByVoice("audio.voice", voice) })
		r.eachOf(value, "output", func(output gjson.Result) { // of a session
			r.eachOf(output, "voice", func(voice gjson.Result) { r.referByVoice("audio.output.voice", voice) })
		})
	case name == "input" || name == "items":
		r.referByItems(name, value)
	case name == "data_source":
		r.eachOf(value, "source", func(source gjson.Result) { r.referBySource("data_source.source", source) })
	case name == "data_source_config":
		r.referBySource(name, value)
	}
	r.referTo(name, name, value.Raw)
	r.referWithin(name, value)
}

// eachOf calls see for each member of an object that has the name: of two of one name parsers take either.
func (r *headReader) eachOf(object gjson.Result, name string, see func(gjson.Result)) {
	if !object.IsObject() {
		return
	}
	object.ForEach(func(key, value gjson.Result) bool {
		if key.String() == name {
			see(value)
		}
		return true
	})
}

// referByMember notes the object whose id is a member of value.
func (r *headReader) referByMember(param, member string, family Family, value gjson.Result) {
	r.eachOf(value, member, func(id gjson.Result) {
		if id.Type == gjson.String {
			r.refer(param+"."+member, family, id.Str)
		}
	})
}

// referByIDs notes an id, an object with one, or a list of either.
func (r *headReader) referByIDs(param string, family Family, value gjson.Result) {
	switch {
	case value.Type == gjson.String:
		r.refer(param, family, value.Str)
	case value.IsArray():
		value.ForEach(func(_, one gjson.Result) bool {
			if one.IsArray() { // nobody takes one; to go down a list at a time costs its length at each
				eachQuoted(one.Raw, func(id string) { r.refer(param, family, id) })
			} else {
				r.referByIDs(param, family, one)
			}
			return true
		})
	default:
		r.eachOf(value, "id", func(id gjson.Result) {
			if id.Type == gjson.String {
				r.refer(param, family, id.Str)
			}
		})
	}
}

// referByVoice notes a voice that somebody made. Those that everybody has are named by a plain word.
func (r *headReader) referByVoice(param string, value gjson.Result) {
	if value.Type != gjson.String || FamilyOf(value.Str) == Voices {
		r.referByIDs(param, Voices, value)
	}
}

// referByItems notes the items of earlier answers. One that is only named must be the caller's. One that is given whole is
// read where it was made, if that can be: the upstream looks up what it thought there.
func (r *headReader) referByItems(param string, list gjson.Result) {
	if !list.IsArray() || !quotes(list.Raw, "id") && !quotes(list.Raw, "encrypted_content") && !strings.Contains(list.Raw, `\u`) {
		return
	}
	list.ForEach(func(_, item gjson.Result) bool {
		var ids []string
		named := true
		r.eachOf(item, "id", func(id gjson.Result) {
			if id.Type == gjson.String {
				ids = append(ids, id.Str)
			}
		})
		item.ForEach(func(key, value gjson.Result) bool {
			named = named && (key.String() == "id" || key.String() == "type" && (value.Str == "item_reference" || value.Type == gjson.Null))
			return true
		})
		for _, id := range ids {
			if named {
				r.refer(param, Items, id)
			} else if len(r.head.Items) < mostItems && IsObjectID(id) {
				r.head.Items = append(r.head.Items, strings.Clone(id))
			}
		}
		r.eachOf(item, "encrypted_content", func(sealed gjson.Result) {
			if sealed.Type == gjson.String && sealed.Str != "" && len(r.head.Items) < mostItems {
				r.head.Items = append(r.head.Items, sealID(sealed.Str))
			}
		})
		return true
	})
}

// mostItems bounds the items of which a request is asked where they were made.
const mostItems = 200

// referBySource notes the file of an evaluation. Sources that choose among all that an account stores cannot be anybody's.
func (r *headReader) referBySource(param string, source gjson.Result) {
	r.eachOf(source, "type", func(kind gjson.Result) {
		switch kind.Str {
		case "stored_completions", "responses", "logs":
			r.head.Searches = param
		}
	})
	r.referByMember(param, "id", Files, source)
}

// hints are what stands before "_id" in the names of referring.
var hints = []string{"file", "vector_store", "container", "assistant", "thread", "skill", "tunnel", "conversation"}

// mayRefer reports whether a text has one of the names, which the text shows without a look at its structure; a name in
// escapes does not show.
func mayRefer(top, text string) bool {
	if strings.Contains(text, `\u`) || top == "tools" && quotes(text, "container") || top == "messages" && quotes(text, "audio") ||
		top != "messages" && top != "input" && strings.Contains(text, "cntr_") {
		return true
	}
	for from := 0; ; {
		i := strings.Index(text[from:], "_id")
		if i < 0 {
			return false
		}
		from += i
		for _, h := range hints {
			if strings.HasSuffix(text[:from], h) {
				return true
			}
		}
		from += len("_id")
	}
}

// quotes reports whether a text has the name between quotes. To look for all of that at once is slow in a long text that begins
// with some other names: the library takes the many first quotes for a reason to compare at every byte.
func quotes(text, name string) bool {
	for {
		i := strings.IndexByte(text, '"')
		if i < 0 {
			return false
		}
		text = text[i+1:]
		if rest, found := strings.CutPrefix(text, name); found && strings.HasPrefix(rest, `"`) {
			return true
		}
	}
}

// referWithin notes the references at any depth of a member.
func (r *headReader) referWithin(top string, value gjson.Result) {
	if (value.IsObject() || value.IsArray()) && mayRefer(top, value.Raw) {
		eachMember(value.Raw, func(name, rest string) (within bool) {
			if within = !isOwn(top, name); within {
				r.referTo(top, name, rest)
			}
			return within
		})
	}
}

// referTo notes the reference that a member makes, if its name is that of one. The value is at the beginning of rest. A
// container is named by a tool, which an evaluation has deep within, and the sound of an answer by a message: elsewhere the
// words have other uses.
func (r *headReader) referTo(top, name, rest string) {
	family, refers := referring[name]
	switch {
	case refers:
		eachString(rest, func(id string) { r.refer(name, family, id) })
	case name == "container" && strings.HasPrefix(rest, `"`):
		eachString(rest, func(id string) {
			if top == "tools" || FamilyOf(id) == Containers {
				r.refer(name, Containers, id)
			}
		})
	case name == "audio" && top == "messages" && strings.HasPrefix(rest, "{"):
		r.referByMember(name, "id", Audio, gjson.Parse(rest))
	}
}

// refer notes a reference once. A file that stands in a container can be reached through that only.
func (r *headReader) refer(param string, family Family, id string) {
	if id == "" || family == Files && strings.HasPrefix(id, "cfile_") {
		return
	}
	one := Reference{strings.Clone(param), family, strings.Clone(id)} // the head outlives the body
	if len(r.head.References) >= mostReferences {
		r.crowded = true
		return
	}
	if r.referred == nil {
		r.referred = map[Reference]bool{}
	}
	if !r.referred[one] {
		r.referred[one] = true
		r.head.References = append(r.head.References, one)
	}
}

// eachString calls see for the string at the beginning of a text, or for each string of the list there.
func eachString(text string, see func(string)) {
	list := strings.HasPrefix(text, "[")
	if list {
		text = afterSpace(text[1:])
	}
	for strings.HasPrefix(text, `"`) {
		end := 1 + stringEnd(text[1:])
		if end >= len(text) {
			return
		}
		plain := text[1:end]
		if strings.Contains(plain, `\`) {
			plain = gjson.Parse(text[:end+1]).Str
		}
		see(plain)
		if text = afterSpace(text[end+1:]); !list || !strings.HasPrefix(text, ",") {
			return
		}
		text = afterSpace(text[1:])
	}
}

// eachQuoted calls see for every string in a text, whatever it stands for.
func eachQuoted(text string, see func(string)) {
	for {
		open := strings.IndexByte(text, '"')
		if open < 0 {
			return
		}
		text = text[open+1:]
		end := stringEnd(text)
		if end >= len(text) {
			return
		}
		see(gjson.Parse(`"` + text[:end+1]).Str)
		text = text[end+1:]
	}
}

// eachMember calls see for every member at any depth, with its name and the text from its value on; an object of which see
// returns false is passed over. It goes once from string to string, so that its cost is bounded by the text's length however
// deep that nests.
func eachMember(text string, see func(name, rest string) (within bool)) {
	for {
		open := strings.IndexByte(text, '"')
		if open < 0 {
			return
		}
		text = text[open+1:]
		end := stringEnd(text)
		if end == len(text) {
			return
		}
		name := text[:end]
		text = afterSpace(text[end+1:])
		value, isName := strings.CutPrefix(text, ":")
		if !isName {
			continue
		}
		if strings.Contains(name, `\`) {
			name = gjson.Parse(`"` + name + `"`).Str
		}
		text = afterSpace(value)
		if !see(name, text) {
			text = behindObject(text)
		}
	}
}

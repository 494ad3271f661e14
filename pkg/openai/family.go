package openai

import (
	"strings"
)

// Family is a kind of objects that are stored upstream. Its name is that of their slots in the operation table.
type Family string

// The families, of which the code speaks; those of the operation table are all in families.
const (
	Files         Family = "file"
	Responses     Family = "response"
	Completions   Family = "completion"
	Conversations Family = "conversation"
	Prompts       Family = "prompt"
	VectorStores  Family = "vector_store"
	Containers    Family = "container"
	Assistants    Family = "assistant"
	Threads       Family = "thread"
	Videos        Family = "video"
	Characters    Family = "character"
	Skills        Family = "skill"
	Consents      Family = "consent"
	Voices        Family = "voice"
	Audio         Family = "audio"
	Tunnels       Family = "tunnel"
	Items         Family = "item"
	Calls         Family = "call"
	// Unsettled are responses in the background that were not counted so far. They are no objects of the upstream.
	Unsettled Family = "unsettled"
)

// families are all there are, with how their ids begin.
var families = []struct {
	name   Family
	prefix string
	passes bool // the upstream forgets them by itself, within a month
}{
	{Files, "file-", false}, {"upload", "upload_", false}, {"batch", "batch_", false}, {Responses, "resp_", true},
	{Completions, "chatcmpl-", true}, {Conversations, "conv_", false}, {VectorStores, "vs_", false}, {"job", "ftjob-", false},
	{Assistants, "asst_", false}, {Threads, "thread_", false}, {"eval", "eval_", false}, {Containers, "cntr_", false},
	{Videos, "video_", false}, {Characters, "char_", false}, {Skills, "skill_", false}, {Consents, "cons_", false},
	{Voices, "voice_", false}, {Audio, "audio_", true}, {Prompts, "pmpt_", false}, {Tunnels, "tunnel_", false},
	{Calls, "rtc_", true},
	{Items, "", true}, // of an answer; their ids begin in many ways
	{Unsettled, "", true},
}

// Families are all there are of objects of the upstream.
func Families() (all []Family) {
	for _, f := range families {
		if f.name != Unsettled {
			all = append(all, f.name)
		}
	}
	return all
}

// IsFamily reports whether there is such a family of the name.
func IsFamily(name string) bool {
	for _, f := range families {
		if string(f.name) == name && f.name != Unsettled {
			return true
		}
	}
	return false
}

// Passes reports whether the upstream forgets objects of the family by itself, within a month.
func (f Family) Passes() bool {
	for _, one := range families {
		if one.name == f {
			return one.passes
		}
	}
	return false
}

// FamilyOf is the family whose ids begin as this one does; empty when none do.
func FamilyOf(id string) Family {
	for _, f := range families {
		if f.prefix != "" && strings.HasPrefix(id, f.prefix) {
			return f.name
		}
	}
	return ""
}

// longestID bounds an id of an object; the longest known have a third of it.
const longestID = 200

// IsObjectID reports whether a text can be the id of an object: what needs no escape in a path, and is not too long.
func IsObjectID(id string) bool {
	return id != "" && len(id) <= longestID && strings.Trim(id, literalBytes) == "" && id != "." && id != ".."
}

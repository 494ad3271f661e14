package openai

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// written are references as the tests below name them: "file_id=file:file-1".
func written(all []Reference) (texts []string) {
	for _, r := range all {
		texts = append(texts, r.Param+"="+string(r.Family)+":"+r.ID)
	}
	return texts
}

func TestReferences(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want string
	}{
		"previous response": {`{"previous_response_id":"resp_1"}`, "previous_response_id=response:resp_1"},
		"one that null replaces": {`{"previous_response_id":"resp_1","previous_response_id":null}`,
			"previous_response_id=response:resp_1"},
		"null and empty": {`{"previous_response_id":null,"conversation":{},"prompt":{"id":""},"file_ids":[ ],
			"input":[{"file_id":null},{"file_id":""}],"tools":[{"vector_store_ids":[],"container":null}]}`, ""},
		"conversation":        {`{"conversation":"conv_1"}`, "conversation=conversation:conv_1"},
		"conversation object": {`{"conversation":{"id":"conv_1"}}`, "conversation=conversation:conv_1"},
		"conversations in lists": {`{"conversation":[null,["conv_1",[{"id":"conv_2"}]],"conv_3"]}`,
			"conversation=conversation:conv_1 conversation=conversation:id conversation=conversation:conv_2 conversation=conversation:conv_3"},
		"stored prompt":         {`{"prompt":{"id":"pmpt_1"}}`, "prompt.id=prompt:pmpt_1"},
		"an id before its null": {`{"prompt":{"id":null,"id":"pmpt_1"}}`, "prompt.id=prompt:pmpt_1"},
		"file of a prompt": {`{"prompt":{"id":"pmpt_1","variables":{"x":{"file_id":"file-1"}}}}`,
			"prompt.id=prompt:pmpt_1 file_id=file:file-1"},
		"file of a variable called as labels are": {`{"prompt":{"variables":{"metadata":{"file_id":"file-1"},"attributes":{"file_id":"file-2"}}}}`,
			"file_id=file:file-1 file_id=file:file-2"},
		"plain prompt": {`{"prompt":"a file_id"}`, ""},
		"files in the input": {`{"input":[{"content":[{"file_id":"file-1"},{"file_id":"file-2"},{"file_id":"file-1"}]}]}`,
			"file_id=file:file-1 file_id=file:file-2"},
		"files of a message":  {`{"messages":[{"attachments":[{"file_id" : "file-1"}]}]}`, "file_id=file:file-1"},
		"image and mask":      {`{"images":[{"file_id":"file-1"}],"mask":{"file_id":"file-2"}}`, "file_id=file:file-1 file_id=file:file-2"},
		"a field of tomorrow": {`{"sources":[{"file_id":"file-1"}]}`, "file_id=file:file-1"},
		"at the top":          {`{"file_ids":["file-1" , "file-2"]}`, "file_ids=file:file-1 file_ids=file:file-2"},
		"vector store":        {`{"tools":[{"vector_store_ids":["vs_1","vs_2"]}]}`, "vector_store_ids=vector_store:vs_1 vector_store_ids=vector_store:vs_2"},
		"resources":           {`{"tool_resources":{"code_interpreter":{"file_ids":["file-1"]}}}`, "file_ids=file:file-1"},
		"named container":     {`{"tools":[{"container":"cntr_1"}]}`, "container=container:cntr_1"},
		"container of an evaluation": {`{"data_source":{"sampling_params":{"tools":[{"type":"code_interpreter","container":"cntr_1"}]}}}`,
			"container=container:cntr_1"},
		"no container":              {`{"data_source":{"container":"blue"},"metadata":{"container":"cntr_1"}}`, ""},
		"container of an item":      {`{"input":[{"container_id":"cntr_1"}]}`, "container_id=container:cntr_1"},
		"file in a container":       {`{"input":[{"annotations":[{"container_id":"cntr_1","file_id":"cfile_1"}]}]}`, "container_id=container:cntr_1"},
		"new container":             {`{"tools":[{"container":{"type":"auto"}}]}`, ""},
		"new container's files":     {`{"tools":[{"container":{"file_ids":["file-1"]}}]}`, "file_ids=file:file-1"},
		"container of another kind": {`{"input":[{"arguments":{"container":"docker"}}]}`, ""},
		"skill and tunnel":          {`{"tools":[{"environment":{"skills":[{"skill_id":"skill_1"}]}},{"tunnel_id":"tunnel_1"}]}`, "skill_id=skill:skill_1 tunnel_id=tunnel:tunnel_1"},
		"assistant":                 {`{"assistant_id":"asst_1","thread":{"messages":[{"content":[{"image_file":{"file_id":"file-1"}}]}]}}`, "assistant_id=assistant:asst_1 file_id=file:file-1"},
		"batch":                     {`{"input_file_id":"file-1","endpoint":"/v1/responses"}`, "input_file_id=file:file-1"},
		"fine-tune":                 {`{"training_file":"file-1","validation_file":"file-2"}`, "training_file=file:file-1 validation_file=file:file-2"},
		"video":                     {`{"video":{"id":"video_1"},"characters":[{"id":"char_1"},{"id":"char_2"}]}`, "video=video:video_1 characters=character:char_1 characters=character:char_2"},
		"a voice of one's own":      {`{"voice":{"id":"voice_1"}}`, "voice=voice:voice_1"},
		"a voice by its id":         {`{"voice":"voice_1"}`, "voice=voice:voice_1"},
		"a voice of everybody":      {`{"voice":"alloy","audio":{"voice":"coral","format":"wav"}}`, ""},
		"a voice to chat with":      {`{"audio":{"voice":{"id":"voice_1"}}}`, "audio.voice=voice:voice_1"},
		"what was heard":            {`{"messages":[{"role":"assistant","audio":{"id":"audio_1"}}]}`, "audio.id=audio:audio_1"},
		"file of an evaluation":     {`{"data_source":{"type":"jsonl","source":{"type":"file_id","id":"file-1"}}}`, "data_source.source.id=file:file-1"},
		"an item by its id":         {`{"input":[{"type":"item_reference","id":"msg_1"},{"id":"msg_2"},{"type":null,"id":"msg_3"}]}`, "input=item:msg_1 input=item:msg_2 input=item:msg_3"},
		"items given whole":         {`{"input":[{"type":"reasoning","id":"rs_1","summary":[]},{"role":"user","content":"x"}]}`, ""},
		"a text about it":           {`{"messages":[{"content":"\"file_id\":\"x\""}]}`, ""},
		"a value of that name":      {`{"input":["file_id","x"]}`, ""},
		"a longer name":             {`{"input":[{"\"file_id":"x","file_id_":"x"}]}`, ""},
		"a function's parameter": {`{"tools":[{"parameters":{"properties":{"file_id":{"type":"string"},
			"container":{"type":"string"}}}}]}`, ""},
		"the caller's own names":            {`{"metadata":{"file_id":"x"},"text":{"example":{"file_id":"x"}}}`, ""},
		"of a message within":               {`{"thread":{"messages":[{"metadata":{"thread_id":"x","y":"}"},"file_id":"file-1"}]}}`, "file_id=file:file-1"},
		"of a file within":                  {`{"files":[{"attributes":{"file_id":["x"]},"file_id":"file-1"},{"metadata":"x","file_id":"file-2"}]}`, "file_id=file:file-1 file_id=file:file-2"},
		"rows of an evaluation":             {`{"data_source":{"source":{"content":[{"item":{"file_id":"x","a":[{}]},"sample":{"thread_id":"x"}}]},"tools":[{"vector_store_ids":["vs_1"]}]}}`, "vector_store_ids=vector_store:vs_1"},
		"an item of something else":         {`{"input":[{"item":{"file_id":"file-1"}}]}`, "file_id=file:file-1"},
		"a name in escapes":                 {`{"input":[{"file_\u0069d":"file-1"}]}`, "file_id=file:file-1"},
		"an id in escapes":                  {`{"input":[{"file_id":"fil\u0065-1"}],"file_ids":["fil\u0065-2"]}`, "file_id=file:file-1 file_ids=file:file-2"},
		"a string that ends in backslashes": {`{"input":[{"a":"\\\\","file_id":"file-1"}]}`, "file_id=file:file-1"},
		"in an unfinished body":             {`{"input":[{"file_id":"file-1"},{"content":"`, "file_id=file:file-1"},
		"no end of a list":                  {`{"file_ids":["file-1","file-2`, "file_ids=file:file-1"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := written(ReadHead([]byte(c.body)).References); !slices.Equal(got, strings.Fields(c.want)) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestItemsAndSearches(t *testing.T) {
	h := ReadHead([]byte(`{"input":[{"type":"reasoning","id":"rs_1"},{"type":"message","id":"msg_1","role":"assistant"},{"type":"message","id":7}]}`))
	if !slices.Equal(h.Items, []string{"rs_1", "msg_1"}) || len(h.References) != 0 {
		t.Errorf("%+v", h)
	}
	sealed := strings.Repeat("gAAAAAB_", 100)
	h = ReadHead([]byte(`{"store":false,"include":["reasoning.encrypted_content"],"input":[{"type":"reasoning","encrypted_content":"` + sealed + `"},` +
		`{"type":"compaction","id":"cmp_1","encrypted_content":"x"},{"encrypted_content":""},{"encrypted_content":null}]}`))
	if !h.Sealed || !slices.Equal(h.Items, []string{sealID(sealed), "cmp_1", sealID("x")}) || sealID(sealed) == sealID(sealed[1:]) {
		t.Errorf("%+v", h)
	}
	for body, want := range map[string]string{
		`{"data_source":{"type":"responses","source":{"type":"responses"}}}`:     "data_source.source",
		`{"data_source":{"source":{"type":"stored_completions","metadata":{}}}}`: "data_source.source",
		`{"data_source_config":{"type":"logs"}}`:                                 "data_source_config",
		`{"data_source":{"type":"responses","source":{"type":"file_content"}}}`:  "",
	} {
		if got := ReadHead([]byte(body)).Searches; got != want {
			t.Errorf("%s: %q", body, got)
		}
	}
}

func TestStoreAndSound(t *testing.T) {
	for body, want := range map[string]Head{
		`{}`:                              {Readable: true},
		`{"store":true}`:                  {Readable: true, Store: Yes},
		`{"store":false}`:                 {Readable: true, Store: No},
		`{"store":null}`:                  {Readable: true},
		`{"modalities":["text","audio"]}`: {Readable: true, Sound: true},
		`{"modalities":["text"]}`:         {Readable: true},
	} {
		if h := ReadHead([]byte(body)); h.Store != want.Store || h.Sound != want.Sound || !h.Readable {
			t.Errorf("%s: %+v", body, h)
		}
	}
}

func TestTooManyReferences(t *testing.T) {
	var b strings.Builder
	for i := range mostReferences + 1 {
		fmt.Fprintf(&b, `"file-%d",`, i)
	}
	h := ReadHead([]byte(`{"file_ids":[` + strings.TrimSuffix(b.String(), ",") + `]}`))
	if h.Readable || len(h.References) != mostReferences {
		t.Errorf("readable %v, %d", h.Readable, len(h.References))
	}
}

func TestReferencesInQuery(t *testing.T) {
	q, _ := url.ParseQuery("limit=5&file_id=file-1&after=file-2&previous_response_id=resp_1&file_ids[]=file-3&file_ids[]=file-4")
	want := []string{"file_id=file:file-1", "file_ids[]=file:file-3", "file_ids[]=file:file-4", "previous_response_id=response:resp_1"}
	if got := written(ReferencesInQuery(q)); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

package openai

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// sightings runs a finder over an answer that comes in pieces, and returns what it told of: "file:file-1@5".
func sightings(contentType, answer string, makes []Made, piece func() int) (all []string) {
	f := NewFinder(contentType, makes)
	for len(answer) > 0 {
		n := min(piece(), len(answer))
		f.Write([]byte(answer[:n]))
		answer = answer[n:]
		for _, s := range f.Found() {
			text := string(s.Family) + ":" + s.ID
			if !s.Created.IsZero() {
				text += fmt.Sprintf("@%d", s.Created.Unix())
			}
			all = append(all, text)
		}
	}
	return all
}

func whole() int { return 1 << 20 }

func TestFinder(t *testing.T) {
	file, sealed := []Made{{Family: Files, Path: "id"}}, strings.Repeat("gAAAAAB_", 100)
	run := append([]Made{{Family: Threads, Path: "thread_id"}, {Family: Threads, Path: "id", Begins: true}}, assisted()...)
	response := []Made{{Family: Responses, Path: "id"}, {Family: Responses, Path: "response.id"}, {Family: Containers, Path: "output.#.container_id"}, {Family: Items, Path: "response.output.#.id"}}
	for name, c := range map[string]struct {
		makes        []Made
		kind, answer string
		want         string
	}{
		"at the top":                {file, "", `{"id":"file-1","object":"file"}`, "file:file-1"},
		"with its time":             {file, "", `{"id":"file-1","created_at":17,"x":5}`, "file:file-1@17"},
		"its time first":            {file, "", `{"created_at" : 17 ,"id" : "file-1"}`, "file:file-1@17"},
		"a time that is none":       {file, "", `{"id":"file-1","created_at":1.5e3}`, "file:file-1"},
		"a time of something else":  {file, "", `{"id":"file-1","x":{"created_at":17},"expires_at":5}`, "file:file-1"},
		"behind much":               {file, "", `{"x":[[{"id":"no"}]],"y":{"id":"no","z":["id","no"]},"t":"\"id\":\"no\"","id":"file-1"}`, "file:file-1"},
		"not lower down":            {file, "", `{"data":{"id":"no"}}`, ""},
		"not a value of that name":  {file, "", `{"x":"id","y":"no"}`, ""},
		"not in a list":             {file, "", `[{"id":"no"}]`, ""},
		"not if it is none":         {file, "", `{"id":"a b"}`, ""},
		"not in escapes":            {file, "", `{"id":"file\u002d1"}`, ""},
		"not if it is too long":     {file, "", `{"id":"` + strings.Repeat("a", longestID+1) + `"}`, ""},
		"if it is just not":         {file, "", `{"id":"` + strings.Repeat("a", longestID) + `"}`, "file:" + strings.Repeat("a", longestID)},
		"not a number":              {file, "", `{"id":5}`, ""},
		"the file of an upload":     {[]Made{{Family: Files, Path: "file.id"}}, "", `{"id":"upload_1","created_at":3,"file":{"id":"file-1","created_at":4}}`, "file:file-1@4"},
		"results":                   {[]Made{{Family: Files, Path: "result_files.#"}}, "", `{"result_files":["file-1","file-2",null],"x":["no"]}`, "file:file-1 file:file-2"},
		"containers of an answer":   {response, "", `{"id":"resp_1","created_at":9,"output":[{"container_id":"cntr_1","id":"x"},{"content":[{"container_id":"no"}]},{"container_id":"cntr_1"}]}`, "response:resp_1@9 container:cntr_1"},
		"the first event":           {response, "events", "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"created_at\":9,\"output\":[]}}\n\ndata: {\"response\":{\"id\":\"resp_1\",\"output\":[{\"id\":\"msg_1\"}]}}\n\n", "response:resp_1@9 item:msg_1"},
		"a thread before its run":   {run, "events", "data: {\"id\":\"thread_1\",\"created_at\":9}\n\ndata: {\"id\":\"run_1\",\"created_at\":10,\"thread_id\":\"thread_1\"}\n\n", "thread:thread_1@9"},
		"a run alone":               {run, "", `{"id":"run_1","thread_id":"thread_1","created_at":10}`, "thread:thread_1@10"},
		"a picture in a message":    {run, "", `{"data":[{"id":"msg_1","content":[{"image_file":{"file_id":"file-1"}},{"text":{"annotations":[{"file_path":{"file_id":"file-2"}},{"file_citation":{"file_id":"no"}}]}}]}]}`, "file:file-1 file:file-2"},
		"a picture that is added":   {run, "events", "data: {\"id\":\"msg_1\",\"delta\":{\"content\":[{\"image_file\":{\"file_id\":\"file-1\"}}]}}\n\n", "file:file-1"},
		"a picture in a step":       {run, "", `{"id":"step_1","step_details":{"tool_calls":[{"code_interpreter":{"outputs":[{"image":{"file_id":"file-1"}}]}}]}}`, "file:file-1"},
		"pictures in steps":         {run, "", `{"data":[{"step_details":{"tool_calls":[{"code_interpreter":{"outputs":[{"image":{"file_id":"file-1"}}]}}]}}]}`, "file:file-1"},
		"no space, and a return":    {response, "events", "data:{\"response\":{\"id\":\"resp_1\"}}\r\n\r\n", "response:resp_1"},
		"not in another field":      {response, "events", "id: {\"id\":\"no\"}\n: data: {\"id\":\"no\"}\nxdata: {\"id\":\"no\"}\n\n", ""},
		"not beyond a broken event": {response, "events", "data: {\"x\":{\"y\":\ndata: \"id\":\"no\"}\n\ndata: [DONE]\n\n", ""},
		"what is sealed": {[]Made{{Family: Items, Path: "output.#.encrypted_content"}}, "", `{"output":[{"encrypted_content":"` + sealed + `"},{"encrypted_content":""},` +
			`{"encrypted_content":null},{"encrypted_content":"short"}]}`, "item:" + sealID(sealed) + " item:" + sealID("short")},
		"too deep to matter":      {file, "", strings.Repeat(`{"id":`, 40) + `"no"` + strings.Repeat("}", 40), ""},
		"behind what is too deep": {file, "", `{"x":` + strings.Repeat(`{"id":[`, 40) + strings.Repeat("]}", 40) + `,"id":"file-1"}`, "file:file-1"},
	} {
		t.Run(name, func(t *testing.T) {
			kind := "application/json; charset=utf-8"
			if c.kind != "" {
				kind = "text/event-stream"
			}
			if got := sightings(kind, c.answer, c.makes, whole); strings.Join(got, " ") != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			// However it is cut, the ids are the same; a time may come later, and then it is told anew.
			for _, piece := range []int{1, 2, 3, 7} {
				var got []string
				for _, s := range sightings(kind, c.answer, c.makes, func() int { return piece }) {
					if base, _, dated := strings.Cut(s, "@"); dated {
						got = slices.DeleteFunc(got, func(other string) bool { return other == base })
					}
					got = append(got, s)
				}
				want := strings.Fields(c.want)
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("by %d: %q, want %q", piece, got, want)
				}
			}
		})
	}
	if NewFinder("audio/mpeg", file) != nil || NewFinder("application/json", nil) != nil {
		t.Error("there is nothing to find")
	}
}

// A time that comes in another write than the id is told of later.
func TestFinderTellsTheTimeLater(t *testing.T) {
	f := NewFinder("application/json", []Made{{Family: Files, Path: "id"}})
	f.Write([]byte(`{"id":"file-1",`))
	if got := f.Found(); len(got) != 1 || !got[0].Created.IsZero() || f.Found() != nil {
		t.Errorf("%+v", got)
	}
	f.Write([]byte(`"created_at":17}`))
	if got := f.Found(); len(got) != 1 || got[0].Created.Unix() != 17 || f.Found() != nil {
		t.Errorf("%+v", got)
	}
}

// The standard library decodes the answer whole, and so says what is to be found in it.
func TestFinderAgainstDecoding(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	makes := []Made{{Family: Files, Path: "id"}, {Family: Files, Path: "a.id"}, {Family: Files, Path: "a.#"}, {Family: Files, Path: "a.#.b"}, {Family: Files, Path: "b.#.a.#.id"}}
	for range 3000 {
		value := randomValue(r, 5)
		text, _ := json.Marshal(value)
		var want []string
		for _, m := range makes {
			at(value, strings.Split(m.Path, "."), func(id string) { want = append(want, id) })
		}
		var got []string
		for _, s := range sightings("application/json", string(text), makes, func() int { return 1 + r.IntN(9) }) {
			got = append(got, strings.TrimPrefix(s, "file:"))
		}
		slices.Sort(want)
		slices.Sort(got)
		if want = slices.Compact(want); !slices.Equal(got, want) {
			t.Fatalf("%s: %q, want %q", text, got, want)
		}
	}
}

func randomValue(r *rand.Rand, depth int) any {
	names := []string{"a", "b", "id", `i"d`, "x"}
	switch kind := r.IntN(8); {
	case kind < 3 && depth > 0:
		m := map[string]any{}
		for range r.IntN(4) {
			m[names[r.IntN(len(names))]] = randomValue(r, depth-1)
		}
		return m
	case kind < 5 && depth > 0:
		l := []any{}
		for range r.IntN(4) {
			l = append(l, randomValue(r, depth-1))
		}
		return l
	case kind == 5:
		return []any{nil, true, 1.5e300, -7}[r.IntN(4)]
	case kind == 6:
		return []string{"id", `\`, `"id":"x"`, `\"`, "{", "]", ",", "é", ""}[r.IntN(9)]
	default:
		return fmt.Sprintf("%c%d", 'a'+rune(r.IntN(3)), r.IntN(50))
	}
}

// at calls see for each id at a path.
func at(value any, path []string, see func(string)) {
	if len(path) == 0 {
		if id, ok := value.(string); ok && IsObjectID(id) {
			see(id)
		}
		return
	}
	switch v := value.(type) {
	case map[string]any:
		if inner, found := v[path[0]]; found && path[0] != "#" {
			at(inner, path[1:], see)
		}
	case []any:
		for _, inner := range v {
			if path[0] == "#" {
				at(inner, path[1:], see)
			}
		}
	}
}

func BenchmarkFinder(b *testing.B) {
	delta := []byte(`data: {"type":"response.output_text.delta","sequence_number":7,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"some \"text\" of the answer","logprobs":[]}` + "\n\n")
	f := NewFinder("text/event-stream", []Made{{Family: Responses, Path: "id"}, {Family: Responses, Path: "response.id"}, {Family: Containers, Path: "item.container_id"}})
	b.SetBytes(int64(len(delta)))
	b.ReportAllocs()
	for b.Loop() {
		f.Write(delta)
	}
}

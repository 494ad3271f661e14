package openai

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// form makes a body of names and values in turn; the name "file" makes a part with a file name.
func form(t testing.TB, fields ...string) (contentType string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for pair := range slices.Chunk(fields, 2) {
		create := w.CreateFormField
		if pair[0] == "file" {
			create = func(string) (io.Writer, error) { return w.CreateFormFile("model", "model") }
		}
		part, err := create(pair[0])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(part, pair[1])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.Bytes()
}

func TestReadFormHead(t *testing.T) {
	audio := strings.Repeat("\r\n--x\r\n", 1000)
	many := slices.Repeat([]string{"x", "y"}, mostParts)
	for name, c := range map[string]struct {
		fields []string
		cut    int // bytes that are missing at the end
		want   Head
	}{
		"model behind the file": {[]string{"file", audio, "model", "whisper-1", "stream", "true"}, 0,
			Head{Model: "whisper-1", Stream: true, Readable: true}},
		"stream by number": {[]string{"stream", "1"}, 0, Head{Stream: true, Readable: true}},
		"no stream":        {[]string{"stream", "true", "stream", "false"}, 0, Head{Readable: true}},
		"two models": {[]string{"model", "a", "file", audio, "model", "b"}, 0, Head{Model: "b", Doubled: true,
			Readable: true}},
		"cut within the file": {[]string{"model", "a", "file", audio}, 2000, Head{Model: "a", InFile: true}},
		"cut within a value":  {[]string{"model", "a", "model", strings.Repeat("b", 500)}, 300, Head{Model: "a"}},
		"cut before the end":  {[]string{"model", "a"}, 4, Head{Model: "a"}},
		"no model":            {[]string{"file", audio}, 0, Head{Readable: true}},
		"longest model": {[]string{"model", strings.Repeat("a", mostInPart)}, 0, Head{Model: strings.Repeat("a",
			mostInPart), Readable: true}},
		"longer model":   {[]string{"model", strings.Repeat("a", mostInPart+1)}, 0, Head{}},
		"too many parts": {append(many, "model", "a"), 0, Head{}},
	} {
		t.Run(name, func(t *testing.T) {
			contentType, body := form(t, c.fields...)
			if got := ReadFormHead(contentType, body[:len(body)-c.cut]); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
	for _, contentType := range []string{"multipart/form-data", "multipart/mixed; boundary=x", "application/json", "",
		";"} {
		if got := ReadFormHead(contentType, []byte("--x--\r\n")); got.Readable {
			t.Errorf("%q: readable", contentType)
		}
	}
}

func FuzzReadFormHead(f *testing.F) {
	const disposition = "--x\r\nContent-Disposition: form-data; name="
	for _, body := range []string{disposition + "model\r\n\r\na\r\n--x--\r\n", disposition + "\"model\"\r\n\r\na\r\n",
		disposition + "model; filename=f\r\n\r\na\r\n--x--", "--x--\r\n", ""} {
		f.Add("multipart/form-data; boundary=x", []byte(body))
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		h := ReadFormHead(contentType, body)
		if len(h.Model) > mostInPart || h.Model != "" && !bytes.Contains(body, []byte(h.Model)) {
			t.Errorf("the model %q is not in the body", h.Model)
		}
		if h.Doubled && bytes.Count(body, []byte("model")) < 2 && !bytes.ContainsAny(body, "%*=?") {
			t.Errorf("doubled in %q", body)
		}
	})
}

// What a form points at may be named like the members of an object, or be one in JSON.
func TestReferencesOfForms(t *testing.T) {
	contentType, body := form(t, "input_reference[file_id]", "file-1", "video[id]", "video_1", "file_ids[]", "file-2", "file_ids[]", "file-3",
		"characters[][id]", "char_1", "consent", "cons_1", "voice", "alloy", "voice[id]", "voice_1", "prompt", strings.Repeat("file_id ", mostInPart),
		"image", `{"file_id":"file-4"}`, "expires_after[anchor]", "created_at", "file", "file_id")
	h := ReadFormHead(contentType, body)
	want := []string{"input_reference[file_id]=file:file-1", "video[id]=video:video_1", "file_ids[]=file:file-2", "file_ids[]=file:file-3",
		"characters[][id]=character:char_1", "consent=consent:cons_1", "voice[id]=voice:voice_1", "file_id=file:file-4"}
	if got := written(h.References); !h.Readable || !slices.Equal(got, want) {
		t.Errorf("readable %v, %q", h.Readable, got)
	}
	contentType, body = form(t, "image", `{"x":"`+strings.Repeat("x", mostInPart)+`","file_id":"file-4"}`)
	if h := ReadFormHead(contentType, body); h.Readable {
		t.Error("JSON that is too long to be read counts as read")
	}
}

// However the name of a field is spelled, what it points at is seen; so is JSON behind blanks.
func TestSpellingsOfFields(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"file_ids[0]", "file-1", "file_ids[0]=file:file-1"},
		{"file_ids[]", "file-1", "file_ids[]=file:file-1"},
		{"file_ids[][]", "file-1", "file_ids[][]=file:file-1"},
		{"file_ids[0", "file-1", "file_ids[0=file:file-1"},
		{"file_ids[a]", "file-1", "file_ids[a]=file:file-1"},
		{"file_ids.0", "file-1", "file_ids.0=file:file-1"},
		{" file_id", "file-1", " file_id=file:file-1"},
		{"input_reference.file_id", "file-1", "input_reference.file_id=file:file-1"},
		{"input_reference['file_id']", "file-1", "input_reference['file_id']=file:file-1"},
		{"tool_resources[file_search][vector_store_ids][0]", "vs_1", "tool_resources[file_search][vector_store_ids][0]=vector_store:vs_1"},
		{"tools[0][container]", "cntr_1", "tools[0][container]=container:cntr_1"},
		{"tools.0.container", "cntr_1", "tools.0.container=container:cntr_1"},
		{"container", "cntr_1", "container=container:cntr_1"},
		{"video.id", "video_1", "video.id=video:video_1"},
		{"video[0][id]", "video_1", "video[0][id]=video:video_1"},
		{"video[]", "video_1", "video[]=video:video_1"},
		{"characters[0][id]", "char_1", "characters[0][id]=character:char_1"},
		{"voice.id", "voice_1", "voice.id=voice:voice_1"},
		{"voice[]", "voice_1", "voice[]=voice:voice_1"},
		{"audio[voice][id]", "voice_1", "audio[voice][id]=voice:voice_1"},
		{"prompt[id]", "pmpt_1", "prompt[id]=prompt:pmpt_1"},
		{"conversation[id]", "conv_1", "conversation[id]=conversation:conv_1"},
		{"input[0][id]", "msg_1", "input[0][id]=item:msg_1"},
		{"data_source[source][id]", "file-1", "data_source[source][id]=file:file-1"},
		{"messages[0][audio][id]", "audio_1", "messages[0][audio][id]=audio:audio_1"},
		{"image", " \r\n\t{\"file_id\":\"file-1\"}", "file_id=file:file-1"},
		{"image", "\ufeff[{\"file_id\":\"file-1\"}]", "file_id=file:file-1"},
		{"image[0]", `{"file_id":"file-1"}`, "file_id=file:file-1"},
		{"video", ` {"id":"video_1"}`, "video=video:video_1"},
		{"tools[0]", `{"container":"cntr_1"}`, "container=container:cntr_1"},
		{"voice", "alloy", ""}, {"voice[]", "alloy", ""}, {"metadata[file_id]", "x", ""}, {"metadata.file_id", "x", ""}, {"expires_after[anchor]", "created_at", ""},
		{"[0]", "file-1", ""}, {"tools[0][type]", "container", ""},
	} {
		contentType, body := form(t, c.name, c.value)
		if h := ReadFormHead(contentType, body); !h.Readable || strings.Join(written(h.References), "|") != c.want {
			t.Errorf("%s, %q: readable %v, %q", c.name, c.value, h.Readable, written(h.References))
		}
	}
	contentType, body := form(t, "data_source[source][type]", "stored_completions", "input[]", `{"id":"rs_1","type":"reasoning"}`, "model[]", "a")
	if h := ReadFormHead(contentType, body); h.Searches != "data_source.source" || !slices.Equal(h.Items, []string{"rs_1"}) || h.Model != "a" {
		t.Errorf("%+v", h)
	}
	for name, fields := range map[string][]string{
		"deeper than any":                 {strings.Repeat("a.", mostNested) + "b", "x"},
		"JSON with more than is read":     {"image", strings.Repeat(" ", mostInPart+1) + `{"file_id":"file-1"}`},
		"a member that is long":           {"input[0][content]", strings.Repeat("x", mostInPart+1)},
		"more references than are looked": {"video", "[" + manyIDs() + "]"},
	} {
		contentType, body := form(t, fields...)
		if h := ReadFormHead(contentType, body); h.Readable {
			t.Errorf("%s: counts as read", name)
		}
	}
}

// manyIDs are more ids than a request may have, as short as can be.
func manyIDs() string {
	var b strings.Builder
	for i := range mostReferences {
		fmt.Fprintf(&b, `"%s",`, strconv.FormatInt(int64(i), 36))
	}
	return b.String() + `"b"`
}

// A part whose name parsers may read differently leaves the form in doubt.
func TestNamesInDoubt(t *testing.T) {
	for disposition, readable := range map[string]bool{
		`form-data; name="model"`:                        true,
		`form-data; name=model`:                          true,
		`form-data; name="video"; filename="x.mp4"`:      true,
		`form-data; name="file"; filename*=utf-8''x.mp4`: true,
		`form-data; name="file"; filename="a \"b\".mp4"`: true,
		`form-data`:                                                                 false,
		`form-data; name="x"; name="file_id"`:                                       false,
		`form-data; name="x"; name*=utf-8''file_id`:                                 false,
		`form-data; name*=utf-8''file_id`:                                           false,
		`form-data; name="file\_id"`:                                                false,
		`form-data; name="file_id"; filename*=utf-8''x`:                             false,
		"form-data; name=\"x\"\r\nContent-Transfer-Encoding: base64":                false,
		"form-data; name=\"x\"\r\nContent-Disposition: form-data; name=\"file_id\"": false,
	} {
		body := "--b\r\nContent-Disposition: " + disposition + "\r\n\r\nfile-1\r\n--b--\r\n"
		if h := ReadFormHead("multipart/form-data; boundary=b", []byte(body)); h.Readable != readable {
			t.Errorf("%s: %+v", disposition, h)
		}
	}
}

package openai

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"reflect"
	"slices"
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
		"form-data; name=\"x\"\r\nContent-Disposition: form-data; name=\"file_id\"": false,
	} {
		body := "--b\r\nContent-Disposition: " + disposition + "\r\n\r\nfile-1\r\n--b--\r\n"
		if h := ReadFormHead("multipart/form-data; boundary=b", []byte(body)); h.Readable != readable {
			t.Errorf("%s: %+v", disposition, h)
		}
	}
}

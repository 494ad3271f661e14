package mockopenai_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"image/png"
	"math"
	"mime/multipart"
	"net/http"
	"slices"
	"testing"

	"github.com/tidwall/gjson"
)

// form makes a request with a form; of each field with a value beginning with @, the rest is a file.
func (u *upstream) form(path string, fields ...[2]string) *http.Request {
	u.t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, f := range fields {
		if f[1][:1] != "@" {
			w.WriteField(f[0], f[1])
			continue
		}
		part, err := w.CreateFormFile(f[0], "file.bin")
		if err != nil {
			u.t.Fatal(err)
		}
		part.Write([]byte(f[1][1:]))
	}
	w.Close()
	req := u.request("POST", path, body.String())
	req.Header.Set("Content-Type", w.FormDataContentType())
	return req
}

func TestEmbeddings(t *testing.T) {
	u := start(t)
	for input, want := range map[string]int64{`"a"`: 1, `["a","b","c"]`: 3, `[1,2,3]`: 1, `[[1,2],[3]]`: 2} {
		a := u.post("/v1/embeddings", `{"model":"text-embedding-3-small","input":`+input+`}`)
		equal(t, "vectors for "+input, a.get("data.#").Int(), want)
		equal(t, "dimensions", a.get("data.0.embedding.#").Int(), 1536)
		equal(t, "index of the last", a.get("data.@reverse.0.index").Int(), want-1)
		equal(t, "tokens", a.get("usage.total_tokens").Int(), 8*want)
	}
	a := u.post("/v1/embeddings", `{"model":"m","input":"a","dimensions":3}`)
	b := u.post("/v1/embeddings", `{"model":"m","input":"a","dimensions":3,"encoding_format":"base64"}`)
	raw, err := base64.StdEncoding.DecodeString(b.get("data.0.embedding").String())
	if err != nil || len(raw) != 12 {
		t.Fatalf("base64 of 3 floats: %d bytes, %v", len(raw), err)
	}
	for i, f := range a.get("data.0.embedding").Array() {
		equal(t, "coordinate", math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])), float32(f.Float()))
	}
}

func TestModerations(t *testing.T) {
	u := start(t)
	a := u.post("/v1/moderations", `{"input":["a","b"]}`)
	equal(t, "results", a.get("results.#").Int(), 2)
	equal(t, "model", a.get("model").String(), "omni-moderation-latest")
	equal(t, "flagged", a.get("results.1.flagged").Raw, "false")
	equal(t, "categories", len(a.get("results.0.category_scores").Map()), 13)
	a = u.post("/v1/moderations", `{"input":"a","model":"text-moderation-latest"}`)
	equal(t, "model", a.get("model").String(), "text-moderation-latest")
}

func TestImages(t *testing.T) {
	u := start(t)
	generated := u.post("/v1/images/generations", `{"model":"gpt-image-1","prompt":"a","n":2}`)
	equal(t, "images", generated.get("data.#").Int(), 2)
	equal(t, "output_tokens", generated.get("usage.output_tokens").Int(), 544)
	raw, err := base64.StdEncoding.DecodeString(generated.get("data.1.b64_json").String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := png.Decode(bytes.NewReader(raw)); err != nil {
		t.Errorf("the image is none: %v", err)
	}
	for _, path := range []string{"/v1/images/edits", "/v1/images/variations"} {
		a := u.do(u.form(path, [2]string{"image[]", "@png"}, [2]string{"n", "3"}), 200)
		equal(t, path, a.get("data.#").Int(), 3)
		u.do(u.form(path, [2]string{"prompt", "no image"}), 400)
		u.do(u.form(path, [2]string{"image", "@png"}, [2]string{"model", "missing"}), 404)
	}
	u.post("/v1/images/edits", `{"prompt":"a","images":[{"image_url":"data:"}]}`)
}

func TestImageStreams(t *testing.T) {
	u := start(t)
	data, names := u.post("/v1/images/generations", `{"prompt":"a","stream":true,"partial_images":2}`).events()
	wellFormed(t, data)
	partial := "image_generation.partial_image"
	if want := []string{partial, partial, "image_generation.completed"}; !slices.Equal(names, want) {
		t.Fatalf("events %q, want %q", names, want)
	}
	equal(t, "partial_image_index", gjson.Get(data[1], "partial_image_index").Int(), 1)
	equal(t, "output_tokens", gjson.Get(data[2], "usage.output_tokens").Int(), 272)

	a := u.do(u.form("/v1/images/edits", [2]string{"image", "@png"}, [2]string{"stream", "true"}), 200)
	_, names = a.events()
	if want := []string{"image_edit.partial_image", "image_edit.completed"}; !slices.Equal(names, want) {
		t.Errorf("events %q, want %q", names, want)
	}
	equal(t, "billed", u.Stats()[testKey].OutputTokens, 2*272)
}

func TestSpeech(t *testing.T) {
	u := start(t)
	const ask = `{"model":"tts-1","voice":"alloy","input":"a"}`
	a, again := u.post("/v1/audio/speech", ask), u.post("/v1/audio/speech", ask)
	equal(t, "content type", a.Header.Get("Content-Type"), "audio/mpeg")
	equal(t, "length", len(a.body), 64<<10)
	equal(t, "the same twice", bytes.Equal(a.body, again.body), true)
	if len(a.TransferEncoding) != 1 || a.TransferEncoding[0] != "chunked" {
		t.Errorf("transfer encoding %q", a.TransferEncoding)
	}

	data, _ := u.post("/v1/audio/speech", `{"model":"gpt-4o-mini-tts","input":"a","stream_format":"sse"}`).events()
	var sound []byte
	for _, d := range data[:len(data)-1] {
		equal(t, "type", gjson.Get(d, "type").String(), "speech.audio.delta")
		part, err := base64.StdEncoding.DecodeString(gjson.Get(d, "audio").String())
		if err != nil {
			t.Fatal(err)
		}
		sound = append(sound, part...)
	}
	equal(t, "the same in events", bytes.Equal(sound, a.body), true)
	equal(t, "output_tokens", gjson.Get(data[len(data)-1], "usage.output_tokens").Int(), 64)
}

func TestTranscripts(t *testing.T) {
	u := start(t)
	file, model := [2]string{"file", "@sound"}, [2]string{"model", "whisper-1"}
	const heard = "The quick brown fox jumped over the lazy dog."
	for _, path := range []string{"/v1/audio/transcriptions", "/v1/audio/translations"} {
		a := u.do(u.form(path, file, model), 200)
		equal(t, path, a.get("text").String(), heard)
		a = u.do(u.form(path, file, model, [2]string{"response_format", "text"}), 200)
		equal(t, path+" as text", string(a.body), heard+"\n")
		equal(t, "content type", a.Header.Get("Content-Type"), "text/plain; charset=utf-8")
		u.do(u.form(path, model), 400)
		u.do(u.form(path, file), 400)
		u.do(u.form(path, file, [2]string{"model", "missing"}), 404)
	}
	broken := u.form("/v1/audio/transcriptions", file, model)
	broken.Header.Set("Content-Type", "multipart/form-data; boundary=another")
	u.do(broken, 400)
}

func TestTranscriptStream(t *testing.T) {
	u := start(t)
	req := u.form("/v1/audio/transcriptions", [2]string{"model", "gpt-4o-transcribe"}, [2]string{"stream", "true"},
		[2]string{"file", "@sound"})
	data, _ := u.do(req, 200).events()
	equal(t, "events", len(data), 9+1)
	text := ""
	for _, d := range data[:9] {
		equal(t, "type", gjson.Get(d, "type").String(), "transcript.text.delta")
		text += gjson.Get(d, "delta").String()
	}
	equal(t, "type", gjson.Get(data[9], "type").String(), "transcript.text.done")
	equal(t, "text", gjson.Get(data[9], "text").String(), text)
	equal(t, "output_tokens", gjson.Get(data[9], "usage.output_tokens").Int(), 9)
}

package openai

import (
	"bytes"
	"mime/multipart"
	"reflect"
	"strings"
	"testing"
)

func TestReadHead(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       Head
	}{
		{"chat", `{"model":"gpt-4o","stream":true,"max_tokens":5,"stream_options":{"include_usage":true}}`,
			Head{Model: "gpt-4o", Readable: true, Stream: true, IncludeUsage: true, MaxTokens: 5}},
		{"the last of two models", `{"model":"a","model":"b"}`, Head{Model: "b", Doubled: true, Readable: true}},
		{"a name in escapes", `{"model":"a","mod\u0065l":"b"}`, Head{Model: "b", Doubled: true, Readable: true}},
		{"a nested model is none", `{"x":{"model":"a"},"messages":[{"model":"b"}]}`, Head{Readable: true}},
		{"a model in a string", `{"messages":"\"model\":\"a\""}`, Head{Readable: true}},
		{"a model that is no string", `{"model":["a"]}`, Head{Readable: true}},
		{"null model after one", `{"model":"a","model":null}`, Head{Doubled: true, Readable: true}},
		{"unfinished", `{"model":"a","x":"`, Head{Model: "a"}},
		{"not an object", `["model"]`, Head{}},
		{"empty", ``, Head{}},
		{"background", `{"background":true}`, Head{Readable: true, Background: true}},
		{"negative bound", `{"max_output_tokens":-4}`, Head{Readable: true}},
		{"previous response", `{"previous_response_id":"resp_1"}`, Head{Readable: true, References: []string{"previous_response_id"}}},
		{"null references", `{"previous_response_id":null,"conversation":null,"prompt":{"text":"x"}}`, Head{Readable: true}},
		{"conversation", `{"conversation":{"id":"conv_1"}}`, Head{Readable: true, References: []string{"conversation"}}},
		{"stored prompt", `{"prompt":{"id":"pmpt_1"}}`, Head{Readable: true, References: []string{"prompt.id"}}},
		{"file in the input", `{"input":[{"content":[{"type":"input_file","file_id":"file-1"}]}]}`, Head{Readable: true, References: []string{"file_id"}}},
		{"vector store", `{"tools":[{"type":"file_search","vector_store_ids":["vs_1"]}]}`, Head{Readable: true, References: []string{"vector_store_ids"}}},
		{"named container", `{"tools":[{"type":"code_interpreter","container":"cntr_1"}]}`, Head{Readable: true, References: []string{"container"}}},
		{"new container", `{"tools":[{"type":"code_interpreter","container":{"type":"auto"}}]}`, Head{Readable: true}},
		{"files of a new container", `{"tools":[{"container":{"type":"auto","file_ids":["file-1"]}}]}`, Head{Readable: true, References: []string{"file_id"}}},
		{"a text about file_id", `{"messages":[{"content":"what is a file_id?"}]}`, Head{Readable: true}},
		{"escaped name of a reference", `{"input":[{"file_\u0069d":"file-1"}]}`, Head{Readable: true, References: []string{"file_id"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ReadHead([]byte(c.body)); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func FuzzReadHead(f *testing.F) {
	f.Add([]byte(`{"model":"a","model":"b","input":[{"file_id":"x"}]}`))
	f.Add([]byte(strings.Repeat(`{"input":[`, 100)))
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		h := ReadHead(body)
		if !bytes.Equal(before, body) {
			t.Error("the body changed")
		}
		if patched, err := InjectUsage(body); err == nil && h.Readable && !ReadHead(patched).IncludeUsage {
			t.Errorf("%s became %s", body, patched)
		}
	})
}

func form(t *testing.T, fields ...string) (string, []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(fields); i += 2 {
		if fields[i] == "file" {
			part, _ := w.CreateFormFile("file", "model")
			part.Write([]byte(fields[i+1]))
			continue
		}
		w.WriteField(fields[i], fields[i+1])
	}
	w.Close()
	return w.FormDataContentType(), b.Bytes()
}

func TestReadFormHead(t *testing.T) {
	audio := strings.Repeat("\r\n--x\r\n", 1000)
	for _, c := range []struct {
		name   string
		fields []string
		cut    int
		want   Head
	}{
		{"model behind the file", []string{"file", audio, "model", "whisper-1", "stream", "true"}, 0, Head{Model: "whisper-1", Stream: true, Readable: true}},
		{"two models", []string{"model", "a", "file", audio, "model", "b"}, 0, Head{Model: "b", Doubled: true, Readable: true}},
		{"cut within the file", []string{"model", "a", "file", audio}, 2000, Head{Model: "a"}},
		{"no model", []string{"file", audio}, 0, Head{Readable: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kind, body := form(t, c.fields...)
			if got := ReadFormHead(kind, body[:len(body)-c.cut]); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
	if got := ReadFormHead("multipart/form-data", []byte("x")); got.Readable {
		t.Error("a form without a boundary is readable")
	}
}

func FuzzReadFormHead(f *testing.F) {
	f.Add("multipart/form-data; boundary=x", []byte("--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\na\r\n--x--\r\n"))
	f.Fuzz(func(t *testing.T, kind string, body []byte) { ReadFormHead(kind, body) })
}

func TestErrors(t *testing.T) {
	for body, want := range map[string]Error{
		`{"error":{"message":"m","type":"t","param":"p","code":"c"}}`: {"m", "t", "p", "c"},
		`{"error":{"message":"m","code":429}}`:                        {Message: "m", Code: "429"},
		`[{"error":{"message":"m","status":"X"}}]`:                    {Message: "m"},
		`{"object":"error","message":"m","type":"t","code":"1300"}`:   {"m", "t", "", "1300"},
		`{"error":"m"}`: {Message: "m"},
		`<html>`:        {}, ``: {}, `{"message":"m"}`: {},
	} {
		if got := ReadError([]byte(body)); got != want {
			t.Errorf("%s is %+v, want %+v", body, got, want)
		}
	}
	if got := string(Error{Message: "m", Type: "t"}.Body()); got != `{"error":{"message":"m","type":"t","param":null,"code":null}}` {
		t.Error(got)
	}
}

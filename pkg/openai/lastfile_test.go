package openai

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// A large file passes when nothing stands behind it, however its bytes come; before anything else the body is cut, so that it never
// arrives whole.
func TestLastFile(t *testing.T) {
	file := strings.Repeat("\r\n--x\r\n--\r\n", 500)
	_, plain := form(t, "file", file)
	for name, c := range map[string]struct {
		fields []string
		behind string
		passes bool
	}{
		"alone":                 {[]string{"file", file}, "", true},
		"behind a field":        {[]string{"x", "y", "file", file}, "", true},
		"with line ends":        {[]string{"file", file}, "\r\n\r\n", true},
		"before a field":        {[]string{"file", file, "file_id", "file-1"}, "", false},
		"before another file":   {[]string{"file", file, "file", "x"}, "", false},
		"before an epilogue":    {[]string{"file", file}, "--x", false},
		"before another form":   {[]string{"file", file}, string(plain), false},
		"before many line ends": {[]string{"file", file}, strings.Repeat("\n", mostBehindFile), false},
	} {
		t.Run(name, func(t *testing.T) {
			contentType, body := form(t, c.fields...)
			body = append(body, c.behind...)
			held := bytes.Index(body, []byte(file)) + len(file)/2
			if h := ReadFormHead(contentType, body[:held]); h.Readable || !h.InFile {
				t.Fatalf("%+v", h)
			}
			for how, cut := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "by bytes": iotest.OneByteReader,
				"with its end": iotest.DataErrReader, "by halves": iotest.HalfReader} {
				got, err := io.ReadAll(NewLastFile(contentType, body[:held], cut(bytes.NewReader(body[held:]))))
				if c.passes && (err != nil || !bytes.Equal(got, body[held:])) {
					t.Errorf("%s: %v, %d of %d bytes", how, err, len(got), len(body)-held)
				}
				if !c.passes && (!errors.Is(err, ErrBehindFile) || len(got) >= len(body)-held) {
					t.Errorf("%s: %v, %d of %d bytes", how, err, len(got), len(body)-held)
				}
			}
		})
	}
}

// Wherever the beginning of a form ends: what stands behind it either was read, or does not pass.
func TestLastFileAnywhere(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	contentType, body := form(t, "x", "y", "file", strings.Repeat("a\r\n-", 50), "file_id", "file-1")
	open := 0
	for held := range body {
		h := ReadFormHead(contentType, body[:held])
		if !h.InFile {
			continue
		}
		open++
		rest := bytes.NewReader(body[held:])
		guard := NewLastFile(contentType, body[:held], rest)
		var err error
		for err == nil {
			_, err = guard.Read(make([]byte, 1+r.IntN(40)))
		}
		if !errors.Is(err, ErrBehindFile) || len(h.References) > 0 {
			t.Errorf("from %d on: %v, %v", held, err, h.References)
		}
	}
	if open < 150 {
		t.Errorf("the file is open at %d places", open)
	}
}

// Where parsers may take another boundary than this one, nothing is known of a form.
func TestBoundariesInDoubt(t *testing.T) {
	for _, contentType := range []string{`multipart/form-data; boundary=x; boundary*=utf-8''y`, `multipart/form-data; boundary="x\y"`,
		`multipart/form-data; boundary=x; boundary=y`, `multipart/form-data; boundary*0=x; boundary*1=y`} {
		for _, boundary := range []string{"x", "y", "xy"} {
			body := "--" + boundary + "\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--" + boundary + "--\r\n"
			if h := ReadFormHead(contentType, []byte(body)); h.Readable || h.InFile {
				t.Errorf("%s: %+v", contentType, h)
			}
		}
	}
}

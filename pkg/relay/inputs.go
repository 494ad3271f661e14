package relay

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/tidwall/gjson"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

const (
	// mostOfLine bounds a request in a file, in bytes.
	mostOfLine = 16 << 20
	// mostPointed bounds the objects at which those of a file point.
	mostPointed = 10_000
)

var errLongLine = errors.New("a line is too long")

// inputs checks the requests in the file that a call has the upstream carry out: what they point at must be the client's, and
// lie where the file lies, as if each had come by itself. The file is read from the upstream and not when it is uploaded: parts
// of an upload come in any order, and a file that was made elsewhere may be adopted.
func (r *Relay) inputs(ctx context.Context, c claim, call *proxy.Call, rec *proxy.Record) error {
	if call.Op.Objects == nil || call.Op.Objects.Runs == "" {
		return nil
	}
	for _, p := range call.Head.References {
		if p.Param != call.Op.Objects.Runs || p.Family != openai.Files {
			continue
		}
		pointed, err := r.pointedInside(ctx, c, call, rec, p)
		if err != nil {
			return err
		}
		if len(pointed) == 0 {
			continue
		}
		found, err := r.Owners.Find(ctx, c.owner, idsOf(pointed, nil))
		if err != nil {
			return err
		}
		// The file comes first, so that what lies elsewhere is what does not fit.
		file := proxy.ObjectID{Family: p.Family, ID: p.ID}
		found[file] = proxy.Object{ObjectID: file, Account: c.account}
		if _, err = accountOf(append([]openai.Reference{p}, pointed...), nil, found); err != nil {
			return err
		}
	}
	return nil
}

// pointedInside are the objects at which the requests in a file point.
func (r *Relay) pointedInside(ctx context.Context, c claim, call *proxy.Call, rec *proxy.Record, file openai.Reference) ([]openai.Reference, error) {
	run := newRun(r, sub(call, "/v1/files/{file}/content", "/v1/files/"+file.ID+"/content"),
		&proxy.Record{ID: call.ID, Start: rec.Start, Method: http.MethodGet}, c.account)
	defer run.close()
	best, err := run.answer(ctx)
	if err != nil {
		return nil, err
	}
	if status := best.verdict().Status; status != http.StatusOK {
		return nil, &proxy.Fault{Kind: proxy.UpstreamError, Param: file.Param,
			Public: "the upstream does not show the file, so it is not known whose objects the requests in it point at"}
	}
	inside := &fileReader{param: file.Param, seen: map[openai.Reference]bool{}}
	if err := eachLine(best.answer.Reader(), inside.line); err != nil {
		return nil, inside.fault(err)
	}
	return inside.pointed, nil
}

// fileReader gathers what the requests in a file point at.
type fileReader struct {
	param   string
	pointed []openai.Reference
	seen    map[openai.Reference]bool
	refused *proxy.Fault
}

// line reads one request: of two bodies parsers take either.
func (f *fileReader) line(text []byte) error {
	if text = bytes.TrimSpace(text); len(text) == 0 {
		return nil
	}
	request := gjson.ParseBytes(text)
	if !gjson.ValidBytes(text) || !request.IsObject() {
		return f.refuse("a line of the file is no JSON object")
	}
	var err error
	request.ForEach(func(key, value gjson.Result) bool {
		if key.String() == "body" && value.Type != gjson.Null {
			err = f.body(openai.ReadHead([]byte(value.Raw)))
		}
		return err == nil
	})
	return err
}

func (f *fileReader) body(head openai.Head) error {
	if !head.Readable || head.Searches != "" {
		return f.refuse("a request in the file has a body that cannot be checked")
	}
	for _, p := range head.References {
		if p.Param = f.param; f.seen[p] {
			continue
		}
		if len(f.pointed) == mostPointed {
			return f.refuse("the requests in the file point at too many objects")
		}
		f.seen[p] = true
		f.pointed = append(f.pointed, p)
	}
	return nil
}

func (f *fileReader) refuse(why string) error {
	f.refused = &proxy.Fault{Kind: proxy.InvalidRequest, Param: f.param, Public: why}
	return f.refused
}

// fault says why a file could not be read to its end.
func (f *fileReader) fault(err error) error {
	switch {
	case f.refused != nil:
		return f.refused
	case errors.Is(err, errLongLine):
		return f.refuse("a line of the file is too long to be checked")
	default:
		return &proxy.Fault{Kind: proxy.UpstreamError, Param: f.param, Public: "the upstream did not show the file to its end", Err: err}
	}
}

// eachLine calls see for every line, which is valid until it returns.
func eachLine(from io.Reader, see func([]byte) error) error {
	lines := bufio.NewReaderSize(from, 64<<10)
	var line []byte
	for {
		part, err := lines.ReadSlice('\n')
		if line = append(line, part...); len(line) > mostOfLine {
			return errLongLine
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && err != io.EOF {
			return err
		}
		if seen := see(line); seen != nil || err == io.EOF {
			return seen
		}
		line = line[:0]
	}
}

// sub is a call that shows something stored upstream, on behalf of another one.
func sub(call *proxy.Call, template, path string) *proxy.Call {
	one := &proxy.Call{ID: call.ID, Client: call.Client, Path: path, Header: http.Header{},
		Op: openai.Operation{Method: http.MethodGet, Path: template, Class: openai.Stateful, Tokens: openai.TokensNone}}
	for _, name := range []string{"Openai-Beta", "User-Agent"} {
		if values := call.Header[name]; values != nil {
			one.Header[name] = values
		}
	}
	return one
}

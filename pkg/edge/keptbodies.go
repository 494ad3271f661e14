package edge

import (
	"bytes"
	"net/http"
	"unicode/utf8"

	"openai-api-proxy/pkg/proxy"
)

// keeper remembers the beginnings of what was asked and answered, where the operator wants them in the list of requests.
type keeper struct {
	http.ResponseWriter
	most   int
	answer []byte
	more   bool
}

// Unwrap lets http.ResponseController reach what is below.
func (k *keeper) Unwrap() http.ResponseWriter { return k.ResponseWriter }

func (k *keeper) Write(p []byte) (int, error) {
	n := min(len(p), k.most-len(k.answer))
	k.answer = append(k.answer, p[:n]...)
	k.more = k.more || n < len(p)
	return k.ResponseWriter.Write(p)
}

// serveKeeping serves the call and keeps the beginnings of both bodies.
func (e *Edge) serveKeeping(view *View, req *http.Request, w http.ResponseWriter, call *proxy.Call, rec *proxy.Record) error {
	asked := call.Body // before the relay adds anything to it
	k := &keeper{ResponseWriter: w, most: int(e.KeepBodies)}
	err := view.Relay.Serve(req.Context(), k, call, rec)
	token := req.Header.Get("Authorization")
	n := min(len(asked.Held), k.most)
	rec.Bodies = &proxy.Bodies{
		Request:  e.presentable(asked.Held[:n], token),
		Response: e.presentable(k.answer, token),
		Cut:      k.more || n < len(asked.Held) || !asked.Replayable(),
	}
	return err
}

// presentable is a body for operators: without live secrets, the caller's own token among them, and as text.
func (e *Edge) presentable(body []byte, authorization string) string {
	if _, token, found := bytes.Cut([]byte(authorization), []byte(" ")); found && len(token) > 0 {
		body = bytes.ReplaceAll(body, token, []byte(proxy.NewSecret(string(token)).Masked()))
	}
	body = e.Mask(body)
	for cut := range min(len(body), utf8.UTFMax) { // the last character may be half of one
		if whole := body[:len(body)-cut]; utf8.Valid(whole) {
			return string(whole)
		}
	}
	if len(body) == 0 {
		return ""
	}
	return "(not text)"
}

package usage

import (
	"strings"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// longestText bounds what others say of themselves in a remembered request: the upstream's id, why it could not be reached.
const longestText = 300

// remembered is a finished request as it can be looked up, packed. It keeps nothing of the record.
func remembered(rec *proxy.Record, replica string) []byte {
	r := state.Request{ID: rec.ID, At: rec.Start.UTC(), Method: rec.Method, Operation: rec.Operation, Client: rec.Client,
		ClientIP: rec.ClientIP, Key: rec.Key, Model: short(rec.Model, longestName), Stream: rec.Stream, Status: rec.Status,
		Outcome: ofRequest(rec).String(), Fault: string(rec.Fault), Cause: short(rec.Cause, longestText), Usage: rec.Usage,
		Cost: rec.Cost, Priced: rec.Priced,
		FirstByte: rec.FirstByte, Total: rec.Total, BytesIn: rec.BytesIn, BytesOut: rec.BytesOut,
		Upstream: short(rec.Upstream, longestText), Replica: replica, Why: rec.Why}
	if b := rec.Bodies; b != nil {
		r.Bodies = &state.Bodies{Request: b.Request, Response: b.Response, Cut: b.Cut}
	}
	var room [2]state.Tried // nearly all have no more
	r.Attempts = room[:0]
	for _, a := range rec.Attempts {
		r.Attempts = append(r.Attempts, state.Tried{Key: a.Key, Account: a.Account, Outcome: a.Outcome.String(), Status: a.Status, Took: a.Took})
	}
	return r.Pack()
}

// short is the text up to a number of bytes, and valid UTF-8.
func short(text string, most int) string {
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}

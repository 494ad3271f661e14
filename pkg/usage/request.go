package usage

import (
	"strings"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// longestText bounds what others say of themselves in a remembered request: the upstream's id, why it could not be reached.
const longestText = 300

// usualTries is how many attempts nearly all have at most.
const usualTries = 2

// remembered is a finished request as it can be looked up. Its attempts are in the room, if that is enough.
func remembered(rec *proxy.Record, replica string, room []state.Tried) state.Request {
	r := state.Request{ID: rec.ID, At: rec.Start.UTC(), Method: rec.Method, Operation: rec.Operation, Client: rec.Client,
		ClientIP: rec.ClientIP, Key: rec.Key, Model: short(rec.Model, longestName), Stream: rec.Stream, Status: rec.Status,
		Outcome: ofRequest(rec).String(), Fault: string(rec.Fault), Cause: short(rec.Cause, longestText), Usage: rec.Usage,
		Cost: rec.Cost, Priced: rec.Priced,
		FirstByte: rec.FirstByte, Total: rec.Total, BytesIn: rec.BytesIn, BytesOut: rec.BytesOut,
		Upstream: short(rec.Upstream, longestText), Replica: replica, Why: rec.Why}
	if b := rec.Bodies; b != nil {
		r.Bodies = &state.Bodies{Request: b.Request, Response: b.Response, Cut: b.Cut}
	}
	r.Attempts = room
	for _, a := range rec.Attempts {
		r.Attempts = append(r.Attempts, state.Tried{Key: a.Key, Account: a.Account, Outcome: a.Outcome.String(), Status: a.Status, Took: a.Took})
	}
	return r
}

// short is the text up to a number of bytes, and valid UTF-8.
func short(text string, most int) string {
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}

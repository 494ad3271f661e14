package mockopenai

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
)

// sealedFor is what stands in place of something that only the account can open. The real one's is bound to the organization.
func sealedFor(account string) string {
	sum := sha256.Sum256([]byte(account))
	return "gAAAAAB" + hex.EncodeToString(sum[:12])
}

// thought is what the model thought before it spoke, as JSON of an item: one if the request wants it sealed, otherwise none.
func (x *exchange) thought() []string {
	if !strings.Contains(x.ask.doc.Get("include").Raw, `"reasoning.encrypted_content"`) {
		return nil
	}
	return []string{`{"id":"rs_` + x.id + `","type":"reasoning","summary":[],"encrypted_content":"` + sealedFor(x.accountName()) + `"}`}
}

// said is the output of a response as JSON: what was thought, and the message.
func (x *exchange) said(message string) string {
	return strings.Join(append(x.thought(), message), ",")
}

// unsealable refuses what another account sealed, as the real one does, and reports whether it did.
func (x *exchange) unsealable() bool {
	for _, item := range x.ask.doc.Get("input").Array() {
		if sealed := item.Get("encrypted_content"); sealed.Exists() && sealed.Str != sealedFor(x.accountName()) {
			x.refuse(refusal{http.StatusBadRequest, "invalid_request_error", "invalid_encrypted_content", "", "The encrypted content for item " +
				item.Get("id").Str + " could not be verified. Reason: Encrypted content organization_id did not match the target organization."})
			return true
		}
	}
	return false
}

// compact is POST /v1/responses/compact: all that was said, sealed in one item.
func (x *exchange) compact() {
	if x.dangles() || x.unsealable() {
		return
	}
	x.bill(promptTokens, 1)
	x.json([]byte(`{"id":"resp_` + x.id + `","object":"response.compaction","created_at":` + created + `,"output":[{"id":"cmp_` + x.id +
		`","type":"compaction","encrypted_content":"` + sealedFor(x.accountName()) + `"}],"usage":` + responseUsage(1) + `}`))
}

// countInput is POST /v1/responses/input_tokens.
func (x *exchange) countInput() {
	if !x.dangles() {
		x.json([]byte(`{"object":"response.input_tokens","input_tokens":19}`))
	}
}

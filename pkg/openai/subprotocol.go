package openai

import (
	"net/http"
	"strings"
)

// Browsers cannot set headers on a WebSocket. The official SDKs therefore offer subprotocols that say what the headers would:
// whose token it is, and of which organization and project. They are for us, and go no further.
const (
	tokenProtocol   = "openai-insecure-api-key."
	orgProtocol     = "openai-organization."
	projectProtocol = "openai-project."
)

// Subprotocols are those that a caller offers: the tokens among them, and the rest, which an upstream may choose from.
func Subprotocols(h http.Header) (tokens, rest []string) {
	for _, line := range h["Sec-Websocket-Protocol"] {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.TrimSpace(name)
			if token, found := strings.CutPrefix(name, tokenProtocol); found {
				tokens = append(tokens, token)
			} else if name != "" && !strings.HasPrefix(name, orgProtocol) && !strings.HasPrefix(name, projectProtocol) {
				rest = append(rest, name)
			}
		}
	}
	return tokens, rest
}

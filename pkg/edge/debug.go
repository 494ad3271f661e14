package edge

import (
	"net/http"
)

// debugHeader holds the admin token, on a caller's request: the answer and the record then say how its keys were chosen.
const debugHeader = "X-Proxy-Debug"

// debugged reports whether an operator wants to know why. A token that is none is refused like any other: it would be a
// way to guess.
func (e *Edge) debugged(req *http.Request) (bool, error) {
	token := req.Header.Get(debugHeader)
	if token == "" || e.Operator == nil {
		return false, nil
	}
	credential := http.Header{"Authorization": {"Bearer " + token}}
	if err := e.Operator(req.Context(), credential, e.clientAddr(req)); err != nil {
		return false, err
	}
	return true, nil
}

package edge

import (
	"errors"
	"strings"

	"openai-api-proxy/pkg/auth"
	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// headOf reads what the call asks for from where its operation says it.
func headOf(call *proxy.Call) openai.Head {
	switch held := call.Body.Held; {
	case call.Op.Socket && call.Op.Model == openai.ModelInQuery:
		return openai.ReadQueryHead(call.Query)
	case call.Op.Socket:
		return openai.Head{Readable: true, Stream: true}
	case call.Op.Model == openai.ModelInPath:
		return openai.Head{Model: call.Head.Model, Readable: true}
	case len(held) == 0 || call.Header.Get("Content-Encoding") != "":
		return openai.Head{}
	case call.Op.Model == openai.ModelInForm && !isJSON(call):
		return openai.ReadFormHead(call.Header.Get("Content-Type"), held)
	default:
		return openai.ReadHead(held)
	}
}

func isJSON(call *proxy.Call) bool {
	return strings.HasPrefix(call.Header.Get("Content-Type"), "application/json")
}

// allowed checks what a client's limits need to read of the call.
func allowed(client *proxy.Client, call *proxy.Call) error {
	if !client.Restricted() {
		return nil
	}
	if call.Op.Tokens == openai.TokensUnseen || call.Op.Socket && openai.QueryNames(call.Query, "call_id") {
		return proxy.Faultf(proxy.EndpointNotAllowed,
			"a client with limits of models, tokens or money may not use this endpoint: what it uses is not seen here")
	}
	if call.Op.Model == openai.NoModel {
		return nil
	}
	if call.Header.Get("Content-Encoding") != "" {
		return proxy.Faultf(proxy.InvalidRequest, "a client with limits may not send Content-Encoding: the body must be readable")
	}
	if call.Head.Doubled {
		return &proxy.Fault{Kind: proxy.InvalidRequest, Public: "model is given more than once", Param: "model"}
	}
	if !call.Head.Readable {
		return proxy.Faultf(proxy.InvalidRequest, "the body could not be read, or is too large to be checked against the client's limits")
	}
	if call.Head.Model == "" && (call.Op.Unnamed || call.Op.Socket && openai.QuerySays(call.Query, "intent", "transcription")) {
		return nil // of the latter the session names it, and is looked at
	}
	return auth.AllowModel(client, call.Head.Model)
}

// pathFault turns the operation table's refusals into faults.
func pathFault(method string, err error) error {
	switch {
	case errors.Is(err, openai.ErrHostile):
		return &proxy.Fault{Kind: proxy.InvalidRequest, Public: "the path is not acceptable", Err: err}
	case errors.Is(err, openai.ErrDenied):
		return &proxy.Fault{Kind: proxy.EndpointNotAllowed, Public: "this endpoint is not open to clients", Err: err}
	default:
		return &proxy.Fault{Kind: proxy.UnknownEndpoint, Public: "unknown endpoint for " + method, Err: err}
	}
}

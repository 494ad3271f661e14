package auth

import "openai-api-proxy/pkg/proxy"

// AllowModel reports, as a *proxy.Fault, that the client may not use the model. A client with a list of models has to
// name one: the upstream's default would be nobody's choice.
func AllowModel(c *proxy.Client, model string) error {
	switch {
	case len(c.Models) == 0:
		return nil
	case model == "":
		return &proxy.Fault{Kind: proxy.InvalidRequest, Param: "model",
			Public: "model must be named: this API key is limited to certain models"}
	case c.Models.Match(model):
		return nil
	default:
		f := proxy.Faultf(proxy.ModelNotAllowed, "this API key may not use the model %.100q", model)
		f.Param = "model"
		return f
	}
}

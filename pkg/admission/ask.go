package admission

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// Ask is a request as far as admission must know it.
type Ask struct {
	Op     *openai.Operation
	Head   *openai.Head
	Length int64 // of the body in bytes; negative: unknown
	// Price is what so many tokens of a model cost at the dearest rate they may be charged by, in nano-dollars, and whether
	// that is known; nil: of no model. It is the request's own, so that a request which is admitted by one price is not
	// settled by another.
	Price func(model string, u openai.Usage) (nanoUSD int64, known bool)
}

const (
	// bytesInToken is what English prompts have on average.
	bytesInToken = 3
	// guess is the most output that is expected of a request, and what is expected of a client and model never seen.
	guess = 1024
	// around bounds the tokens that surround an input which are not in its text: of roles, of the list of tools, of a schema.
	// Each of those has more bytes of JSON around it in the body than tokens in the prompt; this is for what comes once.
	around = 512
	// most bounds every amount, so that stores count it exactly.
	most = 1<<53 - 1
)

// shape is what an operation does with tokens.
type shape uint8

const (
	uses    shape = iota // some, in ways that nobody can bound
	free                 // none
	reads                // as many as its input has
	answers              // input and, for each answer, at most its bound
)

// shapes are those of the operations that can be bounded.
var shapes = map[string]shape{
	"/v1/chat/completions": answers,
	"/v1/completions":      answers,
	"/v1/responses":        answers,
	"/v1/embeddings":       reads,
	"/v1/moderations":      reads,
}

func (a Ask) shape() shape {
	switch {
	case a.Op.Socket:
		return uses
	case a.Op.Free():
		return free
	}
	return shapes[a.Op.Path]
}

// estimate writes into the permit what the request is expected to use. A strict client gets an upper bound, or a refusal
// that names what has none.
func (a *Admission) estimate(p *Permit, ask Ask) error {
	if !p.client.Metered() {
		return nil
	}
	p.shape = ask.shape()
	var u openai.Usage
	var err error
	if p.client.Strict {
		u, err = bound(ask)
	} else {
		u = a.guess(p, ask)
	}
	if err != nil {
		return err
	}
	p.expected.tokens = min(u.Input+u.Output, most)
	if !priced(p.client) || p.shape == free {
		return nil
	}
	if p.client.Strict && !slices.Contains(standard, ask.Head.Tier) {
		return &proxy.Fault{Kind: proxy.InvalidRequest, Param: "service_tier",
			Public: "this client has a strict money limit, and nobody can say beforehand what another service_tier than auto, default or flex costs"}
	}
	p.expected.nanoUSD, err = ask.price(u)
	return err
}

// standard are the service tiers that cost no more than the prices that are known.
var standard = []string{"", "auto", "default", "flex"}

// errUnpriced marks the refusals of what nobody here knows the price of.
var errUnpriced = errors.New("not priced")

// price is what so much costs at most. A client whose money is limited may not spend an unknown amount of it.
func (a Ask) price(u openai.Usage) (nanoUSD int64, err error) {
	if a.Head.Model == "" {
		return 0, &proxy.Fault{Kind: proxy.InvalidRequest, Param: "model", Err: errUnpriced,
			Public: "this client has a money limit, and nobody knows what a request costs that names no model"}
	}
	if a.Price != nil {
		if money, known := a.Price(a.Head.Model, u); known {
			return min(max(money, 0), most), nil
		}
	}
	return 0, &proxy.Fault{Kind: proxy.ModelNotAllowed, Param: "model", Err: errUnpriced,
		Public: fmt.Sprintf("this client has a money limit, and the model %.100q has no known price; "+
			"it can be given one under prices in the configuration of the proxy", a.Head.Model)}
}

func priced(c *proxy.Client) bool {
	for _, b := range c.Quota {
		if b.Measure == proxy.Dollars {
			return true
		}
	}
	return false
}

// guess is what the request will probably use. Media say nothing of their tokens by their bytes.
func (a *Admission) guess(p *Permit, ask Ask) openai.Usage {
	var u openai.Usage
	if p.shape == free {
		return u
	}
	if ask.Op.Model != openai.ModelInForm {
		u.Input = max(ask.Length-ask.Head.Media, 0) / bytesInToken
	}
	if p.shape == reads {
		return u
	}
	u.Output = min(a.outputs.expect(p.client.ID, ask.Head.Model), guess)
	if bound := ask.Head.MaxTokens; bound > 0 {
		u.Output = min(u.Output, times(bound, ask.Head.Choices))
	}
	return u
}

// bound is what the request uses at most: a byte-level encoding has no more tokens than bytes.
func bound(ask Ask) (u openai.Usage, err error) {
	s := ask.shape()
	switch {
	case s == free:
		return u, nil
	case s == uses:
		return u, unbounded("", "this operation")
	case !ask.Head.Readable || ask.Length < 0:
		return u, unbounded("", "a body that cannot be read")
	case ask.Head.Unbounded != "":
		return u, unbounded(ask.Head.Unbounded, "what "+ask.Head.Unbounded+" asks for")
	case len(ask.Head.References) > 0:
		return u, unbounded(ask.Head.References[0].Param, "an object stored upstream")
	case strings.Contains(ask.Head.Model, "-search"): // as gpt-4o-search-preview; research has its tools named
		return u, unbounded("model", "a model that searches by itself")
	case s == answers && ask.Head.MaxTokens == 0:
		name := map[string]string{"/v1/responses": "max_output_tokens", "/v1/completions": "max_tokens"}[ask.Op.Path]
		if name == "" {
			name = "max_completion_tokens"
		}
		return u, &proxy.Fault{Kind: proxy.InvalidRequest, Param: name,
			Public: "this client has a strict limit: " + name + " must be set, so that it is known what the request uses at most"}
	}
	u.Input = ask.Length + around
	if s == answers {
		u.Output = times(ask.Head.MaxTokens, ask.Head.Choices)
	}
	return u, nil
}

func unbounded(param, what string) error {
	return &proxy.Fault{Kind: proxy.InvalidRequest, Param: param,
		Public: "this client has a strict limit, and nobody can say beforehand how many tokens " + what + " may use"}
}

func times(bound, choices int64) int64 {
	if choices = max(choices, 1); bound > most/choices {
		return most
	}
	return bound * choices
}

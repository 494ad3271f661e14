package relay

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"openai-api-proxy/pkg/admission"
	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/upstream"
)

// A response in the background is not done when its request is answered, and nobody can tell what it uses. Its client and its
// key stay charged what was expected, and that is remembered under its id. Who is the first to be shown its usage, by a stream to
// its end or by asking for it, through whichever replica, has it counted with the own request: once, and charged less what was
// charged before. Of a stream that is left counts what has passed, and the rest later. What nobody looks at is never counted
// beyond that, and stays charged as expected.

// debt is what a response in the background was charged so far, what is counted of it, and its model.
type debt struct {
	client, key   balancer.Need // of the limits of either
	input, output int64         // counted, of a stream that was left
	cost          int64         // of that
	model         string
}

// object is how it is remembered: its text stands in place of an account.
func (d debt) object(id string) proxy.Object {
	return proxy.Object{ObjectID: proxy.ObjectID{Family: openai.Unsettled, ID: id},
		Account: fmt.Sprintf("%d %d %d %d %d %d %d %s", d.client.Tokens, d.client.NanoUSD, d.key.Tokens, d.key.NanoUSD,
			d.input, d.output, d.cost, written(d.model))}
}

// unnamed stands for the model of a request that named none, as it is in a prompt that is stored.
const unnamed = "-"

// written is how a model stands in the text: as it is, which replicas of versions before read too, or quoted, if it would not be
// read again as it is.
func written(model string) string {
	quoted := strconv.Quote(model)
	switch {
	case model == "":
		return unnamed
	case model == unnamed || quoted != `"`+model+`"` || strings.Contains(model, " "):
		return quoted
	}
	return model
}

func readDebt(text string) (d debt, ok bool) {
	var numbers [7]int64
	for i := range numbers {
		number, rest, _ := strings.Cut(text, " ")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return debt{}, false
		}
		numbers[i], text = n, rest
	}
	d = debt{client: balancer.Need{Tokens: numbers[0], NanoUSD: numbers[1]}, key: balancer.Need{Tokens: numbers[2], NanoUSD: numbers[3]},
		input: numbers[4], output: numbers[5], cost: numbers[6], model: text}
	switch {
	case text == unnamed:
		d.model = ""
	case strings.HasPrefix(text, `"`):
		if model, err := strconv.Unquote(text); err == nil {
			d.model = model
		}
	}
	return d, text != ""
}

// settleable is the mark of the response that a call shows, under which it may be found that nobody has counted it.
func settleable(call *proxy.Call) []proxy.ObjectID {
	switch call.Op.Path {
	case "/v1/responses/{response}", "/v1/responses/{response}/cancel":
		if o := call.Op.Objects; o != nil && !o.Drops && openai.IsObjectID(call.Slots[0]) {
			return []proxy.ObjectID{{Family: openai.Unsettled, ID: call.Slots[0]}}
		}
	}
	return nil
}

// unsettled looks for that mark where nobody asks whose the objects are. Who cannot be told is served all the same.
func (r *Relay) unsettled(ctx context.Context, call *proxy.Call) map[proxy.ObjectID]proxy.Object {
	ids := settleable(call)
	if len(ids) == 0 || r.Owners == nil {
		return nil
	}
	known, _ := r.Owners.Find(ctx, call.Client.Owner(), ids)
	return known
}

// later is a call whose usage is counted with another one, or that has the usage of another one counted.
type later struct {
	relay  *Relay
	call   *proxy.Call
	permit *admission.Permit
	debt   debt
	mark   proxy.ObjectID // no id: the answer has not said it so far
	asks   bool           // it asks for the response, and did not make it
	ctx    context.Context
	finder *openai.Finder
	status *openai.Finder
}

// later says what a call has to do with a response in the background; nil: nothing.
func (r *Relay) later(ctx context.Context, c claim, call *proxy.Call, permit *admission.Permit, need balancer.Need) *later {
	ids := settleable(call)
	begins := call.Head.Background && call.Op.Path == "/v1/responses" && !call.Op.Socket && r.Owners != nil
	if len(ids) == 0 && !begins {
		return nil
	}
	l := &later{relay: r, call: call, permit: permit, ctx: context.WithoutCancel(ctx)}
	if begins {
		l.debt = debt{key: need, model: call.Head.Model}
		l.debt.client.Tokens, l.debt.client.NanoUSD = permit.Expected()
		return l
	}
	l.mark = ids[0]
	if l.debt, l.asks = readDebt(c.known[l.mark].Account); !l.asks {
		return nil
	}
	return l
}

// watched is a watch that sees the id of the response besides, and remembers the debt before the caller knows it.
func (l *later) watched(watch func(contentType string) io.Writer) func(contentType string) io.Writer {
	if l == nil {
		return watch
	}
	return func(contentType string) io.Writer {
		l.status = openai.NewFinder(contentType, []openai.Made{{Family: openai.Unsettled, Path: "status"}, {Family: openai.Unsettled, Path: "response.status"}})
		l.finder = openai.NewFinder(contentType, []openai.Made{{Family: openai.Unsettled, Path: "id"}, {Family: openai.Unsettled, Path: "response.id"}})
		var first io.Writer
		if watch != nil {
			first = watch(contentType)
		}
		switch {
		case l.status == nil:
			return first
		case first == nil:
			return l
		}
		return io.MultiWriter(l, first)
	}
}

func (l *later) Write(p []byte) (int, error) {
	l.status.Write(p)
	if l.mark.ID == "" {
		l.finder.Write(p)
		if found := l.finder.Found(); len(found) > 0 {
			object := l.debt.object(found[0].ID)
			l.mark = object.ObjectID
			l.relay.Owners.Keep(l.ctx, l.call.Client.Owner(), []proxy.Object{object})
		}
	}
	return len(p), nil
}

// done reports whether the answer showed the response as one that changes no more: before, no usage is all of it.
func (l *later) done() bool {
	return l.status != nil && slices.ContainsFunc(l.status.Found(), func(s openai.Sighting) bool {
		return s.ID == "completed" || s.ID == "incomplete" || s.ID == "failed" || s.ID == "cancelled"
	})
}

// settle writes into the record what is to be counted with the call, and reports whether there is nothing more to be settled:
// what it used is counted with another one, or was charged now.
func (l *later) settle(d *upstream.Delivered, best *try, rec *proxy.Record) bool {
	if l == nil || l.mark.ID == "" {
		return false
	}
	switch told := d.Usage.Basis == openai.Exact && l.done(); {
	case !l.asks:
		return !l.made(told, rec)
	case told && l.take():
		l.shown(d.Usage, best, rec)
	}
	return true
}

// made is behind the call that made the response, and reports whether that counts like any other. Of a stream that was left
// counts what has passed, and the rest with the look at its end.
func (l *later) made(told bool, rec *proxy.Record) bool {
	if rec.Usage.Basis == openai.NoUsage {
		return false
	}
	if !l.take() {
		rec.Usage = openai.Usage{} // somebody was shown all of it meanwhile
		return false
	}
	if told {
		return true
	}
	u, more := rec.Usage, l.debt
	more.input, more.output = u.Input, u.Output
	more.client.Tokens, more.key.Tokens = u.Input+u.Output, u.Input+u.Output
	if cost, priced := l.relay.Prices.Cost(more.model, u); priced {
		more.cost, more.client.NanoUSD, more.key.NanoUSD = cost, cost, cost
	}
	l.relay.Owners.Keep(l.ctx, l.call.Client.Owner(), []proxy.Object{more.object(l.mark.ID)})
	return true
}

// shown counts what the response used, but for what is counted, and charges it.
func (l *later) shown(u openai.Usage, best *try, rec *proxy.Record) {
	cost, priced := l.relay.Prices.Cost(l.debt.model, u)
	l.charge(best, balancer.Need{Tokens: max(u.Input, 0) + max(u.Output, 0), NanoUSD: cost}, priced)
	u.Input, u.Output = max(u.Input-l.debt.input, 0), max(u.Output-l.debt.output, 0)
	u.Cached, u.Reasoning = min(u.Cached, u.Input), min(u.Reasoning, u.Output)
	rec.Usage, rec.Model = u, l.debt.model
	rec.Cost, rec.Priced, rec.Unpriced = max(cost-l.debt.cost, 0), priced, !priced
}

// take takes the mark. Where the state does not answer, the one who made the response counts it, and has it forgotten.
func (l *later) take() bool {
	taken, err := l.relay.Owners.Take(l.ctx, l.call.Client.Owner(), l.mark)
	if err != nil && !l.asks {
		l.relay.Owners.Forget(l.ctx, l.call.Client.Owner(), []proxy.ObjectID{l.mark})
		return true
	}
	return taken
}

// charge charges the client and the key what the response used beyond what they were charged before.
func (l *later) charge(best *try, used balancer.Need, priced bool) {
	if used.Tokens > implausible {
		return
	}
	more := func(charged balancer.Need) balancer.Need {
		return balancer.Need{Tokens: max(used.Tokens-charged.Tokens, 0), NanoUSD: max(used.NanoUSD-charged.NanoUSD, 0)}
	}
	client := more(l.debt.client)
	l.permit.Charge(admission.Spent{Usage: openai.Usage{Input: client.Tokens, Basis: openai.Exact}, Cost: client.NanoUSD, Priced: priced})
	best.pick.UsedMore(more(l.debt.key))
}

package conformance

import (
	"slices"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"
)

// said are items of input.
func said(texts ...string) (items []responses.ResponseInputItemUnionParam) {
	for _, text := range texts {
		items = append(items, responses.ResponseInputItemParamOfMessage(text, responses.EasyInputMessageRoleUser))
	}
	return items
}

// inputs are the texts of what a response was asked, page by page, each through another replica.
func (p *pair) inputs(t *testing.T, id string) (texts []string) {
	t.Helper()
	for q := (responses.InputItemListParams{Limit: param.NewOpt[int64](1), Order: "asc"}); ; {
		c := p.next(sdk)
		page, err := c.Responses.InputItems.List(t.Context(), id, q)
		if err != nil || len(page.Data) != 1 {
			t.Fatalf("%v %v", page, err)
		}
		texts = append(texts, page.Data[0].Content.OfInputItemContentList[0].Text)
		if q.After = param.NewOpt(page.Data[0].ID); !page.HasMore {
			return texts
		}
	}
}

// One answer goes on from the one before it, and what both were asked is there to be read, through whichever replica.
func TestResponsesInTurns(t *testing.T) {
	p, ctx := newPair(t), t.Context()
	var ids []string
	for i := range 4 {
		first := saying("")
		first.Input = responses.ResponseNewParamsInputUnion{OfInputItemList: said("one", "two", "three")}
		c := p.next(sdk)
		a, err := c.Responses.New(ctx, first)
		if err != nil {
			t.Fatal(err)
		}
		whole(t, a)
		if i%2 == 1 {
			p.restart(t)
		}
		after := saying("four")
		after.PreviousResponseID = param.NewOpt(a.ID)
		p.unseen(t, "goes on from a response", a.ID, func(c openai.Client, id string) error {
			after := after
			after.PreviousResponseID = param.NewOpt(id)
			return second(c.Responses.New(ctx, after))
		})
		c = p.next(sdk)
		b, err := c.Responses.New(ctx, after)
		if err != nil || b.PreviousResponseID != a.ID {
			t.Fatalf("%+v, %v", b, err)
		}
		if texts := p.inputs(t, a.ID); !slices.Equal(texts, []string{"one", "two", "three"}) {
			t.Errorf("the first was asked %q", texts)
		}
		if texts := p.inputs(t, b.ID); !slices.Equal(texts, []string{"four"}) {
			t.Errorf("the second was asked %q", texts)
		}
		p.unseen(t, "reads what was asked", a.ID, func(c openai.Client, id string) error {
			return second(c.Responses.InputItems.List(ctx, id, responses.InputItemListParams{}))
		})
		p.counted(t, b.ID)
		p.holder(t, "/v1/responses/"+a.ID)
		c = p.next(sdk)
		if err := c.Responses.Delete(ctx, a.ID); err != nil {
			t.Error(err)
		}
		p.unseen(t, "deletes a response", b.ID, func(c openai.Client, id string) error { return c.Responses.Delete(ctx, id) })
		c = p.next(sdk)
		answers(t, "a response that was deleted", second(c.Responses.Get(ctx, a.ID, responses.ResponseGetParams{})), 404)
		ids = append(ids, b.ID)
	}
	p.holders(t, "/v1/responses", ids)
	p.stayed(t)
}

// counted checks that what comes after a response is counted, and refused to another client.
func (p *pair) counted(t *testing.T, id string) {
	t.Helper()
	count := func(c openai.Client, id string) error {
		n, err := c.Responses.InputTokens.Count(t.Context(), responses.InputTokenCountParams{Model: param.NewOpt("gpt-4o-mini"),
			PreviousResponseID: param.NewOpt(id), Input: responses.InputTokenCountParamsInputUnion{OfString: param.NewOpt("Hello")}})
		if err == nil && n.InputTokens == 0 {
			t.Error("nothing was counted")
		}
		return err
	}
	if err := count(p.next(sdk), id); err != nil {
		t.Error(err)
	}
	p.unseen(t, "counts tokens", id, count)
}

// What a model thought, and what was made of a long talk, is sealed for the account that it came from. It comes back there,
// although nothing is stored.
func TestSealedItems(t *testing.T) {
	p, ctx := newPair(t), t.Context()
	ask := func(items []responses.ResponseInputItemUnionParam) responses.ResponseNewParams {
		return responses.ResponseNewParams{Model: "gpt-4o-mini", Store: param.NewOpt(false),
			Include: []responses.ResponseIncludable{responses.ResponseIncludableReasoningEncryptedContent},
			Input:   responses.ResponseNewParamsInputUnion{OfInputItemList: items}}
	}
	for i := range 8 {
		c := p.next(sdk)
		a, err := c.Responses.New(ctx, ask(said("Hello")))
		if err != nil || len(a.Output) != 2 {
			t.Fatalf("%+v, %v", a, err)
		}
		if i%4 == 3 {
			p.restart(t)
		}
		thought := a.Output[0].AsReasoning().ToParam()
		back := append(said("Hello"), responses.ResponseInputItemUnionParam{OfReasoning: &thought})
		c = p.next(sdk)
		if _, err := c.Responses.New(ctx, ask(append(back, said("And?")...))); err != nil {
			t.Errorf("a thought that is given back: %v", err)
		}
		c = p.next(sdk)
		short, err := c.Responses.Compact(ctx, responses.ResponseCompactParams{Model: "gpt-4o-mini",
			Input: responses.ResponseCompactParamsInputUnion{OfResponseInputItemArray: back}})
		if err != nil || len(short.Output) != 1 {
			t.Fatalf("%+v, %v", short, err)
		}
		whole(t, short)
		c = p.next(sdk) // its helper says no id
		compacted := responses.ResponseInputItemParamOfCompaction(short.Output[0].AsCompaction().EncryptedContent)
		if _, err := c.Responses.New(ctx, ask(append(said("And?"), compacted))); err != nil {
			t.Errorf("a compaction that is given back: %v", err)
		}
	}
	if asked := p.requests(t); len(asked) < 3 {
		t.Errorf("it all went to %v", asked)
	}
}

package conformance

import (
	"slices"
	"strconv"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/conversations"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
)

// talked are the ids of the items of a conversation, the oldest first, page by page, each through another replica.
func (p *pair) talked(t *testing.T, talk string) (ids []string) {
	t.Helper()
	for q := (conversations.ItemListParams{Limit: param.NewOpt[int64](2), Order: "asc"}); ; {
		c := p.next(sdk)
		page, err := c.Conversations.Items.List(t.Context(), talk, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Data {
			ids = append(ids, item.ID)
		}
		if q.After = param.NewOpt(page.LastID); !page.HasMore {
			return ids
		}
	}
}

// A conversation is begun, added to, talked in and read through two replicas, of which one is killed in between.
func TestConversations(t *testing.T) {
	p, ctx := newPair(t), t.Context()
	var talks []string
	for i := range 4 {
		c := p.next(sdk)
		talk, err := c.Conversations.New(ctx, conversations.ConversationNewParams{Items: said("one"), Metadata: shared.Metadata{"n": "1"}})
		if err != nil {
			t.Fatal(err)
		}
		whole(t, talk)
		c = p.next(sdk)
		added, err := c.Conversations.Items.New(ctx, talk.ID, conversations.ItemNewParams{Items: said("two", "three")})
		if err != nil || len(added.Data) != 2 {
			t.Fatalf("%+v, %v", added, err)
		}
		if i%2 == 1 {
			p.restart(t)
		}
		ask := saying("four")
		ask.Conversation = responses.ResponseNewParamsConversationUnion{OfConversationObject: &responses.ResponseConversationParam{ID: talk.ID}}
		p.unseen(t, "talks in a conversation", talk.ID, func(c openai.Client, id string) error {
			ask := ask
			ask.Conversation = responses.ResponseNewParamsConversationUnion{OfString: param.NewOpt(id)}
			return second(c.Responses.New(ctx, ask))
		})
		c = p.next(sdk)
		if _, err := c.Responses.New(ctx, ask); err != nil {
			t.Fatal(err)
		}
		ids := p.talked(t, talk.ID)
		if len(ids) != 5 || !slices.Equal(ids[1:3], []string{added.Data[0].ID, added.Data[1].ID}) {
			t.Errorf("it has %q", ids)
		}
		p.itemsOf(t, talk.ID, ids)
		c = p.next(sdk)
		if _, err := c.Conversations.Update(ctx, talk.ID, conversations.ConversationUpdateParams{Metadata: shared.Metadata{"n": "2"}}); err != nil {
			t.Error(err)
		}
		c = p.next(sdk)
		if got, err := c.Conversations.Get(ctx, talk.ID); err != nil || got.Metadata.(map[string]any)["n"] != "2" {
			t.Errorf("%+v, %v", got, err)
		}
		talks = append(talks, talk.ID)
	}
	p.holders(t, "/v1/conversations", talks)
	p.endTalks(t, talks)
	p.stayed(t)
}

// endTalks deletes conversations, and does not for another client.
func (p *pair) endTalks(t *testing.T, talks []string) {
	t.Helper()
	ctx := t.Context()
	for _, id := range talks {
		p.unseen(t, "deletes a conversation", id, func(c openai.Client, id string) error { return second(c.Conversations.Delete(ctx, id)) })
		c := p.next(sdk)
		if gone, err := c.Conversations.Delete(ctx, id); err != nil || !gone.Deleted {
			t.Errorf("%+v, %v", gone, err)
		}
		c = p.next(sdk)
		answers(t, "a conversation that was deleted", second(c.Conversations.Get(ctx, id)), 404)
	}
}

// itemsOf reads one item, deletes it, and does neither for another client.
func (p *pair) itemsOf(t *testing.T, talk string, ids []string) {
	t.Helper()
	ctx, one := t.Context(), ids[1]
	c := p.next(sdk)
	if item, err := c.Conversations.Items.Get(ctx, talk, one, conversations.ItemGetParams{}); err != nil || item.ID != one || item.Content.OfMessageContentArray[0].Text != "two" {
		t.Errorf("%+v, %v", item, err)
	}
	for what, reach := range map[string]func(c openai.Client, talk string) error{
		"reads an item": func(c openai.Client, talk string) error {
			return second(c.Conversations.Items.Get(ctx, talk, one, conversations.ItemGetParams{}))
		},
		"lists the items": func(c openai.Client, talk string) error {
			return second(c.Conversations.Items.List(ctx, talk, conversations.ItemListParams{}))
		},
		"adds an item": func(c openai.Client, talk string) error {
			return second(c.Conversations.Items.New(ctx, talk, conversations.ItemNewParams{Items: said("x")}))
		},
		"deletes an item": func(c openai.Client, talk string) error { return second(c.Conversations.Items.Delete(ctx, talk, one)) },
	} {
		p.unseen(t, what, talk, reach)
	}
	c = p.next(sdk)
	if left, err := c.Conversations.Items.Delete(ctx, talk, one); err != nil || left.ID != talk {
		t.Errorf("%+v, %v", left, err)
	}
	if left := p.talked(t, talk); !slices.Equal(left, slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == one })) {
		t.Errorf("%q are left", left)
	}
}

// Chat completions that are stored are listed by what they say of themselves, changed, read and deleted.
func TestStoredCompletions(t *testing.T) {
	p, ctx := newPair(t), t.Context()
	byTeam, all := map[string][]string{}, []string{}
	for i := range 9 {
		if i%4 == 3 {
			p.restart(t)
		}
		team := strconv.Itoa(i % 2)
		for _, of := range []string{sdk, other} {
			c := p.next(of)
			made, err := c.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{Model: "gpt-4o-mini", Store: param.NewOpt(true), Metadata: shared.Metadata{"team": team},
				Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("one"), openai.UserMessage("two"), openai.UserMessage("three")}})
			if err != nil {
				t.Fatal(err)
			}
			if of == sdk {
				byTeam[team], all = append(byTeam[team], made.ID), append(all, made.ID)
			}
		}
	}
	list := func(q openai.ChatCompletionListParams) ([]string, error) {
		c := p.next(sdk)
		return listed(c.Chat.Completions.ListAutoPaging(ctx, q), func(one openai.ChatCompletion) string { return one.ID })
	}
	for limit := range int64(4) {
		ids, err := list(openai.ChatCompletionListParams{Limit: param.NewOpt(limit + 1)})
		if err != nil || !slices.Equal(ids, all) { // the oldest first
			t.Errorf("by %d: %q, want %q, %v", limit+1, ids, all, err)
		}
	}
	for team, want := range byTeam {
		ids, err := list(openai.ChatCompletionListParams{Limit: param.NewOpt[int64](2), Metadata: shared.Metadata{"team": team}, Model: param.NewOpt("gpt-4o-mini")})
		same(t, "those of a team", ids, want, err)
	}
	for _, q := range []openai.ChatCompletionListParams{{Model: param.NewOpt("gpt-4o")}, {Metadata: shared.Metadata{"team": ""}}} {
		ids, err := list(q)
		same(t, "those that are none", ids, nil, err)
	}
	p.holders(t, "/v1/chat/completions", all)
	for _, id := range all {
		p.storedCompletion(t, id)
	}
	p.stayed(t)
}

// storedCompletion changes, reads and deletes one, and does nothing of that for another client.
func (p *pair) storedCompletion(t *testing.T, id string) {
	t.Helper()
	ctx := t.Context()
	for what, reach := range map[string]func(c openai.Client, id string) error{
		"reads a completion": func(c openai.Client, id string) error { return second(c.Chat.Completions.Get(ctx, id)) },
		"changes a completion": func(c openai.Client, id string) error {
			return second(c.Chat.Completions.Update(ctx, id, openai.ChatCompletionUpdateParams{Metadata: shared.Metadata{}}))
		},
		"reads the messages": func(c openai.Client, id string) error {
			return second(c.Chat.Completions.Messages.List(ctx, id, openai.ChatCompletionMessageListParams{}))
		},
		"deletes a completion": func(c openai.Client, id string) error { return second(c.Chat.Completions.Delete(ctx, id)) },
	} {
		p.unseen(t, what, id, reach)
	}
	c := p.next(sdk)
	if _, err := c.Chat.Completions.Update(ctx, id, openai.ChatCompletionUpdateParams{Metadata: shared.Metadata{"team": "new"}}); err != nil {
		t.Error(err)
	}
	c = p.next(sdk)
	if got, err := c.Chat.Completions.Get(ctx, id); err != nil || got.ID != id {
		t.Errorf("%+v, %v", got, err)
	}
	c = p.next(sdk)
	said, err := listed(c.Chat.Completions.Messages.ListAutoPaging(ctx, id, openai.ChatCompletionMessageListParams{Limit: param.NewOpt[int64](1)}),
		func(m openai.ChatCompletionStoreMessage) string { return m.Content })
	if err != nil || !slices.Equal(said, []string{"one", "two", "three"}) {
		t.Errorf("it was asked %q, %v", said, err)
	}
	c = p.next(sdk)
	changed, err := listed(c.Chat.Completions.ListAutoPaging(ctx, openai.ChatCompletionListParams{Metadata: shared.Metadata{"team": "new"}}),
		func(one openai.ChatCompletion) string { return one.ID })
	same(t, "those that were changed", changed, []string{id}, err)
	c = p.next(sdk)
	if gone, err := c.Chat.Completions.Delete(ctx, id); err != nil || !gone.Deleted {
		t.Errorf("%+v, %v", gone, err)
	}
	c = p.next(sdk)
	answers(t, "a completion that was deleted", second(c.Chat.Completions.Get(ctx, id)), 404)
}

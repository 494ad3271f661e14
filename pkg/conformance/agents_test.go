package conformance

import (
	"context"
	"slices"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/shared"
)

// talk is an assistant and a thread in which it was asked.
type talk struct{ assistant, thread string }

// Assistants, threads, messages, runs and steps go on working through two replicas over three accounts, of which one replica is
// killed in the middle. A run needs its thread and its assistant in one account: nobody says where, and it works all the same.
func TestAssistants(t *testing.T) {
	p := newPair(t)
	var talks []talk
	p.rounds(t, func() {
		one := p.talk(t)
		p.messages(t, one.thread)
		p.runWithTool(t, one)
		p.cancelledRun(t, one)
		p.streamedRun(t, one)
		p.createAndRun(t, one)
		talks = append(talks, one)
	})
	var assistants, threads []string
	for _, one := range talks { // those that were made before one replica was killed, too
		assistants, threads = append(assistants, one.assistant), append(threads, one.thread)
		p.runWithTool(t, one)
		p.unseenTalk(t, one)
	}
	p.holders(t, "/v1/assistants", assistants)
	p.holders(t, "/v1/threads", threads)
	c := p.next(sdk)
	got, err := listed(c.Beta.Assistants.ListAutoPaging(t.Context(), openai.BetaAssistantListParams{Limit: param.NewOpt[int64](2)}),
		func(a openai.Assistant) string { return a.ID })
	same(t, "assistants", got, assistants, err)
	for _, one := range talks {
		p.endTalk(t, one)
	}
	p.stayed(t)
}

// weather is a function that the caller has.
var weather = openai.AssistantToolParamOfFunction(shared.FunctionDefinitionParam{Name: "weather"})

func (p *pair) talk(t *testing.T) talk {
	t.Helper()
	ctx, c := t.Context(), p.next(sdk)
	a, err := c.Beta.Assistants.New(ctx, openai.BetaAssistantNewParams{Model: "gpt-4o", Tools: []openai.AssistantToolUnionParam{weather}})
	if err != nil {
		t.Fatal(err)
	}
	whole(t, a)
	c = p.next(sdk)
	if a, err = c.Beta.Assistants.Update(ctx, a.ID, openai.BetaAssistantUpdateParams{Name: param.NewOpt("Ada")}); err != nil || a.Name != "Ada" {
		t.Errorf("%+v, %v", a, err)
	}
	c = p.next(sdk)
	if a, err = c.Beta.Assistants.Get(ctx, a.ID); err != nil || a.Name != "Ada" || len(a.Tools) != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	c = p.next(sdk)
	thread, err := c.Beta.Threads.New(ctx, openai.BetaThreadNewParams{Messages: []openai.BetaThreadNewParamsMessage{{Role: "user",
		Content: openai.BetaThreadNewParamsMessageContentUnion{OfString: param.NewOpt("Is it warm?")}, Metadata: shared.Metadata{"thread_id": "mine"}}}})
	if err != nil {
		t.Fatal(err)
	}
	whole(t, thread)
	c = p.next(sdk)
	if thread, err = c.Beta.Threads.Update(ctx, thread.ID, openai.BetaThreadUpdateParams{Metadata: shared.Metadata{"a": "b"}}); err != nil {
		t.Fatal(err)
	}
	c = p.next(sdk)
	if thread, err = c.Beta.Threads.Get(ctx, thread.ID); err != nil || thread.Metadata["a"] != "b" {
		t.Errorf("%+v, %v", thread, err)
	}
	return talk{a.ID, thread.ID}
}

func (p *pair) messages(t *testing.T, thread string) {
	t.Helper()
	ctx, c := t.Context(), p.next(sdk)
	m, err := c.Beta.Threads.Messages.New(ctx, thread, openai.BetaThreadMessageNewParams{Role: "user",
		Content: openai.BetaThreadMessageNewParamsContentUnion{OfString: param.NewOpt("And tomorrow?")}})
	if err != nil {
		t.Fatal(err)
	}
	whole(t, m)
	c = p.next(sdk)
	if m, err = c.Beta.Threads.Messages.Update(ctx, thread, m.ID, openai.BetaThreadMessageUpdateParams{Metadata: shared.Metadata{"a": "b"}}); err != nil {
		t.Fatal(err)
	}
	c = p.next(sdk)
	if m, err = c.Beta.Threads.Messages.Get(ctx, thread, m.ID); err != nil || m.Metadata["a"] != "b" || m.Content[0].Text.Value != "And tomorrow?" {
		t.Errorf("%+v, %v", m, err)
	}
	c = p.next(sdk)
	all, err := listed(c.Beta.Threads.Messages.ListAutoPaging(ctx, thread, openai.BetaThreadMessageListParams{Limit: param.NewOpt[int64](1)}),
		func(m openai.Message) string { return m.ID })
	if err != nil || len(all) != 2 || all[0] != m.ID {
		t.Errorf("messages: %v, %v", all, err)
	}
	c = p.next(sdk)
	if gone, err := c.Beta.Threads.Messages.Delete(ctx, thread, all[1]); err != nil || !gone.Deleted {
		t.Errorf("%+v, %v", gone, err)
	}
	c = p.next(sdk)
	_, err = c.Beta.Threads.Messages.Get(ctx, thread, all[1])
	answers(t, "a message that was deleted", err, 404)
}

// unseenTalk tries all that the other client could do with it.
func (p *pair) unseenTalk(t *testing.T, one talk) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for what, reach := range map[string]func(openai.Client, string) error{
		"gets an assistant": func(c openai.Client, id string) error { return second(c.Beta.Assistants.Get(ctx, id)) },
		"changes an assistant": func(c openai.Client, id string) error {
			return second(c.Beta.Assistants.Update(ctx, id, openai.BetaAssistantUpdateParams{}))
		},
		"deletes an assistant": func(c openai.Client, id string) error { return second(c.Beta.Assistants.Delete(ctx, id)) },
		"runs an assistant": func(c openai.Client, id string) error {
			return second(c.Beta.Threads.NewAndRun(ctx, openai.BetaThreadNewAndRunParams{AssistantID: id}))
		},
	} {
		p.unseen(t, what, one.assistant, reach)
	}
	for what, reach := range map[string]func(openai.Client, string) error{
		"changes a thread": func(c openai.Client, id string) error {
			return second(c.Beta.Threads.Update(ctx, id, openai.BetaThreadUpdateParams{}))
		},
		"deletes a thread": func(c openai.Client, id string) error { return second(c.Beta.Threads.Delete(ctx, id)) },
		"lists messages": func(c openai.Client, id string) error {
			return second(c.Beta.Threads.Messages.List(ctx, id, openai.BetaThreadMessageListParams{}))
		},
		"lists runs": func(c openai.Client, id string) error {
			return second(c.Beta.Threads.Runs.List(ctx, id, openai.BetaThreadRunListParams{}))
		},
		"lists steps": func(c openai.Client, id string) error {
			return second(c.Beta.Threads.Runs.Steps.List(ctx, id, "run_1", openai.BetaThreadRunStepListParams{}))
		},
		"runs a thread": func(c openai.Client, id string) error {
			return second(c.Beta.Threads.Runs.New(ctx, id, openai.BetaThreadRunNewParams{AssistantID: one.assistant}))
		},
	} {
		p.unseen(t, what, one.thread, reach)
	}
	c := p.next(other)
	got, err := listed(c.Beta.Assistants.ListAutoPaging(ctx, openai.BetaAssistantListParams{}), func(a openai.Assistant) string { return a.ID })
	nothing(t, got, err)
}

func (p *pair) endTalk(t *testing.T, one talk) {
	t.Helper()
	ctx, c := t.Context(), p.next(sdk)
	if gone, err := c.Beta.Threads.Delete(ctx, one.thread); err != nil || !gone.Deleted {
		t.Errorf("%+v, %v", gone, err)
	}
	c = p.next(sdk)
	if gone, err := c.Beta.Assistants.Delete(ctx, one.assistant); err != nil || !gone.Deleted {
		t.Errorf("%+v, %v", gone, err)
	}
	c = p.next(sdk)
	answers(t, "a thread that was deleted", second(c.Beta.Threads.Get(ctx, one.thread)), 404)
	c = p.next(sdk)
	left, err := listed(c.Beta.Assistants.ListAutoPaging(ctx, openai.BetaAssistantListParams{}), func(a openai.Assistant) string { return a.ID })
	if err != nil || slices.Contains(left, one.assistant) {
		t.Errorf("listed though it was deleted: %v, %v", left, err)
	}
}

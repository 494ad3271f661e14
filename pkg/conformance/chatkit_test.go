package conformance

import (
	"testing"

	"github.com/openai/openai-go/v3"
)

// ChatKit gives out secrets that work beside the proxy, and threads that those made: it is closed, and the upstream hears nothing.
func TestChatKitIsClosed(t *testing.T) {
	r, ctx := start(t), t.Context()
	c := r.client()
	answers(t, "a session", second(c.Beta.ChatKit.Sessions.New(ctx, openai.BetaChatKitSessionNewParams{User: "u",
		Workflow: openai.ChatSessionWorkflowParam{ID: "wf_1"}})), 403)
	answers(t, "cancelling one", second(c.Beta.ChatKit.Sessions.Cancel(ctx, "cksess_1")), 403)
	answers(t, "threads", second(c.Beta.ChatKit.Threads.List(ctx, openai.BetaChatKitThreadListParams{})), 403)
	answers(t, "a thread", second(c.Beta.ChatKit.Threads.Get(ctx, "cthr_1")), 403)
	answers(t, "its items", second(c.Beta.ChatKit.Threads.ListItems(ctx, "cthr_1", openai.BetaChatKitThreadListItemsParams{})), 403)
	answers(t, "deleting one", second(c.Beta.ChatKit.Threads.Delete(ctx, "cthr_1")), 403)
	if n := total(r.requests(t)); n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
}

package conformance

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/conversations"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"
)

// What an application stores goes on working through two replicas over three accounts, one of which is killed in the middle.
func TestStoredObjects(t *testing.T) {
	p := newPair(t)
	const rounds = 6
	var files, answers, theirs []string
	for i := range rounds {
		if i%2 == 0 { // which turns the accounts, too: a round alone takes each once
			theirs = append(theirs, p.file(t, other, "theirs"))
		}
		if i == rounds/2 {
			p.restart(t)
		}
		files = append(files, filesAndBatches(t, p.next)...)
		answers = append(answers, answersAndConversations(t, p.next))
	}
	p.holders(t, "/v1/files", files)
	p.holders(t, "/v1/responses", answers)
	ctx := t.Context()
	for _, id := range files {
		mine := p.next(sdk)
		if f, err := mine.Files.Get(ctx, id); err != nil || f.ID != id {
			t.Errorf("a file: %v", err)
		}
		p.unseen(t, "gets a file", id, func(c openai.Client, id string) error { return second(c.Files.Get(ctx, id)) })
		p.unseen(t, "reads a file", id, func(c openai.Client, id string) error { return second(c.Files.Content(ctx, id)) })
		p.unseen(t, "deletes a file", id, func(c openai.Client, id string) error { return second(c.Files.Delete(ctx, id)) })
	}
	for _, id := range answers {
		p.unseen(t, "deletes a response", id, func(c openai.Client, id string) error { return c.Responses.Delete(ctx, id) })
		mine := p.next(sdk)
		if err := mine.Responses.Delete(ctx, id); err != nil {
			t.Errorf("deleting a response: %v", err)
		}
	}
	p.files(t, sdk, files)
	p.files(t, other, theirs)
	p.stayed(t)
}

// filesAndBatches uploads a file, runs it as a batch, reads the result and puts it into a vector store.
func filesAndBatches(t *testing.T, next func(string) openai.Client) []string {
	t.Helper()
	ctx, c := context.WithoutCancel(t.Context()), next(sdk)
	request := `{"custom_id":"mine","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}}`
	file, err := c.Files.New(ctx, openai.FileNewParams{Purpose: openai.FilePurposeBatch, File: openai.File(strings.NewReader(request), "in.jsonl", "application/jsonl")})
	if err != nil {
		t.Fatal(err)
	}
	c = next(sdk)
	batch, err := c.Batches.New(ctx, openai.BatchNewParams{InputFileID: file.ID, Endpoint: openai.BatchNewParamsEndpointV1ChatCompletions,
		CompletionWindow: openai.BatchNewParamsCompletionWindow24h})
	if err != nil {
		t.Fatal(err)
	}
	c = next(sdk)
	if batch, err = c.Batches.Get(ctx, batch.ID); err != nil || batch.Status != openai.BatchStatusCompleted || batch.RequestCounts.Completed != 1 {
		t.Fatalf("%+v, %v", batch, err)
	}
	whole(t, batch)
	c = next(sdk)
	result, err := c.Files.Content(ctx, batch.OutputFileID)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(result.Body)
	result.Body.Close()
	if !strings.Contains(string(text), `"custom_id":"mine"`) || !strings.Contains(string(text), `"object":"chat.completion"`) {
		t.Errorf("the result is %q", text)
	}
	c = next(sdk)
	store, err := c.VectorStores.New(ctx, openai.VectorStoreNewParams{FileIDs: []string{file.ID}})
	if err != nil {
		t.Fatal(err)
	}
	c = next(sdk)
	if deleted, err := c.VectorStores.Delete(ctx, store.ID); err != nil || !deleted.Deleted {
		t.Errorf("%+v, %v", deleted, err)
	}
	return []string{file.ID, batch.OutputFileID}
}

// answersAndConversations asks, goes on from the answer, and talks in a conversation.
func answersAndConversations(t *testing.T, next func(string) openai.Client) string {
	t.Helper()
	ctx, c := t.Context(), next(sdk)
	params := responses.ResponseNewParams{Model: "gpt-4o-mini", Input: responses.ResponseNewParamsInputUnion{OfString: param.NewOpt("Hello")}}
	first, err := c.Responses.New(ctx, params)
	if err != nil {
		t.Fatal(err)
	}
	params.PreviousResponseID = param.NewOpt(first.ID)
	c = next(sdk)
	stream := c.Responses.NewStreaming(ctx, params)
	second := ""
	for stream.Next() {
		if r := stream.Current().Response.ID; r != "" && second == "" {
			second = r
			another := next(sdk)
			if again, err := another.Responses.Get(ctx, second, responses.ResponseGetParams{}); err != nil || again.ID != second {
				t.Errorf("while it streams: %v", err)
			}
		}
	}
	if stream.Err() != nil || second == "" {
		t.Errorf("%q, %v", second, stream.Err())
	}
	c = next(sdk)
	talk, err := c.Conversations.New(ctx, conversations.ConversationNewParams{})
	if err != nil {
		t.Fatal(err)
	}
	params.PreviousResponseID = param.Opt[string]{}
	params.Conversation.OfString = param.NewOpt(talk.ID)
	c = next(sdk)
	if _, err := c.Responses.New(ctx, params); err != nil {
		t.Errorf("in a conversation: %v", err)
	}
	c = next(sdk)
	if _, err := c.Conversations.Delete(ctx, talk.ID); err != nil {
		t.Errorf("%v", err)
	}
	c = next(sdk)
	if _, err := c.Conversations.Get(ctx, talk.ID); err == nil {
		t.Error("a conversation that was deleted is there")
	}
	return first.ID
}

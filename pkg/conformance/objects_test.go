package conformance

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/conversations"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"

	"openai-api-proxy/pkg/redistest"
)

// What an application stores goes on working through two replicas over three accounts, one of which is killed in the middle.
func TestStoredObjects(t *testing.T) {
	redis := redistest.Start(t)
	env := []string{"OPENAI_BASE_URL=" + startMock(t), "REDIS_URL=" + redis.URL(), "LOG_LEVEL=warn",
		fmt.Sprintf(`OPENAI_API_KEYS=[{"id":"a","key":%q},{"id":"b","key":%q},{"id":"c","key":%q}]`, keyA, keyB, keyC),
		fmt.Sprintf(`CLIENT_TOKENS=[{"id":"sdk","token":%q},{"id":"other","token":"%s-other"}]`, token, token)}
	replicas := []*replica{launch(t, env, nil), launch(t, env, nil)}
	turn := 0
	next := func(of string) openai.Client { // through one and the other in turn
		turn++
		return openai.NewClient(option.WithBaseURL(replicas[turn%2].url+"/v1"), option.WithAPIKey(of), option.WithMaxRetries(0))
	}
	const rounds = 6
	var files, answers []string
	for i := range rounds {
		if i == rounds/2 {
			replicas[0].kill()
			replicas[0] = launch(t, env, nil)
		}
		files = append(files, filesAndBatches(t, next)...)
		answers = append(answers, answersAndConversations(t, next))
	}
	ctx := t.Context()
	for _, id := range files {
		mine, others := next(token), next(token+"-other")
		if f, err := mine.Files.Get(ctx, id); err != nil || f.ID != id {
			t.Errorf("a file: %v", err)
		}
		if _, err := others.Files.Get(ctx, id); err == nil {
			t.Error("another client gets it")
		}
	}
	for _, id := range answers {
		mine := next(token)
		if err := mine.Responses.Delete(ctx, id); err != nil {
			t.Errorf("deleting a response: %v", err)
		}
	}
	listed := map[string]bool{}
	pages := next(token)
	for all := pages.Files.ListAutoPaging(ctx, openai.FileListParams{Limit: param.NewOpt[int64](5)}); all.Next(); {
		listed[all.Current().ID] = true
	}
	for _, id := range files {
		if !listed[id] {
			t.Errorf("%s is not listed among %d", id, len(listed))
		}
	}
	for _, r := range replicas {
		if strings.Contains(r.log.String(), "DATA RACE") {
			t.Error(r.log)
		}
	}
}

// filesAndBatches uploads a file, runs it as a batch, reads the result and puts it into a vector store.
func filesAndBatches(t *testing.T, next func(string) openai.Client) []string {
	t.Helper()
	ctx, c := context.WithoutCancel(t.Context()), next(token)
	file, err := c.Files.New(ctx, openai.FileNewParams{Purpose: openai.FilePurposeBatch, File: openai.File(strings.NewReader(`{"custom_id":"1"}`), "in.jsonl", "application/jsonl")})
	if err != nil {
		t.Fatal(err)
	}
	c = next(token)
	batch, err := c.Batches.New(ctx, openai.BatchNewParams{InputFileID: file.ID, Endpoint: openai.BatchNewParamsEndpointV1ChatCompletions,
		CompletionWindow: openai.BatchNewParamsCompletionWindow24h})
	if err != nil {
		t.Fatal(err)
	}
	c = next(token)
	if batch, err = c.Batches.Get(ctx, batch.ID); err != nil || batch.Status != openai.BatchStatusCompleted {
		t.Fatalf("%+v, %v", batch, err)
	}
	c = next(token)
	result, err := c.Files.Content(ctx, batch.OutputFileID)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(result.Body)
	result.Body.Close()
	if !strings.Contains(string(text), batch.OutputFileID) {
		t.Errorf("the result is %q", text)
	}
	c = next(token)
	store, err := c.VectorStores.New(ctx, openai.VectorStoreNewParams{FileIDs: []string{file.ID}})
	if err != nil {
		t.Fatal(err)
	}
	c = next(token)
	if deleted, err := c.VectorStores.Delete(ctx, store.ID); err != nil || !deleted.Deleted {
		t.Errorf("%+v, %v", deleted, err)
	}
	return []string{file.ID, batch.OutputFileID}
}

// answersAndConversations asks, goes on from the answer, and talks in a conversation.
func answersAndConversations(t *testing.T, next func(string) openai.Client) string {
	t.Helper()
	ctx, c := t.Context(), next(token)
	params := responses.ResponseNewParams{Model: "gpt-4o-mini", Input: responses.ResponseNewParamsInputUnion{OfString: param.NewOpt("Hello")}}
	first, err := c.Responses.New(ctx, params)
	if err != nil {
		t.Fatal(err)
	}
	params.PreviousResponseID = param.NewOpt(first.ID)
	c = next(token)
	stream := c.Responses.NewStreaming(ctx, params)
	second := ""
	for stream.Next() {
		if r := stream.Current().Response.ID; r != "" && second == "" {
			second = r
			other := next(token)
			if again, err := other.Responses.Get(ctx, second, responses.ResponseGetParams{}); err != nil || again.ID != second {
				t.Errorf("while it streams: %v", err)
			}
		}
	}
	if stream.Err() != nil || second == "" {
		t.Errorf("%q, %v", second, stream.Err())
	}
	c = next(token)
	talk, err := c.Conversations.New(ctx, conversations.ConversationNewParams{})
	if err != nil {
		t.Fatal(err)
	}
	params.PreviousResponseID = param.Opt[string]{}
	params.Conversation.OfString = param.NewOpt(talk.ID)
	c = next(token)
	if _, err := c.Responses.New(ctx, params); err != nil {
		t.Errorf("in a conversation: %v", err)
	}
	c = next(token)
	if _, err := c.Conversations.Delete(ctx, talk.ID); err != nil {
		t.Errorf("%v", err)
	}
	c = next(token)
	if _, err := c.Conversations.Get(ctx, talk.ID); err == nil {
		t.Error("a conversation that was deleted is there")
	}
	return first.ID
}

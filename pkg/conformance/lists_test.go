package conformance

import (
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
)

// Whoever waits for batches by looking at the list reads their results next, through either replica.
func TestBatchesByTheirList(t *testing.T) {
	p, ctx := newPair(t), t.Context()
	for range 4 {
		c := p.next(sdk)
		file, err := c.Files.New(ctx, openai.FileNewParams{Purpose: openai.FilePurposeBatch, File: openai.File(strings.NewReader(""), "in.jsonl", "application/jsonl")})
		if err != nil {
			t.Fatal(err)
		}
		c = p.next(sdk)
		if _, err := c.Batches.New(ctx, openai.BatchNewParams{InputFileID: file.ID, Endpoint: openai.BatchNewParamsEndpointV1Embeddings,
			CompletionWindow: openai.BatchNewParamsCompletionWindow24h}); err != nil {
			t.Fatal(err)
		}
	}
	c := p.next(sdk)
	results, err := listed(c.Batches.ListAutoPaging(ctx, openai.BatchListParams{Limit: few}), func(b openai.Batch) string { return b.OutputFileID })
	if err != nil || len(results) != 4 {
		t.Fatalf("%v, %v", results, err)
	}
	p.restart(t)
	p.holders(t, "/v1/files", results)
	for _, id := range results {
		c := p.next(sdk)
		content, err := c.Files.Content(ctx, id)
		reads(t, "a result", content, err, `{"content_of":"`+id+`"}`)
		p.unseen(t, "reads a result", id, func(c openai.Client, id string) error { return second(c.Files.Content(ctx, id)) })
	}
	p.stayed(t)
}

// Files are deleted while their list is gone through, by which each page goes on behind one that is no more.
func TestDeletingWhatIsListed(t *testing.T) {
	p, ctx := newPair(t), t.Context()
	var mine, theirs []string
	for range 7 {
		mine, theirs = append(mine, p.file(t, sdk, "mine")), append(theirs, p.file(t, other, "theirs"))
	}
	p.holders(t, "/v1/files", mine)
	c := p.next(sdk)
	gone, err := listed(c.Files.ListAutoPaging(ctx, openai.FileListParams{Limit: few}), func(f openai.FileObject) string {
		c := p.next(sdk)
		if deleted, err := c.Files.Delete(ctx, f.ID); err != nil || !deleted.Deleted {
			t.Errorf("%+v, %v", deleted, err)
		}
		return f.ID
	})
	same(t, "deleted", gone, mine, err)
	p.files(t, sdk, nil)
	p.files(t, other, theirs)
	p.stayed(t)
}

// files checks what files a client has, page by page.
func (p *pair) files(t *testing.T, of string, want []string) {
	t.Helper()
	c := p.next(of)
	got, err := listed(c.Files.ListAutoPaging(t.Context(), openai.FileListParams{Limit: few}), func(f openai.FileObject) string { return f.ID })
	same(t, "the files of "+of, got, want, err)
}

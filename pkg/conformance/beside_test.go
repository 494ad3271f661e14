package conformance

import (
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// A file for a vector store that is there already is uploaded beside it: the SDK sends the header, and the store can take it.
func TestBeside(t *testing.T) {
	p, ctx := newPair(t), t.Context()
	var stores []string
	p.rounds(t, func() {
		c := p.next(sdk)
		store, err := c.VectorStores.New(ctx, openai.VectorStoreNewParams{})
		if err != nil {
			t.Fatal(err)
		}
		stores = append(stores, store.ID)
	})
	upload := func(c openai.Client, beside string) (*openai.FileObject, error) {
		return c.Files.New(ctx, openai.FileNewParams{Purpose: openai.FilePurposeAssistants,
			File: openai.File(strings.NewReader("The quick brown fox"), "fox.txt", "text/plain")}, option.WithHeader("X-Proxy-Beside", beside))
	}
	for _, store := range stores {
		for range 2 {
			file, err := upload(p.next(sdk), store)
			if err != nil {
				t.Fatal(err)
			}
			c := p.next(sdk)
			if _, err := c.VectorStores.Files.New(ctx, store, openai.VectorStoreFileNewParams{FileID: file.ID}); err != nil {
				t.Error(err)
			}
		}
		p.unseen(t, "uploads beside a store", store, func(c openai.Client, id string) error { return second(upload(c, id)) })
	}
	p.holders(t, "/v1/vector_stores", stores)
	p.stayed(t)
}

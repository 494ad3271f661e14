package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/shared"
)

// beside has something made where an object lies, at which it cannot point.
func beside(id string) option.RequestOption { return option.WithHeader("X-Proxy-Beside", id) }

// fileIn uploads files until one lies in the account: of one that is to lie beside nothing nobody can say where.
func (p *pair) fileIn(t *testing.T, account, content string) (id string) {
	t.Helper()
	for range 30 {
		id = p.file(t, sdk, content)
		if p.get(t, id); p.holder(t, "/v1/files/"+id) == account {
			return id
		}
	}
	t.Fatalf("none of 30 files lies in account %s", account)
	return ""
}

// get asks for a file, so that each has a follow-up that can be looked at.
func (p *pair) get(t *testing.T, file string) {
	t.Helper()
	c := p.next(sdk)
	if f, err := c.Files.Get(t.Context(), file); err != nil || f.ID != file {
		t.Errorf("%+v, %v", f, err)
	}
}

// What lies in a vector store is put in, shown, changed, read, searched and taken out in the account of the store, through two
// replicas of which one is killed in the middle; the other client can do none of it.
func TestVectorStores(t *testing.T) {
	p := newPair(t)
	var stores []string
	for i, account := range []string{"a", "b", "c"} {
		first := p.fileIn(t, account, "The quick brown fox")
		store := p.store(t, first)
		stores = append(stores, store)
		if in := p.holder(t, "/v1/vector_stores/"+store); in != account {
			t.Errorf("a store in %s with a file in %s", in, account)
		}
		dog := p.file(t, sdk, "A lazy dog sleeps", beside(store))
		p.filesOfStore(t, store, first, dog)
		if i == 1 {
			p.restart(t)
		}
		p.search(t, store, dog)
		p.batches(t, store, first, p.file(t, sdk, "one", beside(store)), p.file(t, sdk, "two", beside(store)), p.file(t, sdk, "three", beside(store)))
		p.takenOut(t, store, dog)
		p.polled(t, store)
		p.mixed(t, store, account)
		p.foreignStore(t, store, first)
	}
	p.holders(t, "/v1/vector_stores", stores)
	p.stayed(t)
}

func (p *pair) store(t *testing.T, file string) (id string) {
	t.Helper()
	c := p.next(sdk)
	store, err := c.VectorStores.New(t.Context(), openai.VectorStoreNewParams{Name: param.NewOpt("shelf"), FileIDs: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	whole(t, store)
	c = p.next(sdk)
	if store, err = c.VectorStores.Get(t.Context(), store.ID); err != nil || store.FileCounts.Completed != 1 || store.Name != "shelf" {
		t.Errorf("%+v, %v", store, err)
	}
	c = p.next(sdk)
	if store, err = c.VectorStores.Update(t.Context(), store.ID, openai.VectorStoreUpdateParams{Name: param.NewOpt("rack")}); err != nil || store.Name != "rack" {
		t.Errorf("%+v, %v", store, err)
	}
	return store.ID
}

// filesOfStore puts a second file into a store, and looks at both in every way.
func (p *pair) filesOfStore(t *testing.T, store, first, dog string) {
	t.Helper()
	ctx, c := t.Context(), p.next(sdk)
	file, err := c.VectorStores.Files.New(ctx, store, openai.VectorStoreFileNewParams{FileID: dog,
		Attributes: map[string]openai.VectorStoreFileNewParamsAttributeUnion{"lang": {OfString: param.NewOpt("de")}, "page": {OfFloat: param.NewOpt(7.)}}})
	if err != nil {
		t.Fatal(err)
	}
	whole(t, file)
	c = p.next(sdk)
	if file, err = c.VectorStores.Files.PollStatus(ctx, store, dog, 10); err != nil || file.Status != openai.VectorStoreFileStatusCompleted ||
		file.Attributes["lang"].AsString() != "de" || file.Attributes["page"].AsFloat() != 7 {
		t.Errorf("%+v, %v", file, err)
	}
	c = p.next(sdk)
	file, err = c.VectorStores.Files.Update(ctx, store, dog, openai.VectorStoreFileUpdateParams{
		Attributes: map[string]openai.VectorStoreFileUpdateParamsAttributeUnion{"lang": {OfString: param.NewOpt("en")}}})
	if err != nil || file.Attributes["lang"].AsString() != "en" {
		t.Errorf("%+v, %v", file, err)
	}
	p.inStore(t, store, []string{dog, first})
	c = p.next(sdk)
	pages := c.VectorStores.Files.ContentAutoPaging(ctx, store, dog)
	if !pages.Next() || pages.Current().Text != "A lazy dog sleeps" || pages.Next() || pages.Err() != nil {
		t.Errorf("the content: %+v, %v", pages.Current(), pages.Err())
	}
}

// inStore checks the files of a store, the latest first, page by page of one.
func (p *pair) inStore(t *testing.T, store string, want []string) {
	t.Helper()
	c := p.next(sdk)
	got, err := listed(c.VectorStores.Files.ListAutoPaging(t.Context(), store, openai.VectorStoreFileListParams{Limit: param.NewOpt[int64](1)}),
		func(f openai.VectorStoreFile) string { return f.ID })
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("in the store: %v, want %v (%v)", got, want, err)
	}
}

func (p *pair) search(t *testing.T, store, dog string) {
	t.Helper()
	for what, filter := range map[string]openai.VectorStoreSearchParamsFiltersUnion{"by words": {},
		"by an attribute": {OfComparisonFilter: &shared.ComparisonFilterParam{Key: "lang", Type: "eq",
			Value: shared.ComparisonFilterValueUnionParam{OfString: param.NewOpt("en")}}}} {
		c := p.next(sdk)
		page, err := c.VectorStores.Search(t.Context(), store, openai.VectorStoreSearchParams{MaxNumResults: param.NewOpt[int64](1), Filters: filter,
			Query: openai.VectorStoreSearchParamsQueryUnion{OfString: param.NewOpt("lazy dog")}})
		if err != nil || len(page.Data) != 1 || page.Data[0].FileID != dog || page.Data[0].Content[0].Text != "A lazy dog sleeps" {
			t.Errorf("%s: %+v, %v", what, page, err)
			continue
		}
		whole(t, &page.Data[0])
	}
}

// batches puts files into a store two at a time, and cancels another one.
func (p *pair) batches(t *testing.T, store, there, one, two, three string) {
	t.Helper()
	ctx, c := t.Context(), p.next(sdk)
	batch, err := c.VectorStores.FileBatches.New(ctx, store, openai.VectorStoreFileBatchNewParams{FileIDs: []string{one, two}})
	if err != nil {
		t.Fatal(err)
	}
	whole(t, batch)
	c = p.next(sdk)
	if batch, err = c.VectorStores.FileBatches.PollStatus(ctx, store, batch.ID, 10); err != nil || batch.Status != "completed" || batch.FileCounts.Completed != 2 {
		t.Errorf("%+v, %v", batch, err)
	}
	c = p.next(sdk)
	got, err := listed(c.VectorStores.FileBatches.ListFilesAutoPaging(ctx, store, batch.ID, openai.VectorStoreFileBatchListFilesParams{Limit: param.NewOpt[int64](1)}),
		func(f openai.VectorStoreFile) string { return f.ID })
	same(t, "the files of a batch", got, []string{one, two}, err)
	c = p.next(sdk)
	late, err := c.VectorStores.FileBatches.New(ctx, store, openai.VectorStoreFileBatchNewParams{Files: []openai.VectorStoreFileBatchNewParamsFile{{FileID: three}}})
	if err != nil {
		t.Fatal(err)
	}
	c = p.next(sdk)
	if late, err = c.VectorStores.FileBatches.Cancel(ctx, store, late.ID); err != nil || late.Status != "cancelled" || late.FileCounts.Cancelled != 1 {
		t.Errorf("%+v, %v", late, err)
	}
	p.unseen(t, "makes a batch", store, func(c openai.Client, store string) error {
		return second(c.VectorStores.FileBatches.New(ctx, store, openai.VectorStoreFileBatchNewParams{FileIDs: []string{there}}))
	})
	p.unseen(t, "gets a batch", store, func(c openai.Client, store string) error {
		return second(c.VectorStores.FileBatches.Get(ctx, store, batch.ID))
	})
	p.unseen(t, "cancels a batch", store, func(c openai.Client, store string) error {
		return second(c.VectorStores.FileBatches.Cancel(ctx, store, batch.ID))
	})
	p.unseen(t, "lists a batch", store, func(c openai.Client, store string) error {
		return second(c.VectorStores.FileBatches.ListFiles(ctx, store, batch.ID, openai.VectorStoreFileBatchListFilesParams{}))
	})
}

// takenOut takes a file out of a store: the file itself stays.
func (p *pair) takenOut(t *testing.T, store, dog string) {
	t.Helper()
	c := p.next(sdk)
	if gone, err := c.VectorStores.Files.Delete(t.Context(), store, dog); err != nil || !gone.Deleted || gone.ID != dog {
		t.Errorf("%+v, %v", gone, err)
	}
	c = p.next(sdk)
	_, err := c.VectorStores.Files.Get(t.Context(), store, dog)
	answers(t, "a file that was taken out", err, http.StatusNotFound)
	c = p.next(sdk)
	content, err := c.Files.Content(t.Context(), dog)
	reads(t, "the file that was taken out", content, err, "A lazy dog sleeps")
	c = p.next(sdk)
	if s, err := c.VectorStores.Get(t.Context(), store); err != nil || fmt.Sprint(s.FileCounts.Completed, s.FileCounts.Cancelled, s.FileCounts.Total) != "3 1 4" {
		t.Errorf("%+v, %v", s, err)
	}
}

// polled uploads files and puts them into a store in one go, alone and as a batch, and waits until that is done.
func (p *pair) polled(t *testing.T, store string) {
	t.Helper()
	c := p.next(sdk)
	file, err := c.VectorStores.Files.UploadAndPoll(t.Context(), store, text("x"), 10, beside(store))
	if err != nil || file.Status != openai.VectorStoreFileStatusCompleted {
		t.Errorf("%+v, %v", file, err)
	}
	c = p.next(sdk)
	batch, err := c.VectorStores.FileBatches.UploadAndPoll(t.Context(), store, []openai.FileNewParams{text("y"), text("z"), text("!")}, nil, 10, beside(store))
	if err != nil || batch.Status != openai.VectorStoreFileBatchStatusCompleted || batch.FileCounts.Completed != 3 {
		t.Errorf("%+v, %v", batch, err)
	}
	p.unseen(t, "uploads beside a store", store, func(c openai.Client, store string) error {
		return second(c.Files.New(t.Context(), text("x"), beside(store)))
	})
}

// mixed tries to put a file of another account into a store: it is told so, and no key is asked.
func (p *pair) mixed(t *testing.T, store, account string) {
	t.Helper()
	file := p.file(t, sdk, "elsewhere")
	for p.holder(t, "/v1/files/"+file) == account {
		p.get(t, file)
		file = p.file(t, sdk, "elsewhere")
	}
	p.get(t, file)
	before := total(p.requests(t))
	c := p.next(sdk)
	_, err := c.VectorStores.Files.New(t.Context(), store, openai.VectorStoreFileNewParams{FileID: file})
	answers(t, "a file of another account", err, http.StatusBadRequest)
	if n := total(p.requests(t)) - before; n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
}

func (p *pair) foreignStore(t *testing.T, store, file string) {
	t.Helper()
	ctx, theirs := t.Context(), p.file(t, other, "theirs")
	for what, reach := range map[string]func(openai.Client, string) error{
		"changes a store": func(c openai.Client, store string) error {
			return second(c.VectorStores.Update(ctx, store, openai.VectorStoreUpdateParams{Name: param.NewOpt("x")}))
		},
		"searches a store": func(c openai.Client, store string) error {
			return second(c.VectorStores.Search(ctx, store, openai.VectorStoreSearchParams{Query: openai.VectorStoreSearchParamsQueryUnion{OfString: param.NewOpt("fox")}}))
		},
		"lists the files": func(c openai.Client, store string) error {
			return second(c.VectorStores.Files.List(ctx, store, openai.VectorStoreFileListParams{}))
		},
		"puts a file into it": func(c openai.Client, store string) error {
			return second(c.VectorStores.Files.New(ctx, store, openai.VectorStoreFileNewParams{FileID: theirs}))
		},
		"gets a file": func(c openai.Client, store string) error { return second(c.VectorStores.Files.Get(ctx, store, file)) },
		"reads a file": func(c openai.Client, store string) error {
			return second(c.VectorStores.Files.Content(ctx, store, file))
		},
		"takes one out": func(c openai.Client, store string) error {
			return second(c.VectorStores.Files.Delete(ctx, store, file))
		},
	} {
		p.unseen(t, what, store, reach)
	}
	p.unseen(t, "makes a store of a file", file, func(c openai.Client, file string) error {
		return second(c.VectorStores.New(ctx, openai.VectorStoreNewParams{FileIDs: []string{file}}))
	})
}

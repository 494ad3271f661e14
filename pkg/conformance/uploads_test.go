package conformance

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// file uploads a file through the next replica.
func (p *pair) file(t *testing.T, of, content string, opts ...option.RequestOption) (id string) {
	t.Helper()
	c := p.next(of)
	f, err := c.Files.New(t.Context(), text(content), opts...)
	if err != nil {
		t.Fatal(err)
	}
	whole(t, f)
	return f.ID
}

func text(content string) openai.FileNewParams {
	return openai.FileNewParams{Purpose: openai.FilePurposeAssistants, File: openai.File(strings.NewReader(content), "in.txt", "text/plain")}
}

// reads checks what is read where a file can be downloaded.
func reads(t *testing.T, what string, answer *http.Response, err error, want string) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	defer answer.Body.Close()
	if got, err := io.ReadAll(answer.Body); err != nil || string(got) != want {
		t.Errorf("%s: %q, %v, want %q", what, clip(string(got)), err, clip(want))
	}
}

func clip(s string) string { return s[:min(len(s), 80)] }

// An upload is made, filled and completed through two replicas, of which one is killed in between; the file that it becomes
// lies in its account, and holds the parts in the order that was said.
func TestUploads(t *testing.T) {
	p, ctx := newPair(t), t.Context()
	var uploads, files []string
	for i := range 6 {
		parts := []string{strings.Repeat("first ", 5000), "second ", "third"}
		upload := p.upload(t, parts)
		uploads = append(uploads, upload)
		ids := make([]string, len(parts))
		for j, part := range parts {
			ids[j] = p.part(t, upload, part)
			if i == 2 && j == 1 {
				p.restart(t)
			}
		}
		p.unseen(t, "completes an upload", upload, func(c openai.Client, upload string) error {
			return second(c.Uploads.Complete(ctx, upload, openai.UploadCompleteParams{PartIDs: ids}))
		})
		p.unseen(t, "cancels an upload", upload, func(c openai.Client, upload string) error { return second(c.Uploads.Cancel(ctx, upload)) })
		p.unseen(t, "adds to an upload", upload, func(c openai.Client, upload string) error {
			return second(c.Uploads.Parts.New(ctx, upload, openai.UploadPartNewParams{Data: strings.NewReader("x")}))
		})
		c := p.next(sdk)
		done, err := c.Uploads.Complete(ctx, upload, openai.UploadCompleteParams{PartIDs: []string{ids[2], ids[0], ids[1]}})
		if err != nil || done.Status != openai.UploadStatusCompleted {
			t.Fatalf("%+v, %v", done, err)
		}
		whole(t, done)
		files = append(files, done.File.ID)
		c = p.next(sdk)
		content, err := c.Files.Content(ctx, done.File.ID)
		reads(t, "the file of an upload", content, err, parts[2]+parts[0]+parts[1])
	}
	p.holders(t, "/v1/uploads", uploads)
	for i, upload := range uploads {
		if of, in := p.holder(t, "/v1/uploads/"+upload), p.holder(t, "/v1/files/"+files[i]); of != in {
			t.Errorf("an upload of %s became a file of %s", of, in)
		}
		p.use(t, files[i])
		p.unseen(t, "reads the file", files[i], func(c openai.Client, id string) error { return second(c.Files.Content(ctx, id)) })
	}
	p.files(t, sdk, files)
	p.files(t, other, nil)
	p.cancelled(t)
	p.stayed(t)
}

// upload begins an upload.
func (p *pair) upload(t *testing.T, parts []string) (id string) {
	t.Helper()
	c := p.next(sdk)
	u, err := c.Uploads.New(t.Context(), openai.UploadNewParams{Bytes: int64(len(strings.Join(parts, ""))), Filename: "in.txt",
		MimeType: "text/plain", Purpose: openai.FilePurposeAssistants})
	if err != nil || u.Status != openai.UploadStatusPending {
		t.Fatalf("%+v, %v", u, err)
	}
	whole(t, u)
	return u.ID
}

// part adds a part to an upload.
func (p *pair) part(t *testing.T, upload, content string) (id string) {
	t.Helper()
	c := p.next(sdk)
	part, err := c.Uploads.Parts.New(t.Context(), upload, openai.UploadPartNewParams{Data: strings.NewReader(content)})
	if err != nil || part.UploadID != upload {
		t.Fatalf("%+v, %v", part, err)
	}
	whole(t, part)
	return part.ID
}

// use puts a file into a vector store, which goes where the file lies.
func (p *pair) use(t *testing.T, file string) {
	t.Helper()
	c := p.next(sdk)
	store, err := c.VectorStores.New(t.Context(), openai.VectorStoreNewParams{FileIDs: []string{file}})
	if err != nil {
		t.Errorf("a vector store with the file of an upload: %v", err)
		return
	}
	c = p.next(sdk)
	if got, err := c.VectorStores.Files.Get(t.Context(), store.ID, file); err != nil || got.ID != file {
		t.Errorf("the file in a vector store: %+v, %v", got, err)
	}
}

// cancelled begins uploads and cancels them: no more can be done with them, in their account too.
func (p *pair) cancelled(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	for range 3 {
		upload := p.upload(t, []string{"x"})
		p.holder(t, "/v1/uploads/"+upload)
		c := p.next(sdk)
		if u, err := c.Uploads.Cancel(ctx, upload); err != nil || u.Status != openai.UploadStatusCancelled {
			t.Errorf("%+v, %v", u, err)
		}
		c = p.next(sdk)
		_, err := c.Uploads.Parts.New(ctx, upload, openai.UploadPartNewParams{Data: strings.NewReader("x")})
		answers(t, "a part of an upload that was cancelled", err, http.StatusBadRequest)
	}
}

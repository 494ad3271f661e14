package conformance

import (
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
)

// Containers and what lies in them: uploaded, and copied from files of their account.
func TestContainerFiles(t *testing.T) {
	p, ctx := newPair(t), t.Context()
	var boxes []string
	for i, account := range []string{"a", "b", "c"} {
		file := p.fileIn(t, account, "1,2,3")
		c := p.next(sdk)
		box, err := c.Containers.New(ctx, openai.ContainerNewParams{Name: "box", FileIDs: []string{file}})
		if err != nil {
			t.Fatal(err)
		}
		whole(t, box)
		boxes = append(boxes, box.ID)
		if in := p.holder(t, "/v1/containers/"+box.ID); in != account {
			t.Errorf("a container in %s with a file in %s", in, account)
		}
		uploaded := p.putIn(t, box.ID, openai.ContainerFileNewParams{File: openai.File(strings.NewReader("4,5"), "up.csv", "text/csv")})
		if i == 1 {
			p.restart(t)
		}
		copied := p.putIn(t, box.ID, openai.ContainerFileNewParams{FileID: param.NewOpt(p.file(t, sdk, "6", beside(box.ID)))})
		p.readIn(t, box.ID, uploaded, "4,5")
		p.readIn(t, box.ID, copied, "6")
		given := p.inContainer(t, box.ID, 3)
		p.readIn(t, box.ID, given[2], "1,2,3")
		p.foreignContainer(t, box.ID, copied)
		p.throwOut(t, box.ID, copied)
		p.inContainer(t, box.ID, 2)
	}
	large := strings.Repeat("1,2,3\n", 3<<20) // more than the proxy holds
	p.putIn(t, boxes[0], openai.ContainerFileNewParams{File: openai.File(strings.NewReader(large), "large.csv", "text/csv")})
	p.holders(t, "/v1/containers", boxes)
	p.stayed(t)
}

// putIn puts a file into a container.
func (p *pair) putIn(t *testing.T, box string, what openai.ContainerFileNewParams) (id string) {
	t.Helper()
	c := p.next(sdk)
	f, err := c.Containers.Files.New(t.Context(), box, what)
	if err != nil || f.ContainerID != box {
		t.Fatalf("%+v, %v", f, err)
	}
	whole(t, f)
	return f.ID
}

// readIn looks at a file in a container.
func (p *pair) readIn(t *testing.T, box, file, want string) {
	t.Helper()
	c := p.next(sdk)
	f, err := c.Containers.Files.Get(t.Context(), box, file)
	if err != nil || f.Bytes != int64(len(want)) || f.ContainerID != box {
		t.Errorf("%+v, %v", f, err)
		return
	}
	whole(t, f)
	c = p.next(sdk)
	content, err := c.Containers.Files.Content.Get(t.Context(), box, file)
	reads(t, "a file in a container", content, err, want)
}

// inContainer are the files of a container, page by page of two.
func (p *pair) inContainer(t *testing.T, box string, want int) []string {
	t.Helper()
	c := p.next(sdk)
	ids, err := listed(c.Containers.Files.ListAutoPaging(t.Context(), box, openai.ContainerFileListParams{Limit: few}),
		func(f openai.ContainerFileListResponse) string { return f.ID })
	if err != nil || len(ids) != want {
		t.Fatalf("%v, %v, want %d", ids, err, want)
	}
	return ids
}

// throwOut deletes a file of a container.
func (p *pair) throwOut(t *testing.T, box, file string) {
	t.Helper()
	c := p.next(sdk)
	if err := c.Containers.Files.Delete(t.Context(), box, file); err != nil {
		t.Error(err)
	}
	c = p.next(sdk)
	_, err := c.Containers.Files.Get(t.Context(), box, file)
	answers(t, "a file that was deleted", err, http.StatusNotFound)
}

func (p *pair) foreignContainer(t *testing.T, box, file string) {
	t.Helper()
	ctx := t.Context()
	for what, reach := range map[string]func(openai.Client, string) error{
		"puts a file into a container": func(c openai.Client, box string) error {
			return second(c.Containers.Files.New(ctx, box, openai.ContainerFileNewParams{File: strings.NewReader("x")}))
		},
		"lists the files": func(c openai.Client, box string) error {
			return second(c.Containers.Files.List(ctx, box, openai.ContainerFileListParams{}))
		},
		"gets a file":    func(c openai.Client, box string) error { return second(c.Containers.Files.Get(ctx, box, file)) },
		"reads a file":   func(c openai.Client, box string) error { return second(c.Containers.Files.Content.Get(ctx, box, file)) },
		"deletes a file": func(c openai.Client, box string) error { return c.Containers.Files.Delete(ctx, box, file) },
	} {
		p.unseen(t, what, box, reach)
	}
}

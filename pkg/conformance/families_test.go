package conformance

import (
	"context"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
)

// family is a kind of objects as the SDK makes them, asks for one again, ends it, and lists them.
type family struct {
	name string
	path string // of its collection
	make func(context.Context, *openai.Client) (id string, err error)
	get  func(ctx context.Context, c *openai.Client, id string) error
	end  func(ctx context.Context, c *openai.Client, id string) error
	list func(context.Context, *openai.Client) (ids []string, err error) // page by page; nil: there is no list
	stay bool                                                            // what has ended is there all the same
}

// few is a page that holds less than the tests make.
var few = param.NewOpt[int64](2)

var families = []family{
	{"container", "/v1/containers", func(ctx context.Context, c *openai.Client) (string, error) {
		o, err := c.Containers.New(ctx, openai.ContainerNewParams{Name: "box"})
		return idOf(err, func() string { return o.ID })
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.Containers.Get(ctx, id))
	}, func(ctx context.Context, c *openai.Client, id string) error { return c.Containers.Delete(ctx, id) }, func(ctx context.Context, c *openai.Client) ([]string, error) {
		return listed(c.Containers.ListAutoPaging(ctx, openai.ContainerListParams{Limit: few}), func(o openai.ContainerListResponse) string { return o.ID })
	}, false},

	{"stored completion", "/v1/chat/completions", func(ctx context.Context, c *openai.Client) (string, error) {
		o, err := c.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{Model: "gpt-4o-mini", Store: param.NewOpt(true),
			Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hello")}})
		return idOf(err, func() string { return o.ID })
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.Chat.Completions.Get(ctx, id))
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.Chat.Completions.Delete(ctx, id))
	}, func(ctx context.Context, c *openai.Client) ([]string, error) {
		return listed(c.Chat.Completions.ListAutoPaging(ctx, openai.ChatCompletionListParams{Limit: few}), func(o openai.ChatCompletion) string { return o.ID })
	}, false},

	{"fine-tuning job", "/v1/fine_tuning/jobs", func(ctx context.Context, c *openai.Client) (string, error) {
		file, err := c.Files.New(ctx, openai.FileNewParams{Purpose: openai.FilePurposeFineTune,
			File: openai.File(strings.NewReader(`{"messages":[]}`), "train.jsonl", "application/jsonl")})
		if err != nil {
			return "", err
		}
		o, err := c.FineTuning.Jobs.New(ctx, openai.FineTuningJobNewParams{Model: "gpt-4o-mini", TrainingFile: file.ID})
		return idOf(err, func() string { return o.ID })
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.FineTuning.Jobs.Get(ctx, id))
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.FineTuning.Jobs.Cancel(ctx, id))
	}, func(ctx context.Context, c *openai.Client) ([]string, error) {
		return listed(c.FineTuning.Jobs.ListAutoPaging(ctx, openai.FineTuningJobListParams{Limit: few}), func(o openai.FineTuningJob) string { return o.ID })
	}, true},

	// A thread is made beside the newest assistant, so threads come first.
	{"thread", "/v1/threads", func(ctx context.Context, c *openai.Client) (string, error) {
		o, err := c.Beta.Threads.New(ctx, openai.BetaThreadNewParams{})
		return idOf(err, func() string { return o.ID })
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.Beta.Threads.Get(ctx, id))
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.Beta.Threads.Delete(ctx, id))
	}, nil, false},

	{"assistant", "/v1/assistants", func(ctx context.Context, c *openai.Client) (string, error) {
		o, err := c.Beta.Assistants.New(ctx, openai.BetaAssistantNewParams{Model: "gpt-4o-mini"})
		return idOf(err, func() string { return o.ID })
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.Beta.Assistants.Get(ctx, id))
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.Beta.Assistants.Delete(ctx, id))
	}, func(ctx context.Context, c *openai.Client) ([]string, error) {
		return listed(c.Beta.Assistants.ListAutoPaging(ctx, openai.BetaAssistantListParams{Limit: few}), func(o openai.Assistant) string { return o.ID })
	}, false},

	{"video", "/v1/videos", func(ctx context.Context, c *openai.Client) (string, error) {
		o, err := c.Videos.New(ctx, openai.VideoNewParams{Prompt: "a box", Model: "sora-2"})
		return idOf(err, func() string { return o.ID })
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.Videos.Get(ctx, id))
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.Videos.Delete(ctx, id))
	}, func(ctx context.Context, c *openai.Client) ([]string, error) {
		return listed(c.Videos.ListAutoPaging(ctx, openai.VideoListParams{Limit: few}), func(o openai.Video) string { return o.ID })
	}, false},

	{"vector store", "/v1/vector_stores", func(ctx context.Context, c *openai.Client) (string, error) {
		o, err := c.VectorStores.New(ctx, openai.VectorStoreNewParams{Name: param.NewOpt("shelf")})
		return idOf(err, func() string { return o.ID })
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.VectorStores.Get(ctx, id))
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.VectorStores.Delete(ctx, id))
	}, func(ctx context.Context, c *openai.Client) ([]string, error) {
		return listed(c.VectorStores.ListAutoPaging(ctx, openai.VectorStoreListParams{Limit: few}), func(o openai.VectorStore) string { return o.ID })
	}, false},
}

func idOf(err error, id func() string) (string, error) {
	if err != nil {
		return "", err
	}
	return id(), nil
}

func second(_ any, err error) error { return err }

// What one replica makes is shown by the other, to its owner alone, from the account in which it was made, also when either
// was killed and started again in the middle. Each list has what is the client's in all accounts, and nothing else.
func TestFamilies(t *testing.T) {
	p := newPair(t)
	mine, others := map[string][]string{}, map[string][]string{}
	p.makeSome(t, sdk, mine)
	p.makeSome(t, other, others)
	p.restart(t)
	p.makeSome(t, sdk, mine)
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			p.holders(t, f.path, mine[f.name])
			p.lists(t, f, sdk, mine[f.name])
			p.lists(t, f, other, others[f.name])
		})
	}
	p.restart(t)
	for _, f := range families {
		t.Run("the end of a "+f.name, func(t *testing.T) {
			p.endAll(t, f, mine[f.name])
			if !f.stay {
				p.lists(t, f, sdk, nil)
			}
			p.lists(t, f, other, others[f.name])
		})
	}
	p.stayed(t)
}

// makeSome makes some of each family, one after the other so that they come to lie in several accounts, and gets each.
func (p *pair) makeSome(t *testing.T, of string, made map[string][]string) {
	t.Helper()
	for _, f := range families {
		var ids []string
		for range 3 {
			c := p.next(of)
			id, err := f.make(t.Context(), &c)
			if err != nil {
				t.Fatalf("%s: %v", f.name, err)
			}
			ids = append(ids, id)
		}
		for _, id := range ids {
			c := p.next(of)
			if err := f.get(t.Context(), &c, id); err != nil {
				t.Errorf("%s: %v", f.name, err)
			}
		}
		made[f.name] = append(made[f.name], ids...)
	}
}

func (p *pair) lists(t *testing.T, f family, of string, want []string) {
	t.Helper()
	if f.list == nil {
		return
	}
	c := p.next(of)
	got, err := f.list(t.Context(), &c)
	same(t, "the list for "+of, got, want, err)
}

// endAll gets and ends objects, which the other client cannot.
func (p *pair) endAll(t *testing.T, f family, ids []string) {
	t.Helper()
	ctx := t.Context()
	for _, id := range ids {
		p.unseen(t, "gets a "+f.name, id, func(c openai.Client, id string) error { return f.get(ctx, &c, id) })
		p.unseen(t, "ends a "+f.name, id, func(c openai.Client, id string) error { return f.end(ctx, &c, id) })
		c := p.next(sdk)
		if err := f.get(ctx, &c, id); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
		c = p.next(sdk)
		if err := f.end(ctx, &c, id); err != nil {
			t.Errorf("ending a %s: %v", f.name, err)
		}
		c = p.next(sdk)
		if err := f.get(ctx, &c, id); (err == nil) != f.stay {
			t.Errorf("a %s that has ended: %v", f.name, err)
		}
	}
}

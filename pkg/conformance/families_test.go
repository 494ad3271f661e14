package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"

	"openai-api-proxy/pkg/redistest"
)

// family is a kind of objects as the SDK makes them, asks for one again, and ends it.
type family struct {
	name string
	make func(context.Context, *openai.Client) (id string, err error)
	get  func(ctx context.Context, c *openai.Client, id string) error
	end  func(ctx context.Context, c *openai.Client, id string) error
}

var families = []family{
	{"container", func(ctx context.Context, c *openai.Client) (string, error) {
		o, err := c.Containers.New(ctx, openai.ContainerNewParams{Name: "box"})
		return idOf(err, func() string { return o.ID })
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.Containers.Get(ctx, id))
	}, func(ctx context.Context, c *openai.Client, id string) error { return c.Containers.Delete(ctx, id) }},

	{"stored completion", func(ctx context.Context, c *openai.Client) (string, error) {
		o, err := c.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{Model: "gpt-4o-mini", Store: param.NewOpt(true),
			Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hello")}})
		return idOf(err, func() string { return o.ID })
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.Chat.Completions.Get(ctx, id))
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.Chat.Completions.Delete(ctx, id))
	}},

	{"fine-tuning job", func(ctx context.Context, c *openai.Client) (string, error) {
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
	}},

	{"assistant", func(ctx context.Context, c *openai.Client) (string, error) {
		o, err := c.Beta.Assistants.New(ctx, openai.BetaAssistantNewParams{Model: "gpt-4o-mini"})
		return idOf(err, func() string { return o.ID })
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.Beta.Assistants.Get(ctx, id))
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.Beta.Assistants.Delete(ctx, id))
	}},

	{"thread", func(ctx context.Context, c *openai.Client) (string, error) {
		o, err := c.Beta.Threads.New(ctx, openai.BetaThreadNewParams{})
		return idOf(err, func() string { return o.ID })
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.Beta.Threads.Get(ctx, id))
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.Beta.Threads.Delete(ctx, id))
	}},

	{"video", func(ctx context.Context, c *openai.Client) (string, error) {
		o, err := c.Videos.New(ctx, openai.VideoNewParams{Prompt: "a box", Model: "sora-2"})
		return idOf(err, func() string { return o.ID })
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.Videos.Get(ctx, id))
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.Videos.Delete(ctx, id))
	}},

	{"vector store", func(ctx context.Context, c *openai.Client) (string, error) {
		o, err := c.VectorStores.New(ctx, openai.VectorStoreNewParams{Name: param.NewOpt("shelf")})
		return idOf(err, func() string { return o.ID })
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.VectorStores.Get(ctx, id))
	}, func(ctx context.Context, c *openai.Client, id string) error {
		return second(c.VectorStores.Delete(ctx, id))
	}},
}

func idOf(err error, id func() string) (string, error) {
	if err != nil {
		return "", err
	}
	return id(), nil
}

func second(_ any, err error) error { return err }

// What one replica makes is shown by the other, to its owner alone, after the first was killed. There are three
// accounts; which of them holds what is not looked at here.
func TestFamilies(t *testing.T) {
	redis, ctx := redistest.Start(t), t.Context()
	env := []string{"OPENAI_BASE_URL=" + startMock(t), "REDIS_URL=" + redis.URL(), "LOG_LEVEL=warn",
		fmt.Sprintf(`OPENAI_API_KEYS=[{"id":"a","key":%q},{"id":"b","key":%q},{"id":"c","key":%q}]`, keyA, keyB, keyC),
		fmt.Sprintf(`CLIENT_TOKENS=[{"id":"sdk","token":%q},{"id":"other","token":"%s-other"}]`, token, token)}
	a, b := launch(t, env, nil), launch(t, env, nil)
	client := func(r *replica, of string) *openai.Client {
		c := openai.NewClient(option.WithBaseURL(r.url+"/v1"), option.WithAPIKey(of), option.WithMaxRetries(0))
		return &c
	}
	const each = 3
	made := map[string][]string{}
	for range each {
		for _, f := range families {
			id, err := f.make(ctx, client(a, token))
			if err != nil {
				t.Fatalf("%s: %v", f.name, err)
			}
			made[f.name] = append(made[f.name], id)
		}
	}
	a.kill()
	mine, others := client(b, token), client(b, token+"-other")
	for _, f := range families {
		for _, id := range made[f.name] {
			if err := f.get(ctx, mine, id); err != nil {
				t.Errorf("%s: %v", f.name, err)
			}
			for what, reach := range map[string]func(context.Context, *openai.Client, string) error{"gets": f.get, "ends": f.end} {
				var no *openai.Error
				if err := reach(ctx, others, id); !errors.As(err, &no) || no.StatusCode != 404 {
					t.Errorf("another client %s a %s: %v", what, f.name, err)
				}
			}
			if err := f.end(ctx, mine, id); err != nil {
				t.Errorf("ending a %s: %v", f.name, err)
			}
		}
	}
}

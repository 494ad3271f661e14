package conformance

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
)

// Videos and what is made of them lie in one account each, through two replicas of which one is killed in the middle.
func TestVideos(t *testing.T) {
	p := newPair(t)
	var first, all, characters []string
	p.rounds(t, func() {
		c := p.next(sdk)
		v, err := c.Videos.New(t.Context(), openai.VideoNewParams{Prompt: "a box", Model: "sora-2"})
		if err != nil {
			t.Fatal(err)
		}
		whole(t, v)
		first = append(first, v.ID)
		p.shot(t, v.ID)
		all = append(append(all, v.ID), p.remade(t, v.ID)...)
		characters = append(characters, p.character(t))
	})
	for _, id := range first { // those that were made before one replica was killed, too
		p.shot(t, id)
		p.unseenVideo(t, id)
	}
	p.holders(t, "/v1/videos", first)
	p.holders(t, "/v1/videos/characters", characters)
	for _, id := range characters {
		c := p.next(sdk)
		if who, err := c.Videos.GetCharacter(t.Context(), id); err != nil || who.Name != "Ada" {
			t.Errorf("%+v, %v", who, err)
		}
		p.unseen(t, "gets a character", id, func(c openai.Client, id string) error { return second(c.Videos.GetCharacter(t.Context(), id)) })
	}
	c := p.next(sdk)
	got, err := listed(c.Videos.ListAutoPaging(t.Context(), openai.VideoListParams{Limit: param.NewOpt[int64](5)}), func(v openai.Video) string { return v.ID })
	same(t, "videos", got, all, err)
	for _, id := range first {
		c := p.next(sdk)
		if gone, err := c.Videos.Delete(t.Context(), id); err != nil || !gone.Deleted {
			t.Errorf("%+v, %v", gone, err)
		}
		c = p.next(sdk)
		answers(t, "a video that was deleted", second(c.Videos.Get(t.Context(), id)), 404)
	}
	p.stayed(t)
}

// shot waits for a video, and reads it.
func (p *pair) shot(t *testing.T, id string) {
	t.Helper()
	c := p.next(sdk)
	if v, err := c.Videos.Get(t.Context(), id); err != nil || v.Status != openai.VideoStatusCompleted {
		t.Errorf("%+v, %v", v, err)
	}
	for variant, kind := range map[openai.VideoDownloadContentParamsVariant]string{"": "video/mp4", "thumbnail": "image/webp"} {
		c = p.next(sdk)
		a, err := c.Videos.DownloadContent(t.Context(), id, openai.VideoDownloadContentParams{Variant: variant})
		if err != nil {
			t.Error(err)
			continue
		}
		content, _ := io.ReadAll(a.Body)
		a.Body.Close()
		if a.Header.Get("Content-Type") != kind || !strings.HasSuffix(string(content), id) {
			t.Errorf("%s %q", a.Header.Get("Content-Type"), content)
		}
	}
}

// remade makes three videos of one, which lie where that does.
func (p *pair) remade(t *testing.T, id string) (made []string) {
	t.Helper()
	for what, make := range map[string]func(openai.Client) (*openai.Video, error){
		"remix": func(c openai.Client) (*openai.Video, error) {
			return c.Videos.Remix(t.Context(), id, openai.VideoRemixParams{Prompt: "a ball"})
		},
		"edit": func(c openai.Client) (*openai.Video, error) {
			of := openai.VideoEditParamsVideoUnion{OfVideoEditsVideoVideoReferenceInputParam: &openai.VideoEditParamsVideoVideoReferenceInputParam{ID: id}}
			return c.Videos.Edit(t.Context(), openai.VideoEditParams{Prompt: "red", Video: of})
		},
		"extension": func(c openai.Client) (*openai.Video, error) {
			of := openai.VideoExtendParamsVideoUnion{OfVideoExtendsVideoVideoReferenceInputParam: &openai.VideoExtendParamsVideoVideoReferenceInputParam{ID: id}}
			return c.Videos.Extend(t.Context(), openai.VideoExtendParams{Prompt: "on", Seconds: "4", Video: of})
		},
	} {
		v, err := make(p.next(sdk))
		if err != nil || v.RemixedFromVideoID != id {
			t.Fatalf("%s: %+v, %v", what, v, err)
		}
		whole(t, v)
		made = append(made, v.ID)
		p.shot(t, v.ID)
		if mine, its := p.holder(t, "/v1/videos/"+id), p.holder(t, "/v1/videos/"+v.ID); mine != its {
			t.Errorf("a %s in %s of a video in %s", what, its, mine)
		}
	}
	return made
}

func (p *pair) character(t *testing.T) (id string) {
	t.Helper()
	c := p.next(sdk)
	who, err := c.Videos.NewCharacter(t.Context(), openai.VideoNewCharacterParams{Name: "Ada", Video: openai.File(strings.NewReader("moving"), "ada.mp4", "video/mp4")})
	if err != nil {
		t.Fatal(err)
	}
	whole(t, who)
	return who.ID
}

func (p *pair) unseenVideo(t *testing.T, id string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for what, reach := range map[string]func(openai.Client, string) error{
		"gets a video":    func(c openai.Client, id string) error { return second(c.Videos.Get(ctx, id)) },
		"deletes a video": func(c openai.Client, id string) error { return second(c.Videos.Delete(ctx, id)) },
		"remixes a video": func(c openai.Client, id string) error {
			return second(c.Videos.Remix(ctx, id, openai.VideoRemixParams{Prompt: "mine"}))
		},
		"edits a video": func(c openai.Client, id string) error {
			of := openai.VideoEditParamsVideoUnion{OfVideoEditsVideoVideoReferenceInputParam: &openai.VideoEditParamsVideoVideoReferenceInputParam{ID: id}}
			return second(c.Videos.Edit(ctx, openai.VideoEditParams{Prompt: "mine", Video: of}))
		},
		"extends a video": func(c openai.Client, id string) error {
			of := openai.VideoExtendParamsVideoUnion{OfVideoExtendsVideoVideoReferenceInputParam: &openai.VideoExtendParamsVideoVideoReferenceInputParam{ID: id}}
			return second(c.Videos.Extend(ctx, openai.VideoExtendParams{Prompt: "mine", Seconds: "4", Video: of}))
		},
		"reads a video": func(c openai.Client, id string) error {
			a, err := c.Videos.DownloadContent(ctx, id, openai.VideoDownloadContentParams{})
			return closed(a, err)
		},
	} {
		p.unseen(t, what, id, reach)
	}
	c := p.next(other)
	got, err := listed(c.Videos.ListAutoPaging(ctx, openai.VideoListParams{}), func(v openai.Video) string { return v.ID })
	nothing(t, got, err)
}

// closed is the error of an answer that nobody reads.
func closed(a *http.Response, err error) error {
	if err == nil {
		a.Body.Close()
	}
	return err
}

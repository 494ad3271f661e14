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

// Skills and their versions, through two replicas over three accounts, of which one replica is killed in the middle.
func TestSkills(t *testing.T) {
	p := newPair(t)
	var skills []string
	p.rounds(t, func() {
		skills = append(skills, p.skill(t))
	})
	for _, id := range skills { // those that were made before one replica was killed, too
		p.secondVersion(t, id)
		p.unseenSkill(t, id)
	}
	p.holders(t, "/v1/skills", skills)
	c := p.next(sdk)
	got, err := listed(c.Skills.ListAutoPaging(t.Context(), openai.SkillListParams{Limit: param.NewOpt[int64](2)}), func(s openai.Skill) string { return s.ID })
	same(t, "skills", got, skills, err)
	for _, id := range skills {
		c := p.next(sdk)
		if gone, err := c.Skills.Delete(t.Context(), id); err != nil || !gone.Deleted {
			t.Errorf("%+v, %v", gone, err)
		}
		c = p.next(sdk)
		answers(t, "a skill that was deleted", second(c.Skills.Versions.Get(t.Context(), id, "2")), 404)
	}
	p.stayed(t)
}

func (p *pair) skill(t *testing.T) (id string) {
	t.Helper()
	ctx, c := t.Context(), p.next(sdk)
	s, err := c.Skills.New(ctx, openai.SkillNewParams{Files: openai.SkillNewParamsFilesUnion{
		OfFileArray: []io.Reader{openai.File(strings.NewReader("first"), "SKILL.md", "text/markdown")}}})
	if err != nil {
		t.Fatal(err)
	}
	whole(t, s)
	c = p.next(sdk)
	if s, err = c.Skills.Get(ctx, s.ID); err != nil || s.LatestVersion != "1" {
		t.Errorf("%+v, %v", s, err)
	}
	c = p.next(sdk)
	a, err := c.Skills.Content.Get(ctx, s.ID)
	bundled(t, a, err, "first")
	return s.ID
}

// bundled reads the content of a version.
func bundled(t *testing.T, a *http.Response, err error, want string) {
	t.Helper()
	if err != nil {
		t.Error(err)
		return
	}
	defer a.Body.Close()
	if text, _ := io.ReadAll(a.Body); string(text) != want {
		t.Errorf("%q, want %q", text, want)
	}
}

// secondVersion adds a version, makes it the usual one, and deletes the first.
func (p *pair) secondVersion(t *testing.T, id string) {
	t.Helper()
	ctx, c := t.Context(), p.next(sdk)
	v, err := c.Skills.Versions.New(ctx, id, openai.SkillVersionNewParams{Files: openai.SkillVersionNewParamsFilesUnion{
		OfFileArray: []io.Reader{openai.File(strings.NewReader("second"), "SKILL.md", "text/markdown")}}})
	if err != nil || v.Version != "2" {
		t.Fatalf("%+v, %v", v, err)
	}
	whole(t, v)
	c = p.next(sdk)
	if s, err := c.Skills.Update(ctx, id, openai.SkillUpdateParams{DefaultVersion: "2"}); err != nil || s.DefaultVersion != "2" {
		t.Errorf("%+v, %v", s, err)
	}
	c = p.next(sdk)
	a, err := c.Skills.Content.Get(ctx, id)
	bundled(t, a, err, "second")
	c = p.next(sdk)
	a, err = c.Skills.Versions.Content.Get(ctx, id, "1")
	bundled(t, a, err, "first")
	c = p.next(sdk)
	versions, err := listed(c.Skills.Versions.ListAutoPaging(ctx, id, openai.SkillVersionListParams{}), func(v openai.SkillVersion) string { return v.Version })
	same(t, "versions", versions, []string{"1", "2"}, err)
	c = p.next(sdk)
	if gone, err := c.Skills.Versions.Delete(ctx, id, "1"); err != nil || !gone.Deleted {
		t.Errorf("%+v, %v", gone, err)
	}
	c = p.next(sdk)
	answers(t, "a version that was deleted", second(c.Skills.Versions.Get(ctx, id, "1")), 404)
	c = p.next(sdk)
	if v, err = c.Skills.Versions.Get(ctx, id, "2"); err != nil || v.SkillID != id {
		t.Errorf("%+v, %v", v, err)
	}
}

func (p *pair) unseenSkill(t *testing.T, id string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for what, reach := range map[string]func(openai.Client, string) error{
		"gets a skill":    func(c openai.Client, id string) error { return second(c.Skills.Get(ctx, id)) },
		"deletes a skill": func(c openai.Client, id string) error { return second(c.Skills.Delete(ctx, id)) },
		"changes a skill": func(c openai.Client, id string) error {
			return second(c.Skills.Update(ctx, id, openai.SkillUpdateParams{DefaultVersion: "1"}))
		},
		"reads a skill": func(c openai.Client, id string) error {
			a, err := c.Skills.Content.Get(ctx, id)
			return closed(a, err)
		},
		"lists versions": func(c openai.Client, id string) error {
			return second(c.Skills.Versions.List(ctx, id, openai.SkillVersionListParams{}))
		},
		"gets a version":    func(c openai.Client, id string) error { return second(c.Skills.Versions.Get(ctx, id, "2")) },
		"deletes a version": func(c openai.Client, id string) error { return second(c.Skills.Versions.Delete(ctx, id, "2")) },
		"reads a version": func(c openai.Client, id string) error {
			a, err := c.Skills.Versions.Content.Get(ctx, id, "2")
			return closed(a, err)
		},
		"adds a version": func(c openai.Client, id string) error {
			return second(c.Skills.Versions.New(ctx, id, openai.SkillVersionNewParams{Files: openai.SkillVersionNewParamsFilesUnion{
				OfFileArray: []io.Reader{openai.File(strings.NewReader("theirs"), "SKILL.md", "text/markdown")}}}))
		},
	} {
		p.unseen(t, what, id, reach)
	}
	c := p.next(other)
	got, err := listed(c.Skills.ListAutoPaging(ctx, openai.SkillListParams{}), func(s openai.Skill) string { return s.ID })
	nothing(t, got, err)
}

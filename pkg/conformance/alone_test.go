package conformance

import (
	"fmt"
	"testing"
)

// With one account and one client everything passes as it is: nobody asks whose an object is, and an evaluation may choose among
// all that the account stores. The Go SDK has no evals, so they are asked for by their paths.
func TestAlone(t *testing.T) {
	r := start(t, fmt.Sprintf(`OPENAI_API_KEYS=[{"id":"a","key":%q}]`, keyA))
	p := &pair{rig: *r, replicas: []*replica{{url: r.url}, {url: r.url}}, held: map[string]string{}}
	one := p.talk(t)
	p.messages(t, one.thread)
	p.runWithTool(t, one)
	p.cancelledRun(t, one)
	p.endTalk(t, one)
	p.secondVersion(t, p.skill(t))
	p.voice(t, p.consent(t))
	p.character(t)

	ctx, c := t.Context(), p.next(sdk)
	var eval, run struct{ ID, Status string }
	config := map[string]any{"type": "stored_completions"}
	if err := c.Post(ctx, "evals", map[string]any{"data_source_config": config, "testing_criteria": []any{}}, &eval); err != nil {
		t.Fatal(err)
	}
	source := map[string]any{"type": "completions", "source": map[string]any{"type": "stored_completions", "metadata": map[string]any{}}}
	c = p.next(sdk)
	if err := c.Post(ctx, "evals/"+eval.ID+"/runs", map[string]any{"data_source": source}, &run); err != nil || run.Status != "queued" {
		t.Errorf("%+v, %v", run, err)
	}
}

package conformance

import (
	"slices"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/shared"
)

// lines uploads a file of JSON lines.
func (p *pair) lines(t *testing.T, of string, purpose openai.FilePurpose, text string) (id string) {
	t.Helper()
	c := p.next(of)
	f, err := c.Files.New(t.Context(), openai.FileNewParams{Purpose: purpose, File: openai.File(strings.NewReader(text), "in.jsonl", "application/jsonl")})
	if err != nil {
		t.Fatal(err)
	}
	return f.ID
}

// batch makes a batch of a file.
func (p *pair) batch(t *testing.T, of, file string) (id string) {
	t.Helper()
	c := p.next(of)
	b, err := c.Batches.New(t.Context(), openai.BatchNewParams{InputFileID: file, Endpoint: openai.BatchNewParamsEndpointV1ChatCompletions,
		CompletionWindow: openai.BatchNewParamsCompletionWindow24h})
	if err != nil || b.Status != openai.BatchStatusValidating {
		t.Fatalf("%+v, %v", b, err)
	}
	return b.ID
}

// Batches are listed over all accounts, and cancelled, or read when they are done, by whom they belong to.
func TestBatches(t *testing.T) {
	p, ctx := newPair(t), t.Context()
	const line = `{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt-4o-mini","messages":[]}}`
	var all []string
	for i := range 6 {
		file := p.lines(t, sdk, openai.FilePurposeBatch, line)
		if i%3 == 2 {
			p.restart(t)
		}
		p.batch(t, other, p.lines(t, other, openai.FilePurposeBatch, line))
		p.unseen(t, "runs a file", file, func(c openai.Client, id string) error {
			return second(c.Batches.New(ctx, openai.BatchNewParams{InputFileID: id, Endpoint: openai.BatchNewParamsEndpointV1ChatCompletions,
				CompletionWindow: openai.BatchNewParamsCompletionWindow24h}))
		})
		id := p.batch(t, sdk, file)
		p.unseen(t, "cancels a batch", id, func(c openai.Client, id string) error { return second(c.Batches.Cancel(ctx, id)) })
		p.unseen(t, "looks at a batch", id, func(c openai.Client, id string) error { return second(c.Batches.Get(ctx, id)) })
		want := openai.BatchStatusCompleted
		if i%2 == 0 {
			want = openai.BatchStatusCancelled
			c := p.next(sdk)
			if b, err := c.Batches.Cancel(ctx, id); err != nil || b.Status != want {
				t.Errorf("%+v, %v", b, err)
			}
		}
		c := p.next(sdk)
		b, err := c.Batches.Get(ctx, id)
		if err != nil || b.Status != want {
			t.Fatalf("%+v, %v", b, err)
		}
		if b.OutputFileID != "" {
			p.unseen(t, "reads a result", b.OutputFileID, func(c openai.Client, id string) error { return second(c.Files.Content(ctx, id)) })
			c = p.next(sdk)
			if f, err := c.Files.Get(ctx, b.OutputFileID); err != nil || f.ID != b.OutputFileID {
				t.Errorf("%+v, %v", f, err)
			}
		}
		all = append(all, id)
	}
	for _, limit := range []int64{1, 4, 100} {
		c := p.next(sdk)
		ids, err := listed(c.Batches.ListAutoPaging(ctx, openai.BatchListParams{Limit: param.NewOpt(limit)}), func(b openai.Batch) string { return b.ID })
		slices.Reverse(ids) // the newest first
		if err != nil || !slices.Equal(ids, all) {
			t.Errorf("by %d: %q, want %q, %v", limit, ids, all, err)
		}
	}
	p.holders(t, "/v1/batches", all)
	p.stayed(t)
}

// A job is paused, resumed, looked at until it has succeeded, or cancelled, through two replicas; its events, its checkpoints
// and its results are its client's.
func TestFineTuningJobs(t *testing.T) {
	p, ctx := newPair(t), t.Context()
	var all, done []string
	job := func(of string, metadata shared.Metadata) *openai.FineTuningJob {
		file := p.lines(t, of, openai.FilePurposeFineTune, `{"messages":[]}`)
		c := p.next(of)
		j, err := c.FineTuning.Jobs.New(ctx, openai.FineTuningJobNewParams{Model: "gpt-4o-mini", TrainingFile: file, Metadata: metadata})
		if err != nil || j.TrainingFile != file {
			t.Fatalf("%+v, %v", j, err)
		}
		whole(t, j)
		return j
	}
	for i := range 4 {
		kept, dropped := job(sdk, shared.Metadata{"kept": "yes"}), job(sdk, nil)
		job(other, shared.Metadata{"kept": "yes"})
		if i%2 == 1 {
			p.restart(t)
		}
		c := p.next(sdk)
		if j, err := c.FineTuning.Jobs.Cancel(ctx, dropped.ID); err != nil || j.Status != openai.FineTuningJobStatusCancelled {
			t.Errorf("%+v, %v", j, err)
		}
		p.tuned(t, kept.ID)
		all, done = append(all, kept.ID, dropped.ID), append(done, kept.ID)
	}
	for _, limit := range []int64{1, 3} {
		for metadata, want := range map[string][]string{"": all, "yes": done} {
			q := openai.FineTuningJobListParams{Limit: param.NewOpt(limit)}
			if metadata != "" {
				q.Metadata = map[string]string{"kept": metadata}
			}
			c := p.next(sdk)
			ids, err := listed(c.FineTuning.Jobs.ListAutoPaging(ctx, q), func(j openai.FineTuningJob) string { return j.ID })
			same(t, "jobs "+metadata, ids, want, err)
		}
	}
	c := p.next(sdk)
	answers(t, "the permissions of a checkpoint", second(c.FineTuning.Checkpoints.Permissions.List(ctx, "ft:gpt-4o-mini:org-mock::x",
		openai.FineTuningCheckpointPermissionListParams{}, option.WithAdminAPIKey(sdk))), 403)
	p.holders(t, "/v1/fine_tuning/jobs", all)
	p.stayed(t)
}

// unseenJob does with another client all that can be done with a job.
func (p *pair) unseenJob(t *testing.T, id string) {
	t.Helper()
	ctx := t.Context()
	for what, reach := range map[string]func(c openai.Client, id string) error{
		"looks at a job": func(c openai.Client, id string) error { return second(c.FineTuning.Jobs.Get(ctx, id)) },
		"cancels a job":  func(c openai.Client, id string) error { return second(c.FineTuning.Jobs.Cancel(ctx, id)) },
		"pauses a job":   func(c openai.Client, id string) error { return second(c.FineTuning.Jobs.Pause(ctx, id)) },
		"resumes a job":  func(c openai.Client, id string) error { return second(c.FineTuning.Jobs.Resume(ctx, id)) },
		"reads the events": func(c openai.Client, id string) error {
			return second(c.FineTuning.Jobs.ListEvents(ctx, id, openai.FineTuningJobListEventsParams{}))
		},
		"reads the checkpoints": func(c openai.Client, id string) error {
			return second(c.FineTuning.Jobs.Checkpoints.List(ctx, id, openai.FineTuningJobCheckpointListParams{}))
		},
	} {
		p.unseen(t, what, id, reach)
	}
}

// tuned goes with a job to its end, and with another client nowhere.
func (p *pair) tuned(t *testing.T, id string) {
	t.Helper()
	p.unseenJob(t, id)
	ctx, c := t.Context(), p.next(sdk)
	if j, err := c.FineTuning.Jobs.Pause(ctx, id); err != nil || j.Status != "paused" {
		t.Errorf("%+v, %v", j, err)
	}
	c = p.next(sdk)
	if j, err := c.FineTuning.Jobs.Resume(ctx, id); err != nil || j.Status != openai.FineTuningJobStatusQueued {
		t.Errorf("%+v, %v", j, err)
	}
	var j *openai.FineTuningJob
	for _, want := range []openai.FineTuningJobStatus{openai.FineTuningJobStatusRunning, openai.FineTuningJobStatusSucceeded} {
		var err error
		c = p.next(sdk)
		if j, err = c.FineTuning.Jobs.Get(ctx, id); err != nil || j.Status != want {
			t.Fatalf("%+v, %v", j, err)
		}
	}
	whole(t, j)
	c = p.next(sdk)
	events, err := listed(c.FineTuning.Jobs.ListEventsAutoPaging(ctx, id, openai.FineTuningJobListEventsParams{Limit: param.NewOpt[int64](2)}),
		func(e openai.FineTuningJobEvent) string { whole(t, &e); return e.ID })
	if err != nil || len(events) != 5 {
		t.Errorf("%q, %v", events, err)
	}
	c = p.next(sdk)
	points, err := listed(c.FineTuning.Jobs.Checkpoints.ListAutoPaging(ctx, id, openai.FineTuningJobCheckpointListParams{Limit: param.NewOpt[int64](1)}),
		func(one openai.FineTuningJobCheckpoint) string { whole(t, &one); return one.ID })
	if err != nil || len(points) != 3 {
		t.Errorf("%q, %v", points, err)
	}
	p.unseen(t, "reads the results", j.ResultFiles[0], func(c openai.Client, id string) error { return second(c.Files.Content(ctx, id)) })
	c = p.next(sdk)
	if f, err := c.Files.Get(ctx, j.ResultFiles[0]); err != nil || f.ID != j.ResultFiles[0] {
		t.Errorf("%+v, %v", f, err)
	}
}

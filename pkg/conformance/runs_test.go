package conformance

import (
	"io"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/shared"
)

// runWithTool has the assistant call a function, tells what that returned, and looks at what became of it.
func (p *pair) runWithTool(t *testing.T, on talk) {
	t.Helper()
	ctx, c := t.Context(), p.next(sdk)
	run, err := c.Beta.Threads.Runs.New(ctx, on.thread, openai.BetaThreadRunNewParams{AssistantID: on.assistant})
	if err != nil {
		t.Fatal(err)
	}
	whole(t, run)
	c = p.next(sdk)
	if run, err = c.Beta.Threads.Runs.Get(ctx, on.thread, run.ID); err != nil || run.Status != openai.RunStatusRequiresAction {
		t.Fatalf("%+v, %v", run, err)
	}
	call := run.RequiredAction.SubmitToolOutputs.ToolCalls[0]
	c = p.next(sdk)
	_, err = c.Beta.Threads.Runs.SubmitToolOutputs(ctx, on.thread, run.ID, openai.BetaThreadRunSubmitToolOutputsParams{
		ToolOutputs: []openai.BetaThreadRunSubmitToolOutputsParamsToolOutput{{ToolCallID: param.NewOpt(call.ID), Output: param.NewOpt("sunny")}}})
	if err != nil || call.Function.Name != "weather" {
		t.Fatalf("%+v, %v", call, err)
	}
	c = p.next(sdk)
	if run, err = c.Beta.Threads.Runs.Get(ctx, on.thread, run.ID); err != nil || run.Status != openai.RunStatusCompleted {
		t.Errorf("%+v, %v", run, err)
	}
	c = p.next(sdk)
	if run, err = c.Beta.Threads.Runs.Update(ctx, on.thread, run.ID, openai.BetaThreadRunUpdateParams{Metadata: shared.Metadata{"a": "b"}}); err != nil || run.Metadata["a"] != "b" {
		t.Errorf("%+v, %v", run, err)
	}
	c = p.next(sdk)
	steps, err := listed(c.Beta.Threads.Runs.Steps.ListAutoPaging(ctx, on.thread, run.ID, openai.BetaThreadRunStepListParams{Limit: param.NewOpt[int64](1)}),
		func(s openai.RunStep) string { return s.ID })
	if err != nil || len(steps) != 2 {
		t.Fatalf("steps: %v, %v", steps, err)
	}
	c = p.next(sdk)
	step, err := c.Beta.Threads.Runs.Steps.Get(ctx, on.thread, run.ID, steps[1], openai.BetaThreadRunStepGetParams{})
	if err != nil || step.StepDetails.ToolCalls[0].Function.Output != "sunny" {
		t.Fatalf("%+v, %v", step, err)
	}
	whole(t, step)
	c = p.next(sdk)
	wrote, err := c.Beta.Threads.Messages.List(ctx, on.thread, openai.BetaThreadMessageListParams{RunID: param.NewOpt(run.ID)})
	if err != nil || len(wrote.Data) != 1 || wrote.Data[0].Role != openai.MessageRoleAssistant {
		t.Errorf("%+v, %v", wrote, err)
	}
}

func (p *pair) cancelledRun(t *testing.T, on talk) {
	t.Helper()
	ctx, c := t.Context(), p.next(sdk)
	run, err := c.Beta.Threads.Runs.New(ctx, on.thread, openai.BetaThreadRunNewParams{AssistantID: on.assistant})
	if err != nil {
		t.Fatal(err)
	}
	c = p.next(sdk)
	if run, err = c.Beta.Threads.Runs.Cancel(ctx, on.thread, run.ID); err != nil || run.Status != openai.RunStatusCancelling {
		t.Fatalf("%+v, %v", run, err)
	}
	c = p.next(sdk)
	if run, err = c.Beta.Threads.Runs.Get(ctx, on.thread, run.ID); err != nil || run.Status != openai.RunStatusCancelled {
		t.Errorf("%+v, %v", run, err)
	}
	c = p.next(sdk)
	runs, err := listed(c.Beta.Threads.Runs.ListAutoPaging(ctx, on.thread, openai.BetaThreadRunListParams{Limit: param.NewOpt[int64](1)}),
		func(r openai.Run) string { return r.ID })
	if err != nil || len(runs) != 2 || runs[0] != run.ID {
		t.Errorf("runs: %v, %v", runs, err)
	}
}

// interpreter draws pictures.
var interpreter = openai.AssistantToolUnionParam{OfCodeInterpreter: &openai.CodeInterpreterToolParam{}}

// streamedRun reads a run as it goes on. What it tells of is there for whoever asks the other replica meanwhile.
func (p *pair) streamedRun(t *testing.T, on talk) {
	t.Helper()
	ctx, c := t.Context(), p.next(sdk)
	events := c.Beta.Threads.Runs.NewStreaming(ctx, on.thread, openai.BetaThreadRunNewParams{AssistantID: on.assistant,
		Tools: []openai.AssistantToolUnionParam{interpreter}})
	var last string
	var files []string
	for events.Next() {
		last = events.Current().Event
		switch e := events.Current().AsAny().(type) {
		case openai.AssistantStreamEventThreadRunCreated:
			c := p.next(sdk)
			if run, err := c.Beta.Threads.Runs.Get(ctx, on.thread, e.Data.ID); err != nil || run.ID != e.Data.ID {
				t.Errorf("while it streams: %v", err)
			}
		case openai.AssistantStreamEventThreadMessageDelta:
			for _, part := range e.Data.Delta.Content {
				if id := part.ImageFile.FileID; id != "" {
					p.drawn(t, id, "plot.png")
				}
			}
		case openai.AssistantStreamEventThreadMessageCompleted:
			for _, part := range e.Data.Content {
				for _, note := range part.Text.Annotations {
					files = append(files, note.FilePath.FileID)
				}
			}
		}
	}
	if events.Err() != nil || last != "thread.run.completed" || len(files) != 1 {
		t.Fatalf("%s, %v, %v", last, files, events.Err())
	}
	p.drawn(t, files[0], "table.csv")
}

// drawn reads a file that the assistant made.
func (p *pair) drawn(t *testing.T, id, want string) {
	t.Helper()
	c := p.next(sdk)
	content, err := c.Files.Content(t.Context(), id)
	if err != nil {
		t.Errorf("a file that an assistant made: %v", err)
		return
	}
	defer content.Body.Close()
	if text, _ := io.ReadAll(content.Body); string(text) != want {
		t.Errorf("%q, want %q", text, want)
	}
	p.unseen(t, "reads a file that an assistant made", id, func(c openai.Client, id string) error { return second(c.Files.Get(t.Context(), id)) })
}

// createAndRun makes threads with their runs, whole and streamed.
func (p *pair) createAndRun(t *testing.T, on talk) {
	t.Helper()
	ctx, c := t.Context(), p.next(sdk)
	params := openai.BetaThreadNewAndRunParams{AssistantID: on.assistant, Thread: openai.BetaThreadNewAndRunParamsThread{
		ToolResources: openai.BetaThreadNewAndRunParamsThreadToolResources{FileSearch: openai.BetaThreadNewAndRunParamsThreadToolResourcesFileSearch{
			VectorStores: []openai.BetaThreadNewAndRunParamsThreadToolResourcesFileSearchVectorStore{{}}}}}}
	run, err := c.Beta.Threads.NewAndRun(ctx, params)
	if err != nil {
		t.Fatal(err)
	}
	p.threadOf(t, run.ThreadID)
	c = p.next(sdk)
	events := c.Beta.Threads.NewAndRunStreaming(ctx, params)
	var waits openai.Run
	for events.Next() {
		switch e := events.Current().AsAny().(type) {
		case openai.AssistantStreamEventThreadCreated: // the run is not told of yet
			p.threadOf(t, e.Data.ID)
		case openai.AssistantStreamEventThreadRunRequiresAction:
			waits = e.Data
		}
	}
	if events.Err() != nil || waits.ID == "" {
		t.Fatalf("%+v, %v", waits, events.Err())
	}
	c = p.next(sdk)
	output := openai.BetaThreadRunSubmitToolOutputsParamsToolOutput{Output: param.NewOpt("rain"),
		ToolCallID: param.NewOpt(waits.RequiredAction.SubmitToolOutputs.ToolCalls[0].ID)}
	events = c.Beta.Threads.Runs.SubmitToolOutputsStreaming(ctx, waits.ThreadID, waits.ID, openai.BetaThreadRunSubmitToolOutputsParams{
		ToolOutputs: []openai.BetaThreadRunSubmitToolOutputsParamsToolOutput{output}})
	last := ""
	for events.Next() {
		last = events.Current().Event
	}
	if events.Err() != nil || last != "thread.run.completed" {
		t.Errorf("%s, %v", last, events.Err())
	}
}

// threadOf looks at a thread, and at the vector store that was made with it.
func (p *pair) threadOf(t *testing.T, id string) {
	t.Helper()
	c := p.next(sdk)
	thread, err := c.Beta.Threads.Get(t.Context(), id)
	if err != nil || len(thread.ToolResources.FileSearch.VectorStoreIDs) != 1 {
		t.Fatalf("%+v, %v", thread, err)
	}
	c = p.next(sdk)
	if store, err := c.VectorStores.Get(t.Context(), thread.ToolResources.FileSearch.VectorStoreIDs[0]); err != nil || store.ID == "" {
		t.Errorf("the vector store of a thread: %v", err)
	}
	p.unseen(t, "gets a thread", id, func(c openai.Client, id string) error { return second(c.Beta.Threads.Get(t.Context(), id)) })
}

package mockopenai

import "fmt"

// steps are those of a fine-tuning job at which a checkpoint is made.
var steps = []int{100, 200, 300}

// jobFields are what a job has before it has done anything. Those that the request says are as that says.
func jobFields() map[string]any {
	return map[string]any{"error": nil, "fine_tuned_model": nil, "finished_at": nil, "hyperparameters": map[string]any{"n_epochs": "auto"},
		"organization_id": "org-mock", "result_files": []string{}, "seed": 42, "trained_tokens": nil, "validation_file": nil}
}

// tune gets a fine-tuning job on whenever somebody looks, unless it is paused: it runs, and then it has succeeded and has a
// file of results.
func (x *exchange) tune(o *objects, s *shelf, one *object) {
	switch one.fields["status"] {
	case "validating_files", "queued":
		one.fields["status"] = "running"
	case "running":
		one.fields["status"], one.fields["fine_tuned_model"] = "succeeded", tunedModel(one)
		one.fields["result_files"] = []string{x.outcome(o, s, "fine-tune-results", nil).id()}
	}
}

func tunedModel(job *object) string {
	_, suffix := cutPrefix(job.id())
	return fmt.Sprintf("ft:%s:org-mock::%s", job.text("model"), suffix)
}

// pauseJob, resumeJob and cancelJob are POST /v1/fine_tuning/jobs/{id}/pause, resume and cancel. What is over stays as it is.
func (x *exchange) pauseJob(_ *objects, _ *shelf, one *object) any  { return become(one, "paused") }
func (x *exchange) resumeJob(_ *objects, _ *shelf, one *object) any { return become(one, "queued") }
func (x *exchange) cancelJob(_ *objects, _ *shelf, one *object) any { return become(one, "cancelled") }

func become(job *object, status string) any {
	if now := job.fields["status"]; now != "succeeded" && now != "cancelled" {
		job.fields["status"] = status
	}
	return job.fields
}

// showEvents is GET /v1/fine_tuning/jobs/{id}/events.
func (x *exchange) showEvents(_ *objects, _ *shelf, one *object) any {
	_, suffix := cutPrefix(one.id())
	told := []string{"Created fine-tuning job: " + one.id(), "Validating training file: " + one.text("training_file")}
	for _, step := range steps {
		told = append(told, fmt.Sprintf("Step %d: training loss=0.25", step))
	}
	var all []map[string]any
	for i, message := range told {
		all = append(all, map[string]any{"object": "fine_tuning.job.event", "id": fmt.Sprintf("ftevent-%se%d", suffix, i),
			"created_at": one.created + int64(i), "level": "info", "message": message, "type": "message", "data": nil})
	}
	return x.list(newestFirst(one, all))
}

// showCheckpoints is GET /v1/fine_tuning/jobs/{id}/checkpoints. There are none before the job has succeeded.
func (x *exchange) showCheckpoints(_ *objects, _ *shelf, one *object) any {
	if one.fields["status"] != "succeeded" {
		return x.list(nil)
	}
	_, suffix := cutPrefix(one.id())
	var all []map[string]any
	for i, step := range steps {
		all = append(all, map[string]any{"object": "fine_tuning.job.checkpoint", "id": fmt.Sprintf("ftckpt_%sc%d", suffix, i),
			"created_at": one.created + int64(i), "fine_tuned_model_checkpoint": fmt.Sprintf("%s:ckpt-step-%d", tunedModel(one), step),
			"fine_tuning_job_id": one.id(), "step_number": step, "metrics": map[string]any{"step": step, "train_loss": 0.25}})
	}
	return x.list(newestFirst(one, all))
}

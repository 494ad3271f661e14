package mockopenai

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"github.com/tidwall/gjson"
)

// Runs of an evaluation are done when somebody looks: each item of their source has a result then.
var evalWays = []way{
	{http.MethodPost, "/v1/evals", func(x *exchange, o *objects, s *shelf) any {
		doc := x.ask.doc
		config := map[string]any{"type": doc.Get("data_source_config.type").Str, "schema": map[string]any{"type": "object",
			"properties": map[string]any{"item": raw(doc.Get("data_source_config.item_schema"), "{}")}}}
		return x.put(o, s, "/v1/evals", map[string]any{"name": doc.Get("name").String(), "data_source_config": config,
			"testing_criteria": raw(doc.Get("testing_criteria"), "[]"), "metadata": raw(doc.Get("metadata"), "{}")}).fields
	}},
	{http.MethodDelete, "/v1/evals/*", func(x *exchange, o *objects, s *shelf) any { return x.dropEval(s, "eval.deleted", "eval_id") }},
	{http.MethodPost, "/v1/evals/*/runs", (*exchange).evaluate},
	{http.MethodGet, "/v1/evals/*/runs", func(x *exchange, _ *objects, s *shelf) any { return x.evalList(s) }},
	{http.MethodGet, "/v1/evals/*/runs/*", func(x *exchange, o *objects, s *shelf) any {
		run := s.byPath[x.r.URL.Path]
		if run == nil {
			return missing(x.r.URL.Path)
		}
		x.judge(o, s, run)
		return run.fields
	}},
	{http.MethodPost, "/v1/evals/*/runs/*", func(x *exchange, _ *objects, s *shelf) any { // the way to cancel one
		run := s.byPath[x.r.URL.Path]
		switch {
		case run == nil:
			return missing(x.r.URL.Path)
		case run.fields["status"] == "queued":
			run.fields["status"] = "canceled"
		}
		return run.fields
	}},
	{http.MethodDelete, "/v1/evals/*/runs/*", func(x *exchange, o *objects, s *shelf) any {
		return x.dropEval(s, "eval.run.deleted", "run_id")
	}},
	{http.MethodGet, "/v1/evals/*/runs/*/output_items", func(x *exchange, _ *objects, s *shelf) any { return x.evalList(s) }},
}

// evalList is a list with the oldest first, unless it is asked for otherwise, by status.
func (x *exchange) evalList(s *shelf) any {
	query := x.r.URL.Query()
	all := having(s.in(x.r.URL.Path), "status", query.Get("status"))
	if query.Get("order") == "" {
		slices.Reverse(all)
	}
	return x.list(all)
}

// dropEval deletes an evaluation or a run of one, which say so each in its own way.
func (x *exchange) dropEval(s *shelf, said, name string) any {
	one := s.byPath[x.r.URL.Path]
	if one == nil {
		return missing(x.r.URL.Path)
	}
	s.drop(one)
	return map[string]any{"object": said, "deleted": true, name: one.id()}
}

// evaluate begins a run.
func (x *exchange) evaluate(o *objects, s *shelf) any {
	path, _ := cutLast(x.r.URL.Path)
	source := x.ask.doc.Get("data_source.source")
	if file := source.Get("id").Str; source.Get("type").Str == "file_id" && s.byPath["/v1/files/"+file] == nil {
		return missing("/v1/files/" + file)
	}
	return x.put(o, s, x.r.URL.Path, map[string]any{"eval_id": s.byPath[path].id(), "status": "queued",
		"name": x.ask.doc.Get("name").String(), "model": x.ask.doc.Get("data_source.model").String(), "error": nil,
		"data_source": raw(x.ask.doc.Get("data_source"), "{}"), "metadata": raw(x.ask.doc.Get("metadata"), "{}"),
		"report_url": "https://platform.example.invalid/evaluations/" + s.byPath[path].id(), "result_counts": counts(0),
		"per_model_usage": []any{}, "per_testing_criteria_results": []any{}}).fields
}

func counts(passed int) map[string]int {
	return map[string]int{"total": passed, "passed": passed, "failed": 0, "errored": 0}
}

// judge does a run that waits. Everything passes.
func (x *exchange) judge(o *objects, s *shelf, run *object) {
	if run.fields["status"] != "queued" {
		return
	}
	items := itemsOf(s, run.look("data_source.source"))
	for i, item := range items {
		x.put(o, s, run.path+"/output_items", map[string]any{"run_id": run.id(), "eval_id": run.fields["eval_id"], "status": "pass",
			"datasource_item_id": i, "datasource_item": item, "sample": map[string]any{"output": []any{}, "input": []any{}},
			"results": []any{map[string]any{"name": "matches", "passed": true, "score": 1}}})
	}
	run.fields["status"], run.fields["result_counts"] = "completed", counts(len(items))
}

// itemsOf are what a run goes through: given with it, or the lines of a file.
func itemsOf(s *shelf, source gjson.Result) (items []json.RawMessage) {
	for _, row := range source.Get("content").Array() {
		items = append(items, raw(row.Get("item"), "{}"))
	}
	file := s.byPath["/v1/files/"+source.Get("id").Str]
	if file == nil {
		return items
	}
	for line := range bytes.Lines(file.content) {
		if gjson.ValidBytes(line) {
			items = append(items, raw(gjson.GetBytes(line, "item"), strconv.Quote("")))
		}
	}
	return items
}

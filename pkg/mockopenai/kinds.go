package mockopenai

import (
	"slices"
	"strings"
)

// kind is what a collection holds.
type kind struct {
	collection string // its path, with * for the id of an object that it lies in
	prefix     string // of ids
	object     string // what objects call themselves
}

// kinds are the collections of objects that an account stores.
var kinds = []kind{
	{"/v1/files", "file-", "file"},
	{"/v1/uploads", "upload_", "upload"},
	{"/v1/uploads/*/parts", "part_", "upload.part"},
	{"/v1/batches", "batch_", "batch"},
	{"/v1/fine_tuning/jobs", "ftjob-", "fine_tuning.job"},
	{"/v1/responses", "resp_", "response"},
	{"/v1/chat/completions", "chatcmpl-", "chat.completion"},
	{"/v1/conversations", "conv_", "conversation"},
	{"/v1/conversations/*/items", "msg_", "message"},
	{"/v1/vector_stores", "vs_", "vector_store"},
	{"/v1/vector_stores/*/files", "", "vector_store.file"},
	{"/v1/vector_stores/*/file_batches", "vsfb_", "vector_store.files_batch"},
	{"/v1/assistants", "asst_", "assistant"},
	{"/v1/threads", "thread_", "thread"},
	{"/v1/threads/*/messages", "msg_", "thread.message"},
	{"/v1/threads/*/runs", "run_", "thread.run"},
	{"/v1/threads/*/runs/*/steps", "step_", "thread.run.step"},
	{"/v1/evals", "eval_", "eval"},
	{"/v1/evals/*/runs", "evalrun_", "eval.run"},
	{"/v1/evals/*/runs/*/output_items", "outputitem_", "eval.run.output_item"},
	{"/v1/containers", "cntr_", "container"},
	{"/v1/containers/*/files", "cfile_", "container.file"},
	{"/v1/videos", "video_", "video"},
	{"/v1/videos/characters", "char_", "character"},
	{"/v1/skills", "skill_", "skill"},
	{"/v1/skills/*/versions", "skver_", "skill.version"},
	{"/v1/audio/voice_consents", "cons_", "audio.voice_consent"},
	{"/v1/audio/voices", "voice_", "audio.voice"},
	{"/v1/realtime/calls", "rtc_", "realtime.call"}, // to make one stands for somebody who rings
}

// makers are paths that make an object of another collection.
var makers = map[string]string{"/v1/videos/edits": "/v1/videos", "/v1/videos/extensions": "/v1/videos", "/v1/threads/runs": "/v1/threads"}

// kindOf is the kind of a collection.
func kindOf(path string) (kind, bool) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return samePath(k.collection, path) })
	if i < 0 {
		return kind{}, false
	}
	return kinds[i], true
}

func isCollection(path string) bool { _, found := kindOf(path); return found }

func samePath(template, path string) bool {
	want, have := strings.Split(template, "/"), strings.Split(path, "/")
	return slices.EqualFunc(want, have, func(w, h string) bool { return w == h || w == "*" && h != "" })
}

// isStored reports whether a path is that of a collection, of something in one, or of something that one can do with that.
func isStored(path string) bool {
	if makers[path] != "" {
		return true
	}
	for path != "" {
		if _, found := kindOf(path); found {
			return true
		}
		path, _ = cutLast(path)
	}
	return false
}

// cutLast is a path without its last segment, and that.
func cutLast(path string) (before, last string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

// pointers are the fields that name objects of a collection, wherever they stand.
var pointers = map[string]string{"file_id": "/v1/files", "file_ids": "/v1/files", "input_file_id": "/v1/files",
	"training_file": "/v1/files", "validation_file": "/v1/files", "vector_store_id": "/v1/vector_stores",
	"vector_store_ids": "/v1/vector_stores", "container": "/v1/containers", "assistant_id": "/v1/assistants",
	"thread_id": "/v1/threads", "previous_response_id": "/v1/responses", "conversation": "/v1/conversations",
	"consent": "/v1/audio/voice_consents", "skill_id": "/v1/skills"}

package mockopenai

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

const vectorStores = "/v1/vector_stores"

// createVectorStore is POST /v1/vector_stores.
func (x *exchange) createVectorStore(o *objects, s *shelf, k kind) any {
	one := x.newObject(o, vectorStores, k)
	delete(one.fields, "file_ids")
	delete(one.fields, "chunking_strategy")
	one.fields["last_active_at"], one.fields["expires_at"] = one.created, nil
	one.usual(map[string]any{"name": "", "metadata": map[string]any{}})
	s.add(one)
	for _, id := range x.ask.doc.Get("file_ids").Array() {
		x.putFile(o, s, one, id.Str, x.ask.doc)
	}
	s.count(one.path)
	return one.fields
}

// addToVectorStore is POST /v1/vector_stores/{id}/files.
func (x *exchange) addToVectorStore(o *objects, s *shelf, collection string) any {
	id := x.ask.text("file_id")
	if id == "" {
		return lacking("file_id")
	}
	store, _ := cutLast(collection)
	file := x.putFile(o, s, s.byPath[store], id, x.ask.doc)
	s.count(store)
	return file.fields
}

// addBatch is POST /v1/vector_stores/{id}/file_batches: either file_ids, or files that each say what is theirs.
func (x *exchange) addBatch(o *objects, s *shelf, collection string, k kind) any {
	ids, files := x.ask.doc.Get("file_ids").Array(), x.ask.doc.Get("files").Array()
	if len(ids) > 0 && len(files) > 0 {
		return badRequest("files", "'files' and 'file_ids' are mutually exclusive.")
	}
	if len(ids)+len(files) == 0 {
		return lacking("file_ids")
	}
	batch := x.bareObject(o, collection, k)
	store := s.byPath[batch.parent()]
	batch.fields["vector_store_id"], batch.fields["status"] = store.id(), "in_progress"
	s.add(batch)
	for _, id := range ids {
		batch.files = append(batch.files, x.putFile(o, s, store, id.Str, x.ask.doc).id())
	}
	for _, file := range files {
		batch.files = append(batch.files, x.putFile(o, s, store, file.Get("file_id").Str, file).id())
	}
	s.endBatch(batch, "in_progress")
	return batch.fields
}

// putFile puts a file into a vector store, as it is said there.
func (x *exchange) putFile(o *objects, s *shelf, store *object, id string, says gjson.Result) *object {
	collection := store.path + "/files"
	k, _ := kindOf(collection)
	one := x.bareObject(o, collection, k)
	one.path = collection + "/" + id
	one.fields["id"], one.fields["vector_store_id"], one.fields["last_error"] = id, store.id(), nil
	one.fields["status"], one.fields["attributes"] = "in_progress", map[string]any{}
	one.fields["chunking_strategy"] = json.RawMessage(`{"type":"static","static":{"max_chunk_size_tokens":800,"chunk_overlap_tokens":400}}`)
	if chunks := says.Get("chunking_strategy"); chunks.Get("type").Str == "static" {
		one.fields["chunking_strategy"] = json.RawMessage(chunks.Raw)
	}
	if attributes := says.Get("attributes"); attributes.IsObject() {
		one.fields["attributes"] = json.RawMessage(attributes.Raw)
	}
	if file := s.byPath["/v1/files/"+id]; file != nil {
		one.size = file.size
	}
	one.fields["usage_bytes"] = one.size
	s.add(one)
	return one
}

// work ends what goes on in a vector store: it is done when somebody looks at anything there.
func (s *shelf) work(path string) {
	inside, found := strings.CutPrefix(path, vectorStores+"/")
	if !found {
		return
	}
	id, _, _ := strings.Cut(inside, "/")
	store := vectorStores + "/" + id
	for _, batch := range s.in(store + "/file_batches") {
		s.endBatch(batch, "completed")
	}
	for _, file := range s.in(store + "/files") {
		file.end("completed")
	}
	s.count(store)
}

// end gives something that is in progress another state.
func (o *object) end(status string) {
	if o.fields["status"] == "in_progress" {
		o.fields["status"] = status
	}
}

// endBatch gives a batch that is in progress another state, and its files with it.
func (s *shelf) endBatch(batch *object, status string) {
	files := s.filesOfBatch(batch)
	for _, file := range files {
		file.end(status)
	}
	batch.end(status)
	batch.fields["file_counts"] = countsOf(files)
	s.count(batch.parent())
}

// filesOfBatch are those of its files that are still in the vector store, the latest first.
func (s *shelf) filesOfBatch(batch *object) []*object {
	return slices.DeleteFunc(s.in(batch.parent()+"/files"), func(file *object) bool { return !slices.Contains(batch.files, file.id()) })
}

// count brings up to date what a vector store says of its files.
func (s *shelf) count(path string) {
	store := s.byPath[path]
	if store == nil {
		return
	}
	files, size := s.in(path+"/files"), int64(0)
	for _, file := range files {
		size += file.size
	}
	store.fields["file_counts"], store.fields["usage_bytes"] = countsOf(files), size
	store.fields["status"] = "completed"
	if slices.ContainsFunc(files, func(file *object) bool { return file.fields["status"] == "in_progress" }) {
		store.fields["status"] = "in_progress"
	}
}

// countsOf says how many of the files are in what state.
func countsOf(files []*object) map[string]int {
	counts := map[string]int{"in_progress": 0, "completed": 0, "cancelled": 0, "failed": 0, "total": len(files)}
	for _, file := range files {
		counts[file.text("status")]++
	}
	return counts
}

// leaveVectorStores takes a file that was deleted out of every vector store.
func (s *shelf) leaveVectorStores(id string) {
	for _, store := range s.in(vectorStores) {
		if file := s.byPath[store.path+"/files/"+id]; file != nil {
			s.drop(file)
			s.count(store.path)
		}
	}
}

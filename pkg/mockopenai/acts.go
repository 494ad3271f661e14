package mockopenai

import (
	"fmt"
	"net/http"
)

// create makes an object of what the body says.
func (x *exchange) create(o *objects, s *shelf, collection string, k kind) any {
	switch k.collection {
	case "/v1/files":
		return x.createFile(o, s)
	case "/v1/uploads":
		return x.createUpload(o, s, k)
	case "/v1/uploads/*/parts":
		return x.createPart(o, s, collection, k)
	case "/v1/vector_stores":
		return x.createVectorStore(o, s, k)
	case "/v1/vector_stores/*/files":
		return x.addToVectorStore(o, s, collection)
	case "/v1/vector_stores/*/file_batches":
		return x.addBatch(o, s, collection, k)
	case "/v1/containers":
		return x.createContainer(o, s, k)
	case "/v1/containers/*/files":
		return x.createContainerFile(o, s, collection)
	case "/v1/conversations/*/items":
		return x.addItems(o, s, collection)
	}
	one := x.newObject(o, collection, k)
	s.add(one)
	switch k.collection {
	case "/v1/fine_tuning/jobs":
		one.usual(jobFields())
	case "/v1/conversations":
		delete(one.fields, "items")
		x.addItems(o, s, one.path+"/items")
	}
	return one.fields
}

// act does something with an object; rest is what the path has behind that of the object.
func (x *exchange) act(o *objects, s *shelf, one *object, rest string) any {
	what := x.r.Method + " " + one.kind().collection + "/*" + rest
	if does := deeds[what]; does != nil {
		return does(x, o, s, one)
	}
	switch what {
	case "POST /v1/uploads/*/complete":
		return x.completeUpload(o, s, one)
	case "POST /v1/uploads/*/cancel":
		return cancelUpload(one)
	case "POST /v1/vector_stores/*/search":
		return x.search(s, one)
	case "GET /v1/vector_stores/*/files/*/content":
		return contentPage(s, one)
	case "GET /v1/vector_stores/*/file_batches/*/files":
		return x.list(s.filesOfBatch(one))
	case "POST /v1/vector_stores/*/file_batches/*/cancel":
		s.endBatch(one, "cancelled")
		return one.fields
	}
	switch _, name := cutLast(rest); {
	case name == "content":
		if one.content != nil {
			return one.content
		}
		return []byte(`{"content_of":"` + one.id() + `"}`)
	case name == "cancel":
		one.fields["status"] = "cancelled"
	case x.r.Method == http.MethodGet:
		return x.list(nil)
	}
	return one.fields
}

// deleted is the answer to the deletion of an object, and takes it out of wherever else it lies.
func (s *shelf) deleted(one *object) any {
	s.drop(one)
	named := fmt.Sprint(one.fields["object"], ".deleted")
	switch one.kind().collection {
	case "/v1/files":
		named = "file"
		s.leaveVectorStores(one.id())
	case "/v1/vector_stores/*/files":
		s.count(one.parent())
	case "/v1/conversations/*/items":
		return s.byPath[one.parent()].fields
	}
	return map[string]any{"id": one.id(), "object": named, "deleted": true}
}

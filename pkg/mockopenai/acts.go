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
	}
	one := x.newObject(o, collection, k)
	s.add(one)
	if k.collection == "/v1/conversations/*/items" {
		return map[string]any{"object": "list", "data": []any{one.fields}, "first_id": one.id(), "last_id": one.id(), "has_more": false}
	}
	return one.fields
}

// act does something with an object; rest is what the path has behind that of the object.
func (x *exchange) act(o *objects, s *shelf, one *object, rest string) any {
	switch x.r.Method + " " + one.kind().collection + "/*" + rest {
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
	}
	return map[string]any{"id": one.id(), "object": named, "deleted": true}
}

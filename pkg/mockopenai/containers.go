package mockopenai

// createContainer is POST /v1/containers, with copies of the files that are named.
func (x *exchange) createContainer(o *objects, s *shelf, k kind) any {
	one := x.newObject(o, "/v1/containers", k)
	delete(one.fields, "file_ids")
	one.fields["status"], one.fields["last_active_at"] = "running", one.created
	one.usual(map[string]any{"name": "", "memory_limit": "1g", "network_policy": map[string]any{"type": "disabled"},
		"expires_after": map[string]any{"anchor": "last_active_at", "minutes": 20}})
	s.add(one)
	for _, id := range x.ask.doc.Get("file_ids").Array() {
		x.copyInto(o, s, one.path+"/files", id.Str)
	}
	return one.fields
}

// createContainerFile is POST /v1/containers/{id}/files: what is uploaded, or a copy of a file.
func (x *exchange) createContainerFile(o *objects, s *shelf, collection string) any {
	if id := x.ask.text("file_id"); id != "" {
		return x.copyInto(o, s, collection, id).fields
	}
	size, there := x.ask.files["file"]
	if !there {
		return lacking("file")
	}
	return x.newContainerFile(o, s, collection, x.ask.name, x.ask.held, size).fields
}

func (x *exchange) copyInto(o *objects, s *shelf, collection, id string) *object {
	file := s.byPath["/v1/files/"+id] // which was looked for before
	return x.newContainerFile(o, s, collection, file.text("filename"), file.content, file.size)
}

func (x *exchange) newContainerFile(o *objects, s *shelf, collection, name string, held []byte, size int64) *object {
	k, _ := kindOf(collection)
	one := x.bareObject(o, collection, k)
	_, container := cutLast(one.parent())
	one.content, one.size = held, size
	one.fields["container_id"], one.fields["bytes"], one.fields["source"] = container, size, "user"
	one.fields["path"] = "/mnt/data/" + one.id() + "-" + name
	s.add(one)
	return one
}

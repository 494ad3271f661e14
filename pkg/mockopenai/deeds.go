package mockopenai

// deed is something that can be done with an object, besides showing, changing and deleting it. objects.mu is held.
type deed func(x *exchange, o *objects, s *shelf, one *object) any

// deeds are those that have rules of their own, by the collection of the object and the last segment of the path.
var deeds = map[string]deed{
	"/v1/responses cancel":             (*exchange).cancelResponse,
	"/v1/batches cancel":               (*exchange).cancelBatch,
	"/v1/responses input_items":        (*exchange).showInput,
	"/v1/chat/completions messages":    (*exchange).showMessages,
	"/v1/fine_tuning/jobs pause":       (*exchange).pauseJob,
	"/v1/fine_tuning/jobs resume":      (*exchange).resumeJob,
	"/v1/fine_tuning/jobs cancel":      (*exchange).cancelJob,
	"/v1/fine_tuning/jobs events":      (*exchange).showEvents,
	"/v1/fine_tuning/jobs checkpoints": (*exchange).showCheckpoints,
}

// deedOf is what can be done with an object by that name; nil: nothing that has rules of its own.
func deedOf(one *object, name string) deed {
	collection, _ := cutLast(one.path)
	k, _ := kindOf(collection)
	return deeds[k.collection+" "+name]
}

// cancelBatch is POST /v1/batches/{id}/cancel. One that is over stays as it is.
func (x *exchange) cancelBatch(_ *objects, _ *shelf, one *object) any {
	if !one.looked {
		one.looked, one.fields["status"] = true, "cancelled"
	}
	return one.fields
}

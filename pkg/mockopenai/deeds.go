package mockopenai

import "net/http"

// deed is something that can be done with an object, besides showing, changing and deleting it. objects.mu is held.
type deed func(x *exchange, o *objects, s *shelf, one *object) any

// deeds are those of what is answered, talked and tuned, by method and path.
var deeds = map[string]deed{
	"POST /v1/responses/*/cancel":            (*exchange).cancelResponse,
	"GET /v1/responses/*/input_items":        (*exchange).showInput,
	"GET /v1/chat/completions/*/messages":    (*exchange).showMessages,
	"POST /v1/batches/*/cancel":              (*exchange).cancelBatch,
	"POST /v1/fine_tuning/jobs/*/pause":      (*exchange).pauseJob,
	"POST /v1/fine_tuning/jobs/*/resume":     (*exchange).resumeJob,
	"POST /v1/fine_tuning/jobs/*/cancel":     (*exchange).cancelJob,
	"GET /v1/fine_tuning/jobs/*/events":      (*exchange).showEvents,
	"GET /v1/fine_tuning/jobs/*/checkpoints": (*exchange).showCheckpoints,
}

// look is the answer to who asks for an object, or changed it. What takes time gets on a step whenever somebody looks.
func (x *exchange) look(o *objects, s *shelf, one *object) any {
	if x.r.Method != http.MethodGet {
		return one.fields
	}
	switch one.kind().collection {
	case "/v1/responses":
		return x.lookAt(one)
	case "/v1/fine_tuning/jobs":
		x.tune(o, s, one)
	case "/v1/batches":
		if !one.looked {
			one.looked = true
			x.runBatch(o, s, one)
		}
	}
	return one.fields
}

// cancelBatch is POST /v1/batches/{id}/cancel. One that is over stays as it is.
func (x *exchange) cancelBatch(_ *objects, _ *shelf, one *object) any {
	if !one.looked {
		one.looked, one.fields["status"] = true, "cancelled"
	}
	return one.fields
}

package mockopenai

// runEvent tells in a stream what an object is like now.
func runEvent(name string, one *object) []byte {
	return []byte("event: " + name + "\ndata: " + one.showing() + "\n\n")
}

const runDone = "event: done\ndata: [DONE]\n\n"

// streamRun answers with the events of a run from where it stands, behind those that are given.
func (x *exchange) streamRun(o *objects, s *shelf, run *object, events [][]byte) any {
	add := func(name string, one *object) { events = append(events, runEvent(name, one)) }
	add("thread.run.queued", run)
	run.fields["status"] = "in_progress"
	add("thread.run.in_progress", run)
	if run.waits() {
		step := x.require(o, s, run)
		add("thread.run.step.created", step)
		add("thread.run.step.in_progress", step)
		add("thread.run.requires_action", run)
		return func() { x.sendEvents(x.openEvents(namedError), append(events, []byte(runDone))) }
	}
	d := x.draft(o, s, run)
	if d.code != nil {
		add("thread.run.step.created", d.code)
		add("thread.run.step.completed", d.code)
	}
	add("thread.run.step.created", d.step)
	add("thread.run.step.in_progress", d.step)
	add("thread.message.created", d.message)
	add("thread.message.in_progress", d.message)
	return func() { x.streamDraft(d, events) }
}

// streamDraft sends the events, the pieces of the message, and how it ended. A run goes on when nobody listens any more.
func (x *exchange) streamDraft(d *draft, events [][]byte) {
	st := x.openEvents(namedError)
	x.bill(promptTokens, 0)
	x.sendEvents(st, events)
	delta := func(part string) []byte {
		return []byte("event: thread.message.delta\n" + `data: {"id":"` + d.message.id() +
			`","object":"thread.message.delta","delta":{"content":[` + part + "]}}\n\n")
	}
	if d.code != nil {
		st.send(delta(`{"index":0,"type":"image_file","image_file":{"file_id":"` + d.picture + `"}}`))
	}
	for range x.plan.Chunks {
		st.token(delta(`{"index":0,"type":"text","text":{"value":"` + piece + `"}}`))
	}
	x.s.objects.mu.Lock()
	d.finish(x.s.objects)
	ended := d.run.fields["status"].(string)
	message := "thread.message.completed"
	if ended == "cancelled" {
		message = "thread.message.incomplete"
	}
	events = [][]byte{runEvent(message, d.message), runEvent("thread.run.step."+ended, d.step), runEvent("thread.run."+ended, d.run)}
	x.s.objects.mu.Unlock()
	x.sendEvents(st, append(events, []byte(runDone)))
}

func (x *exchange) sendEvents(st *stream, events [][]byte) {
	for _, event := range events {
		st.send(event)
	}
}

package mockopenai

// complete is POST /v1/completions.
func (x *exchange) complete() {
	head := `{"id":"cmpl-` + x.id + `","object":"text_completion","created":` + created + `,"model":` + x.ask.quoted +
		`,"system_fingerprint":"fp_44709d6fcb","choices":[`
	choice := func(text, finish string) string {
		return `{"text":"` + text + `","index":0,"logprobs":null,"finish_reason":` + finish + `}`
	}
	if !x.ask.stream {
		x.bill(promptTokens, x.plan.tokens)
		x.json([]byte(head + choice(x.plan.text, `"stop"`) + `],"usage":` + chatUsage(x.plan.tokens) + `}`))
		return
	}
	st := x.openEvents(dataError)
	x.bill(promptTokens, 0)
	chunk := []byte("data: " + head + choice(piece, "null") + `]` + x.nullUsage() + "}\n\n")
	for range x.plan.Chunks {
		st.token(chunk)
	}
	st.send([]byte("data: " + head + choice("", `"stop"`) + `]` + x.nullUsage() + "}\n\n"))
	if x.ask.usage {
		st.send([]byte("data: " + head + `],"usage":` + chatUsage(int64(x.plan.Chunks)) + "}\n\n"))
	}
	st.send([]byte(doneEvent))
}

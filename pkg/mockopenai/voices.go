package mockopenai

import "net/http"

var voiceWays = []way{
	{http.MethodPost, "/v1/audio/voices", func(x *exchange, o *objects, s *shelf) any {
		kind := x.ask.text("type")
		if kind == "" {
			kind = "audio_sample"
		}
		return x.put(o, s, "/v1/audio/voices", x.marked(map[string]any{"name": x.ask.text("name"), "type": kind})).fields
	}},
	{http.MethodPost, "/v1/audio/voice_consents", func(x *exchange, o *objects, s *shelf) any {
		return x.put(o, s, "/v1/audio/voice_consents", x.marked(map[string]any{"name": x.ask.text("name"),
			"language": x.ask.text("language")})).fields
	}},
}

package mockopenai

import "net/http"

// Videos are done when somebody looks.
var videoWays = []way{
	{http.MethodPost, "/v1/videos", func(x *exchange, o *objects, s *shelf) any { return x.video(o, s, nil).fields }},
	{http.MethodPost, "/v1/videos/*/remix", func(x *exchange, o *objects, s *shelf) any {
		path, _ := cutLast(x.r.URL.Path)
		return x.video(o, s, s.byPath[path]).fields
	}},
	{http.MethodPost, "/v1/videos/edits", (*exchange).again},
	{http.MethodPost, "/v1/videos/extensions", (*exchange).again},
	{http.MethodPost, "/v1/videos/characters", func(x *exchange, o *objects, s *shelf) any {
		one := x.put(o, s, "/v1/videos/characters", x.marked(map[string]any{"name": x.ask.text("name")}))
		delete(one.fields, "object") // the real ones do not say what they are
		return one.fields
	}},
	{http.MethodGet, "/v1/videos/*", func(x *exchange, o *objects, s *shelf) any {
		one := s.byPath[x.r.URL.Path]
		if one == nil {
			return missing(x.r.URL.Path)
		}
		if one.fields["status"] == "queued" {
			at := o.nextLocked()
			one.fields["status"], one.fields["progress"] = "completed", 100
			one.fields["completed_at"], one.fields["expires_at"] = at, at+3600
		}
		return one.fields
	}},
	{http.MethodGet, "/v1/videos/*/content", func(x *exchange, _ *objects, s *shelf) any {
		path, _ := cutLast(x.r.URL.Path)
		if s.byPath[path].fields["status"] != "completed" {
			return conflict("Video is not ready yet, use GET " + path + " to check status.")
		}
		kind, bytes := "video/mp4", append([]byte("\x00\x00\x00\x18ftypmp42"), path...)
		if x.r.URL.Query().Get("variant") == "thumbnail" {
			kind, bytes = "image/webp", append([]byte("RIFF\x00\x00\x00\x00WEBP"), path...)
		}
		return func() { x.send(kind, bytes) }
	}},
}

// video makes a video; from another one, if that is given.
func (x *exchange) video(o *objects, s *shelf, from *object) *object {
	or := func(name, usual string) string {
		if given := x.ask.text(name); given != "" {
			return given
		}
		return usual
	}
	fields := map[string]any{"status": "queued", "progress": 0, "model": or("model", "sora-2"), "seconds": or("seconds", "4"),
		"size": or("size", "720x1280"), "prompt": x.ask.text("prompt"), "remixed_from_video_id": nil, "error": nil,
		"completed_at": nil, "expires_at": nil}
	if from != nil {
		fields["remixed_from_video_id"] = from.id()
	}
	return x.put(o, s, "/v1/videos", x.marked(fields))
}

// again makes a video of one that is stored, or that comes with the request.
func (x *exchange) again(o *objects, s *shelf) any {
	id := x.ask.doc.Get("video.id").Str + x.ask.form["video[id]"]
	from := s.byPath["/v1/videos/"+id]
	switch {
	case id == "" && x.ask.files["video"] == 0:
		return lacking("video")
	case id != "" && from == nil:
		return missing("/v1/videos/" + id)
	}
	return x.video(o, s, from).fields
}

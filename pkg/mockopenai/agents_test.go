package mockopenai_test

import (
	"net/http"
	"slices"
	"testing"
)

func TestEvals(t *testing.T) {
	u := start(t)
	eval := u.post("/v1/evals", `{"name":"e","data_source_config":{"type":"custom","item_schema":{"type":"object"}},"testing_criteria":[]}`)
	equal(t, "the schema", eval.get("data_source_config.schema.properties.item.type").Str, "object")
	runs := "/v1/evals/" + eval.get("id").Str + "/runs"
	given := u.post(runs, `{"data_source":{"type":"jsonl","source":{"type":"file_content","content":[{"item":{"file_id":"1"}},{"item":{"b":2}}]}}}`)
	path := runs + "/" + given.get("id").Str
	equal(t, "status", u.get(path).get("status").Str, "completed")
	items := u.get(path + "/output_items")
	equal(t, "items", len(items.ids()), 2)
	equal(t, "the first item", items.get("data.0.datasource_item.file_id").Str, "1")
	equal(t, "an item", u.get(path+"/output_items/"+items.ids()[1]).get("datasource_item.b").Int(), 2)
	equal(t, "those that failed", len(u.get(path+"/output_items?status=fail").ids()), 0)

	file := u.do(u.form("/v1/files", [2]string{"purpose", "evals"}, [2]string{"file", `@in.jsonl`}), 200).get("id").Str
	second := u.post(runs, `{"data_source":{"type":"jsonl","source":{"type":"file_id","id":"`+file+`"}}}`).get("id").Str
	u.do(u.request("POST", runs, `{"data_source":{"type":"jsonl","source":{"type":"file_id","id":"file-other"}}}`), http.StatusNotFound)
	equal(t, "cancelled", u.post(runs+"/"+second, ``).get("status").Str, "canceled")
	if got := u.get(runs).ids(); !slices.Equal(got, []string{given.get("id").Str, second}) {
		t.Errorf("runs: %v", got)
	}
	deleted := u.do(u.request("DELETE", path, ``), 200)
	equal(t, "deleted", deleted.get("run_id").Str, given.get("id").Str)
	u.do(u.request("GET", path+"/output_items", ``), http.StatusNotFound)
	equal(t, "deleted", u.do(u.request("DELETE", "/v1/evals/"+eval.get("id").Str, ``), 200).get("object").Str, "eval.deleted")
	u.do(u.request("GET", runs, ``), http.StatusNotFound)
}

func TestVideos(t *testing.T) {
	u := start(t)
	first := u.post("/v1/videos", `{"prompt":"a box","seconds":"8"}`).get("id").Str
	u.do(u.request("GET", "/v1/videos/"+first+"/content", ``), http.StatusBadRequest)
	equal(t, "status", u.get("/v1/videos/"+first).get("status").Str, "completed")
	content := u.get("/v1/videos/" + first + "/content")
	equal(t, "content", content.Header.Get("Content-Type"), "video/mp4")
	equal(t, "content", string(content.body[4:12]), "ftypmp42")
	equal(t, "thumbnail", u.get("/v1/videos/"+first+"/content?variant=thumbnail").Header.Get("Content-Type"), "image/webp")
	second := u.post("/v1/videos/"+first+"/remix", `{"prompt":"a ball"}`)
	equal(t, "from", second.get("remixed_from_video_id").Str, first)
	if second.get("id").Str == first {
		t.Error("a remix is the same video")
	}
	edit := u.do(u.form("/v1/videos/edits", [2]string{"prompt", "red"}, [2]string{"video[id]", first}), 200).get("id").Str
	u.do(u.form("/v1/videos/edits", [2]string{"prompt", "red"}, [2]string{"video[id]", "video_other"}), http.StatusNotFound)
	longer := u.post("/v1/videos/extensions", `{"prompt":"on","seconds":"4","video":{"id":"`+first+`"}}`).get("id").Str
	u.do(u.request("POST", "/v1/videos/extensions", `{"prompt":"on"}`), http.StatusBadRequest)
	if got := u.get("/v1/videos").ids(); !slices.Equal(got, []string{longer, edit, second.get("id").Str, first}) {
		t.Errorf("videos: %v", got)
	}
	character := u.do(u.form("/v1/videos/characters", [2]string{"name", "Ada"}, [2]string{"video", "@ada.mp4"}), 200)
	equal(t, "name", u.get("/v1/videos/characters/"+character.get("id").Str).get("name").Str, "Ada")
	u.do(u.request("DELETE", "/v1/videos/"+first, ``), 200)
	u.do(u.request("GET", "/v1/videos/"+first, ``), http.StatusNotFound)
}

func TestSkills(t *testing.T) {
	u := start(t)
	skill := u.do(u.form("/v1/skills", [2]string{"files[]", "@SKILL.md"}), 200).get("id").Str
	versions := "/v1/skills/" + skill + "/versions"
	second := u.do(u.form(versions, [2]string{"files[]", "@SKILL.txt"}), 200)
	equal(t, "version", second.get("version").Str, "2")
	equal(t, "the latest", u.get("/v1/skills/"+skill).get("latest_version").Str, "2")
	equal(t, "the content", string(u.get("/v1/skills/"+skill+"/content").body), string(u.get(versions+"/1/content").body))
	u.post("/v1/skills/"+skill, `{"default_version":"2"}`)
	u.do(u.request("POST", "/v1/skills/"+skill, `{"default_version":"3"}`), http.StatusNotFound)
	equal(t, "the content", string(u.get("/v1/skills/"+skill+"/content").body), string(u.get(versions+"/2/content").body))
	equal(t, "a version", u.get(versions+"/1").get("skill_id").Str, skill)
	equal(t, "versions", len(u.get(versions).ids()), 2)
	equal(t, "deleted", u.do(u.request("DELETE", versions+"/1", ``), 200).get("version").Str, "1")
	u.do(u.request("GET", versions+"/1/content", ``), http.StatusNotFound)
	equal(t, "versions", len(u.get(versions).ids()), 1)
}

func TestVoices(t *testing.T) {
	u := start(t)
	consent := u.do(u.form("/v1/audio/voice_consents", [2]string{"name", "Ada"}, [2]string{"language", "en"}, [2]string{"recording", "@yes.wav"}), 200).get("id").Str
	equal(t, "name", u.post("/v1/audio/voice_consents/"+consent, `{"name":"Eve"}`).get("name").Str, "Eve")
	voice := [][2]string{{"name", "Ada"}, {"audio_sample", "@ada.wav"}, {"consent", consent}}
	made := u.do(u.form("/v1/audio/voices", voice...), 200).get("id").Str
	voice[2][1] = "cons_other"
	u.do(u.form("/v1/audio/voices", voice...), http.StatusNotFound)
	u.do(u.request("DELETE", "/v1/audio/voices/"+made, ``), 200)
	u.do(u.request("DELETE", "/v1/audio/voices/"+made, ``), http.StatusNotFound)
}

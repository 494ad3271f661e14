package mockopenai

import (
	"net/http"
	"strconv"
)

// Versions of a skill are counted from 1, and stand in paths by that number.
var skillWays = []way{
	{http.MethodPost, "/v1/skills", func(x *exchange, o *objects, s *shelf) any {
		skill := x.put(o, s, "/v1/skills", x.marked(map[string]any{"name": "skill", "description": "what it is for", "default_version": "1"}))
		x.version(o, s, skill)
		return skill.fields
	}},
	{http.MethodPost, "/v1/skills/*/versions", func(x *exchange, o *objects, s *shelf) any {
		path, _ := cutLast(x.r.URL.Path)
		made := x.version(o, s, s.byPath[path])
		if x.ask.text("default") == "true" {
			s.byPath[path].fields["default_version"] = made.id()
		}
		return made.fields
	}},
	{http.MethodPost, "/v1/skills/*", func(x *exchange, o *objects, s *shelf) any {
		wanted := x.ask.text("default_version")
		skill := s.byPath[x.r.URL.Path]
		if skill == nil || s.byPath[skill.path+"/versions/"+wanted] == nil {
			return missing(x.r.URL.Path)
		}
		skill.fields["default_version"] = wanted
		return skill.fields
	}},
	{http.MethodDelete, "/v1/skills/*/versions/*", func(x *exchange, o *objects, s *shelf) any {
		one := s.byPath[x.r.URL.Path]
		if one == nil {
			return missing(x.r.URL.Path)
		}
		s.drop(one)
		return map[string]any{"object": "skill.version.deleted", "id": one.fields["id"], "version": one.id(), "deleted": true}
	}},
	{http.MethodGet, "/v1/skills/*/content", func(x *exchange, _ *objects, s *shelf) any {
		path, _ := cutLast(x.r.URL.Path)
		return x.bundle(s, path+"/versions/"+s.byPath[path].look("default_version").Str)
	}},
	{http.MethodGet, "/v1/skills/*/versions/*/content", func(x *exchange, _ *objects, s *shelf) any {
		path, _ := cutLast(x.r.URL.Path)
		return x.bundle(s, path)
	}},
}

// version adds a version, and the skill says that it is the latest.
func (x *exchange) version(o *objects, s *shelf, skill *object) *object {
	made := x.put(o, s, skill.path+"/versions", nil)
	s.drop(made) // it has another path than its id says
	latest, _ := strconv.Atoi(skill.look("latest_version").Str)
	number := strconv.Itoa(latest + 1)
	made.path, made.content = skill.path+"/versions/"+number, x.ask.held
	made.fields["version"], made.fields["skill_id"] = number, skill.id()
	made.fields["name"], made.fields["description"] = skill.fields["name"], skill.fields["description"]
	s.add(made)
	skill.fields["latest_version"] = number
	return made
}

// bundle is the content of a version.
func (x *exchange) bundle(s *shelf, path string) any {
	one := s.byPath[path]
	if one == nil {
		return missing(path)
	}
	return func() { x.send("application/zip", one.content) }
}

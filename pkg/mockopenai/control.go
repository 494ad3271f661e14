package mockopenai

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
)

// control answers the paths that begin with an underscore. Mistakes are plain text, for whoever typed them.
func (s *Server) control(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /_stats":
		writeControl(w, s.Stats())
	case "GET /_requests":
		writeControl(w, s.Requests())
	case "POST /_reset":
		s.Reset()
	case "POST /_config":
		s.postConfig(w, r)
	case "POST /_fault":
		s.postFault(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *Server) postConfig(w http.ResponseWriter, r *http.Request) {
	var err error
	s.Configure(func(set *Settings) {
		changed := *set
		changed.Accounts = maps.Clone(set.Accounts) // of a mistake nothing may stay
		if err = decode(r, &changed); err == nil {
			*set = changed
		}
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeControl(w, s.plan.Load().Settings)
}

func (s *Server) postFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	err := decode(r, &f)
	if err == nil {
		err = f.check()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.faults.set(f)
}

// decode reads one JSON document and takes no field it does not know: a fault that was misspelt would never strike.
func decode(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("cannot read the body: %w", err)
	}
	return nil
}

func writeControl(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) // an error means that nobody listens any more
}

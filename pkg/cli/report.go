package cli

import (
	"encoding/json"
	"fmt"
)

// finding is what one check found.
type finding struct {
	Name    string  `json:"name"`
	OK      bool    `json:"ok"`
	Skipped bool    `json:"skipped,omitempty"` // it could not be checked here, which is no failure
	Text    string  `json:"text"`
	Figures figures `json:"figures,omitempty"`
}

type figures map[string]any

// report tells findings as they come, or all at the end as JSON.
type report struct {
	s   *session
	all []finding
}

func (r *report) add(found ...finding) {
	for _, f := range found {
		r.all = append(r.all, f)
		if r.s.json {
			continue
		}
		word := "FAILED"
		switch {
		case f.Skipped:
			word = "-"
		case f.OK:
			word = "ok"
		}
		fmt.Fprintf(r.s.Out, "%-7s %-12s %s\n", word, f.Name, oneLine(f.Text))
	}
}

// end sums up. err is why the rest was not checked.
func (r *report) end(err error) error {
	failed := 0
	for _, f := range r.all {
		if !f.OK && !f.Skipped {
			failed++
		}
	}
	if r.s.json {
		body := struct {
			OK       bool      `json:"ok"`
			Error    string    `json:"error,omitempty"`
			Findings []finding `json:"findings"`
		}{OK: failed == 0 && err == nil, Findings: r.all}
		if err != nil {
			body.Error = oneLine(err.Error())
		}
		text, _ := json.Marshal(body) // texts and numbers
		if err := r.s.raw(text); err != nil {
			return err
		}
	}
	switch {
	case err != nil && r.s.json:
		return errTold
	case err != nil:
		return fmt.Errorf("doctor: %w", err)
	case failed > 0:
		r.s.say("%d of %d checks failed", failed, len(r.all))
		return errTold
	default:
		return nil
	}
}

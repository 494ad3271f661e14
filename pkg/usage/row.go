package usage

import (
	"errors"
	"fmt"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// A row of the journal is the packed request and one byte more: what counts of the record and is not in the request. What is
// read from a row counts like the record that it was made of, which is why sums count whole microseconds: requests have no
// smaller ones.
const (
	byModel     byte = 1 << iota // it counts for its model by name
	byOther                      // it counts for "other"
	wasCut                       // Record.Cut
	wasBroken                    // Record.Broken
	wasGone                      // Record.Gone
	wasUnpriced                  // Record.Unpriced
)

// appendRow makes a row of the packed request of a record that counts for the model of that name.
func appendRow(request []byte, rec *proxy.Record, model string) []byte {
	var extra byte
	switch model {
	case "":
	case other:
		extra |= byOther
	default:
		extra |= byModel
	}
	if rec.Cut {
		extra |= wasCut
	}
	if rec.Broken {
		extra |= wasBroken
	}
	if rec.Gone {
		extra |= wasGone
	}
	if rec.Unpriced {
		extra |= wasUnpriced
	}
	return append(request, extra)
}

// row is a row that was read.
type row struct {
	request []byte
	rec     *proxy.Record // what counts of it
	model   string        // for which it counts
	ended   time.Time
}

var errRow = errors.New("not a row of usage")

func readRow(text []byte) (row, error) {
	if len(text) == 0 {
		return row{}, errRow
	}
	request, extra := text[:len(text)-1], text[len(text)-1]
	r, err := state.UnpackRequest(request)
	if err != nil {
		return row{}, fmt.Errorf("%w: %w", errRow, err)
	}
	rec := &proxy.Record{Client: r.Client, Model: r.Model, Status: r.Status, Usage: r.Usage, Cost: r.Cost,
		Priced: r.Priced, Unpriced: extra&wasUnpriced != 0, Total: r.Total,
		Cut: extra&wasCut != 0, Broken: extra&wasBroken != 0, Gone: extra&wasGone != 0}
	for _, a := range r.Attempts {
		rec.Attempts = append(rec.Attempts, proxy.Attempt{Key: a.Key, Outcome: readOutcome(a.Outcome), Took: a.Took})
	}
	model := ""
	switch {
	case extra&byOther != 0:
		model = other
	case extra&byModel != 0:
		model = r.Model
	}
	return row{request, rec, model, r.At.Add(r.Total)}, nil
}

// readOutcome is an outcome that counts like the one of that name.
func readOutcome(name string) proxy.Outcome {
	switch name {
	case proxy.Served.String():
		return proxy.Served
	case proxy.CallerGone.String():
		return proxy.CallerGone
	default:
		return proxy.KeyFailed
	}
}

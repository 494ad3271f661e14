package usage

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// drawAnyRecord draws a record with everything that counts, and names that need care.
func drawAnyRecord(t *rapid.T) *proxy.Record {
	rec := drawRecord(t)
	rec.ID = rapid.StringN(1, 10, -1).Draw(t, "id")
	rec.Start = time.Unix(rapid.Int64Range(1, 1<<33).Draw(t, "start"), 0)
	rec.Broken = rapid.Bool().Draw(t, "broken")
	rec.Model = rapid.OneOf(rapid.SampledFrom([]string{"", "other", "m1", "\xff\xfe"}), rapid.String()).Draw(t, "model")
	rec.Key = rapid.SampledFrom([]string{"", "k1", "k2"}).Draw(t, "last key")
	rec.Usage = openai.Usage{Input: rapid.Int64Min(0).Draw(t, "input"), Cached: rapid.Int64Min(0).Draw(t, "cached"),
		Output: rapid.Int64Min(0).Draw(t, "output"), Reasoning: rapid.Int64Min(0).Draw(t, "reasoning")}
	if rec.Priced = rapid.Bool().Draw(t, "priced"); rec.Priced {
		rec.Cost = rapid.Int64Min(0).Draw(t, "cost")
	}
	rec.Unpriced = rapid.Bool().Draw(t, "unpriced")
	for i := range rec.Attempts {
		rec.Attempts[i].Outcome = proxy.Outcome(rapid.IntRange(int(proxy.Served), int(proxy.StreamCut)).Draw(t, "outcome"))
		rec.Attempts[i].Took = time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "took"))
	}
	return rec
}

// What is read from the journal counts like the record that was written, and is remembered byte for byte.
func TestRowsCountLikeTheirRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		named := names{}
		for range rapid.IntRange(1, 5).Draw(t, "records") {
			rec := drawAnyRecord(t)
			model := named.of(rec)
			r := remembered(rec, "r1", nil)
			request := r.Pack()
			before := bytes.Clone(request)
			got, err := readRow(appendRow(request, rec, model))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.request, before) {
				t.Fatalf("the request\n%s\nis read as\n%s", before, got.request)
			}
			live, replayed := sums{}, sums{}
			live.add(rec, model)
			replayed.add(got.rec, got.model)
			if !reflect.DeepEqual(live.list(), replayed.list()) {
				t.Fatalf("%+v counts as\n%+v\nand from its row as\n%+v", rec, live.list(), replayed.list())
			}
		}
	})
}

func TestRowsThatAreNone(t *testing.T) {
	for _, text := range []string{"", "x", "{}", "[]\x00", "{\"i\":1}\x00"} {
		if r, err := readRow([]byte(text)); !errors.Is(err, errRow) {
			t.Errorf("%q is read as %+v, %v", text, r, err)
		}
	}
}

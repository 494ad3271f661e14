package admission

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// What is expected is the 95th percentile of the latest answers, however many there were before.
func TestOutputsExpect(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Int64Range(0, 20), 1, 3*outputsKept).Draw(t, "outputs")
		o := newOutputs()
		for _, n := range all {
			o.see("team", "gpt", n)
		}
		latest := slices.Sorted(slices.Values(all[max(0, len(all)-outputsKept):]))
		if got, want := o.expect("team", "gpt"), latest[(len(latest)*95+99)/100-1]; got != want {
			t.Fatalf("%d, want %d", got, want)
		}
	})
}

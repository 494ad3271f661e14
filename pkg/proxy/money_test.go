package proxy

import (
	"encoding/json"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// What is written is read again, and a reader with binary fractions of 64 bits loses nothing either.
func TestDollarText(t *testing.T) {
	for nano, want := range map[int64]string{0: "0", 1: "0.000000001", 1_500_000_000: "1.5", 20_000_000_000: "20", -2_500_000_000: "-2.5",
		math.MinInt64: "-9223372036.854775808", math.MaxInt64: "9223372036.854775807"} {
		if got := DollarText(nano); got != want {
			t.Errorf("%d: %s, want %s", nano, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		nano := rapid.Int64Range(0, 1<<53-1).Draw(t, "nano-dollars")
		text := DollarText(nano)
		if back, err := NanoDollars(text); err != nil || back != nano {
			t.Fatalf("%s is %d, %v, want %d", text, back, err, nano)
		}
		var f float64
		if err := json.Unmarshal([]byte(text), &f); err != nil || int64(math.Round(f*1e9)) != nano {
			t.Fatalf("%s is %v, %v, want %d", text, f, err, nano)
		}
	})
}

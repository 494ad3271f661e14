package proxy

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Money is whole nano-dollars everywhere: no binary fraction ever stands for it.
const (
	nano   = 1_000_000_000
	places = 9 // decimals of a dollar that count
)

// Why a text is no amount of money.
var (
	ErrNotDecimal = errors.New("not plain decimal dollars")
	ErrTooFine    = errors.New("more than 9 decimals")
)

// NanoDollars reads plain decimal dollars exactly: "20", "0.5". What is too large for 64 bits is the largest there is.
func NanoDollars(text string) (int64, error) {
	whole, part, _ := strings.Cut(text, ".")
	part = strings.TrimRight(part, "0")
	if strings.Trim(whole+part, "0123456789") != "" || whole == "" {
		return 0, ErrNotDecimal
	}
	if len(part) > places {
		return 0, ErrTooFine
	}
	n, err := strconv.ParseInt(whole+part+strings.Repeat("0", places-len(part)), 10, 64)
	if err != nil {
		return math.MaxInt64, nil
	}
	return n, nil
}

// DollarText is an amount as plain decimal dollars, exactly: "0.5". It is a number in JSON too, and one that loses nothing
// there: below 9 million dollars each nano-dollar is another binary fraction of 64 bits.
func DollarText(nanoUSD int64) string {
	sign, n := "", uint64(nanoUSD)
	if nanoUSD < 0 {
		sign, n = "-", -n
	}
	text := fmt.Sprintf("%s%d.%09d", sign, n/nano, n%nano)
	return strings.TrimRight(strings.TrimRight(text, "0"), ".")
}

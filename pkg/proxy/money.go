package proxy

import (
	"errors"
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
func DollarText(nanoUSD int64) string { return string(AppendDollars(nil, nanoUSD)) }

// AppendDollars appends the same text.
func AppendDollars(b []byte, nanoUSD int64) []byte { return AppendDecimal(b, nanoUSD, nano) }

// AppendDecimal appends n parts of a unit as a plain decimal number, exactly: of thousandths "1.5". How many parts a unit
// has is a power of ten.
func AppendDecimal(b []byte, n int64, parts uint64) []byte {
	left := uint64(n)
	if n < 0 {
		b, left = append(b, '-'), -left
	}
	b = strconv.AppendUint(b, left/parts, 10)
	if left %= parts; left == 0 {
		return b
	}
	point := len(b)
	b = strconv.AppendUint(b, left+parts, 10) // the digit before the decimals makes room for the point
	b[point] = '.'
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	return b
}

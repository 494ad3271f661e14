package state

import (
	"strconv"
	"strings"
	"time"
)

// Kind is what usage is counted for.
type Kind string

// The kinds. The total has an empty ID. OfPair is one client with one model; its ID is Pair, and it is kept in series only.
const (
	OfAll    Kind = "total"
	OfKey    Kind = "key"
	OfClient Kind = "client"
	OfModel  Kind = "model"
	OfPair   Kind = "client-model"
)

// Kinds are all there are.
var Kinds = [5]Kind{OfAll, OfKey, OfClient, OfModel, OfPair}

// Pair is the ID of a client with a model. Clients have no slash in their names.
func Pair(client, model string) string { return client + "/" + model }

// Usage is what one key, client, model, or all of them used.
type Usage struct {
	Kind Kind
	ID   string
	Counts
}

// Totals are all usage counted since a time.
type Totals struct {
	Since time.Time
	Usage []Usage
}

// Counts are amounts that only grow.
type Counts struct {
	Requests  int64
	Successes int64
	Failures  int64
	Input     int64 // tokens; Cached is a part of it
	Cached    int64
	Output    int64 // tokens; Reasoning is a part of it
	Reasoning int64
	Time      int64 // ms that the requests took, all together
	Cost      int64 // nano-dollars
	Unpriced  int64 // requests that used something whose price nobody knows; Cost lacks theirs
	// Latency counts finished requests by their whole duration: bucket i holds those of at most LatencyBound(i).
	Latency [LatencyBuckets]int64
}

// Amount is one of the counts, by its name.
type Amount struct {
	Name string
	At   *int64
}

// AmountCount is how many amounts there are.
const AmountCount = 10

// Amounts are all counts but the latencies: the one list of them. Stores write them by name, or by their place here: a new
// one goes to the end, and none is taken out.
func (c *Counts) Amounts() [AmountCount]Amount {
	return [...]Amount{{"requests", &c.Requests}, {"successes", &c.Successes}, {"failures", &c.Failures}, {"input", &c.Input},
		{"cached", &c.Cached}, {"output", &c.Output}, {"reasoning", &c.Reasoning}, {"time", &c.Time},
		{"cost", &c.Cost}, {"unpriced", &c.Unpriced}}
}

// Plus adds o to c.
func (c *Counts) Plus(o Counts) {
	more := o.Amounts()
	for i, a := range c.Amounts() {
		*a.At += *more[i].At
	}
	for i := range c.Latency {
		c.Latency[i] += o.Latency[i]
	}
}

// Pack writes the amounts in their order, as "3 2 1"; zeros at the end are left out.
func (c *Counts) Pack() string {
	text, end := make([]byte, 0, 48), 0
	for i, a := range c.Amounts() {
		if i > 0 {
			text = append(text, ' ')
		}
		text = strconv.AppendInt(text, *a.At, 10)
		if *a.At != 0 {
			end = len(text)
		}
	}
	return string(text[:end])
}

// Unpack reads what Pack wrote. What it does not know is left out: amounts of a newer version, and what is no number.
func Unpack(text string) (c Counts) {
	for _, a := range c.Amounts() {
		var word string
		word, text, _ = strings.Cut(text, " ")
		*a.At, _ = strconv.ParseInt(word, 10, 64)
	}
	return c
}

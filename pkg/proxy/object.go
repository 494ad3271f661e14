package proxy

import (
	"time"

	"openai-api-proxy/pkg/openai"
)

// ObjectID names something that is stored upstream.
type ObjectID struct {
	Family openai.Family
	ID     string
}

// Object is something that is stored upstream, in one account.
type Object struct {
	ObjectID
	Account string
	Created time.Time // as the upstream says, in whole seconds; it is what lists are sorted by
}

// ObjectQuery says which objects of a family are wanted. They are sorted by when they were made, and those of one second by
// their ids.
type ObjectQuery struct {
	Family    openai.Family
	Ascending bool
	// From is the object behind which the page begins, which may have been forgotten not long ago: who deletes
	// what a page has can still ask for the next. Empty: at the beginning.
	From  string
	Limit int
}

// ObjectPage is an answer to an ObjectQuery.
type ObjectPage struct {
	Objects []Object
	More    bool // there are others behind them
}

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

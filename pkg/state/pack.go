package state

import (
	"bytes"
	"encoding/json"
	"strconv"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// usualRoom is more than most requests need when they are packed.
const usualRoom = 512

// Pack is the request as stores write it: what encoding/json makes of a remembered, put together by hand because each
// request waits for it. It has no newline, which stores put between two. There is room for one byte behind it.
func (r *Request) Pack() []byte {
	var room [usualRoom]byte
	text := r.AppendPacked(room[:0])
	return append(make([]byte, 0, len(text)+2), text...)
}

// AppendPacked appends it as Pack writes it.
func (r *Request) AppendPacked(to []byte) []byte {
	m := members(append(to, `{"i":`...))
	m = proxy.AppendText(m, r.ID)
	m = strconv.AppendInt(append(m, `,"t":`...), r.At.UnixMilli(), 10)
	m = m.text("e", besides(r.Method, usualMethod))
	m = m.text("o", r.Operation)
	m = m.text("c", r.Client)
	m = m.text("a", r.ClientIP)
	m = m.text("k", r.Key)
	m = m.text("m", r.Model)
	m = m.flag("s", r.Stream)
	m = m.number("h", int64(besides(r.Status, usualStatus)))
	m = m.text("r", besides(r.Outcome, usualOutcome))
	m = m.text("f", r.Fault)
	m = m.text("x", r.Cause)
	m = m.tries(r)
	m = m.usage(r)
	m = m.number("p", r.FirstByte.Microseconds())
	m = m.number("d", r.Total.Microseconds())
	m = m.number("y", r.BytesIn)
	m = m.number("z", r.BytesOut)
	m = m.text("q", r.Upstream)
	m = m.text("g", r.Replica)
	m = m.rest(r)
	return append(m, '}')
}

// members are those of a JSON object, as far as it is written. What is empty is left out.
type members []byte

// name begins a member; names need no escapes.
func (m members) name(name string) members {
	if m[len(m)-1] != '{' {
		m = append(m, ',')
	}
	m = append(m, '"')
	m = append(m, name...)
	return append(m, '"', ':')
}

func (m members) text(name, value string) members {
	if value == "" {
		return m
	}
	return proxy.AppendText(m.name(name), value)
}

func (m members) number(name string, n int64) members {
	if n == 0 {
		return m
	}
	return strconv.AppendInt(m.name(name), n, 10)
}

func (m members) flag(name string, is bool) members {
	if !is {
		return m
	}
	return append(m.name(name), "true"...)
}

func (m members) tries(r *Request) members {
	if len(r.Attempts) == 0 {
		return m
	}
	m = append(m.name("n"), '[')
	for i, a := range r.Attempts {
		if i > 0 {
			m = append(m, ',')
		}
		m = append(m, '{')
		m = m.text("k", besides(a.Key, r.Key))
		m = m.text("a", besides(a.Account, a.Key))
		m = m.text("r", besides(a.Outcome, usualTry))
		m = m.number("h", int64(a.Status))
		m = m.number("d", a.Took.Microseconds())
		m = append(m, '}')
	}
	return append(m, ']')
}

func (m members) usage(r *Request) members {
	u, basis := r.Usage, r.Usage.Basis
	if u.Input|u.Cached|u.Output|u.Reasoning != 0 {
		basis = besides(basis, openai.Exact)
		m = strconv.AppendInt(append(m.name("u"), '['), u.Input, 10)
		m = strconv.AppendInt(append(m, ','), u.Cached, 10)
		m = strconv.AppendInt(append(m, ','), u.Output, 10)
		m = strconv.AppendInt(append(m, ','), u.Reasoning, 10)
		m = append(m, ']')
	}
	if m = m.text("b", string(basis)); r.Priced {
		m = strconv.AppendInt(m.name("v"), r.Cost, 10)
	}
	return m
}

// rest is what few requests have.
func (m members) rest(r *Request) members {
	if len(r.Why) > 0 && json.Valid(r.Why) {
		var why bytes.Buffer
		_ = json.Compact(&why, r.Why) // it is valid
		m = append(m.name("w"), why.Bytes()...)
	}
	if b := r.Bodies; b != nil {
		m = append(m.name("l"), '{')
		m = m.text("request", b.Request)
		m = m.text("response", b.Response)
		m = append(m.flag("cut", b.Cut), '}')
	}
	return m
}

// besides is the value unless it is the usual one, which is left out. A value that is empty is never written, so it must be
// one that does not occur.
func besides[V comparable](value, usual V) (rest V) {
	if value == usual {
		return rest
	}
	return value
}

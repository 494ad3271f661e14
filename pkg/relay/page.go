package relay

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"openai-api-proxy/pkg/proxy"
)

// paging says which objects of a family are wanted, and in what order.
type paging struct {
	query     proxy.ObjectQuery
	backwards bool // the page ends where it was to begin: it was asked for what comes before
	filters   []filter
}

// filter lets through what has the value at the path.
type filter struct {
	path  []string
	value string
}

// readPaging reads the query of a list. What it cannot do is refused: a filter that is passed over would show too much.
func readPaging(call *proxy.Call) (p paging, err error) {
	l := call.Op.Objects.Lists
	p.query = proxy.ObjectQuery{Family: l.Family, Ascending: l.Ascending, Limit: int(min(l.Limit, mostListed))}
	values, err := url.ParseQuery(call.Query)
	if err != nil {
		return p, &proxy.Fault{Kind: proxy.InvalidRequest, Public: "the query could not be read", Err: err}
	}
	for name, all := range values {
		value := all[len(all)-1]
		switch {
		case slices.Contains(l.Filters, topOf(name)) && (value != "" || strings.HasSuffix(name, "]")):
			p.filters = append(p.filters, filter{pathOf(name), value})
		case value == "":
		case name == "limit":
			p.query.Limit, err = readLimit(value, l.Most)
		case name == "order" && (value == "asc" || value == "desc"):
			p.query.Ascending = value == "asc"
		case name == "after" && values.Get("before") == "":
			p.query.From = value
		case name == "before" && l.Before && values.Get("after") == "":
			p.query.From, p.backwards = value, true
		case name == "order_by" && value == "created_at":
		default:
			err = &proxy.Fault{Kind: proxy.InvalidRequest, Param: clippedName(name),
				Public: "with more than one account or client a list cannot be asked for this"}
		}
		if err != nil {
			return p, err
		}
	}
	if p.backwards {
		p.query.Ascending = !p.query.Ascending
	}
	return p, nil
}

func readLimit(value string, most int64) (int, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, &proxy.Fault{Kind: proxy.InvalidRequest, Param: "limit", Public: "limit must be a number from 1 to " + strconv.FormatInt(most, 10)}
	}
	return int(min(n, mostListed)), nil
}

// topOf is the field that a name like metadata[key] begins with.
func topOf(name string) string {
	top, _, _ := strings.Cut(name, "[")
	return top
}

// pathOf are the names of the fields in it.
func pathOf(name string) []string {
	top, inner, nested := strings.Cut(name, "[")
	if !nested {
		return []string{top}
	}
	return []string{top, strings.TrimSuffix(inner, "]")}
}

func clippedName(name string) string { return name[:min(len(name), 64)] }

// matches reports whether an object passes all filters.
func (p *paging) matches(object []byte) bool {
	for _, f := range p.filters {
		value := gjson.ParseBytes(object)
		for _, name := range f.path {
			value = member(value, name)
		}
		if !f.lets(value) {
			return false
		}
	}
	return true
}

// lets reports whether the filter lets a value through. One that is not there is not the empty text, and null is a field that has
// no value, or that is not there.
func (f filter) lets(value gjson.Result) bool {
	if value.Type == gjson.Null {
		return len(f.path) == 1 && f.value == "null"
	}
	return value.String() == f.value
}

// member is a member by its name, which may be like a path.
func member(of gjson.Result, name string) (found gjson.Result) {
	of.ForEach(func(key, value gjson.Result) bool {
		if key.Str == name {
			found = value
		}
		return true
	})
	return found
}

// body is the page in OpenAI's form.
func (l *lister) body() []byte {
	if l.backwards {
		slices.Reverse(l.all)
		slices.Reverse(l.ids)
	}
	first, last := "null", "null"
	if n := len(l.ids); n > 0 {
		first, last = quoted(l.ids[0]), quoted(l.ids[n-1])
	}
	b := append(make([]byte, 0, l.size+len(l.all)+200), `{"object":"list","data":[`...)
	for i, text := range l.all {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, text...)
	}
	b = append(b, `],"first_id":`+first+`,"last_id":`+last+`,"has_more":`...)
	return append(strconv.AppendBool(b, l.more), '}')
}

func quoted(id string) string {
	text, _ := json.Marshal(id) // a string always marshals
	return string(text)
}

// callerLeft reports whether an error only says that the caller left, or that another one was first.
func callerLeft(err error) bool {
	var f *proxy.Fault
	return errors.As(err, &f) && f.Kind == proxy.CallerLeft
}

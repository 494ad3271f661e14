package admin

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// query reads the parameters of a request. Each is taken by name, which makes the name a known one; end then refuses the
// rest: a filter that is misspelt would otherwise be one that lets everything through. An empty value counts as absent.
// The first mistake is kept.
type query struct {
	values url.Values
	known  []string
	err    error
}

func queryOf(c *gin.Context) *query {
	values, err := url.ParseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return &query{err: wrong("", "the query cannot be read")}
	}
	return &query{values: values}
}

func (q *query) wrong(name, text string) {
	if q.err == nil {
		q.err = wrong(name, name+" "+text)
	}
}

// text is a parameter as it was sent, at most 256 bytes of it.
func (q *query) text(name string) string {
	q.known = append(q.known, name)
	given := q.values[name]
	if len(given) > 1 {
		q.wrong(name, "may be given once only")
	}
	if len(given) == 0 {
		return ""
	}
	if len(given[0]) > 256 {
		q.wrong(name, "is too long")
	}
	return given[0]
}

// word is a parameter that must be one of some words.
func (q *query) word(name string, words ...string) string {
	text := q.text(name)
	if text != "" && !slices.Contains(words, text) {
		q.wrong(name, "must be one of "+strings.Join(words, ", "))
	}
	return text
}

// words is a parameter that names one or more of some words, with commas between them.
func (q *query) words(name string, words ...string) []string {
	all := q.list(name)
	for _, text := range all {
		if !slices.Contains(words, text) {
			q.wrong(name, "must be of "+strings.Join(words, ", "))
		}
	}
	return all
}

// list is a parameter with commas in it.
func (q *query) list(name string) []string {
	text := q.text(name)
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

func (q *query) number(name string, fallback, least, most int64) int64 {
	text := q.text(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		q.wrong(name, "must be a whole number from "+strconv.FormatInt(least, 10)+" to "+strconv.FormatInt(most, 10))
		return fallback
	}
	return n
}

// moment is a time as RFC 3339 writes it; the zero time when it is absent.
func (q *query) moment(name string) time.Time {
	text := q.text(name)
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		q.wrong(name, "must be a moment such as 2030-01-01T00:00:00Z")
	}
	return t.UTC()
}

// end is the first mistake, if there is one. The names of what is unknown are not repeated.
func (q *query) end() error {
	if q.err != nil {
		return q.err
	}
	for name := range q.values {
		if !slices.Contains(q.known, name) {
			if len(q.known) == 0 {
				return wrong("", "this takes no query parameters")
			}
			return wrong("", "unknown query parameter; there are "+strings.Join(q.known, ", "))
		}
	}
	return nil
}

// noQuery refuses all parameters.
func noQuery(c *gin.Context) error { return queryOf(c).end() }

package mockopenai

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// mostHits bounds the results of a search; usualHits are those of one that does not say.
const mostHits, usualHits = 50, 10

// search is POST /v1/vector_stores/{id}/search. It knows no meaning: what scores is how many words of the query a file has.
func (x *exchange) search(s *shelf, store *object) any {
	s.work(store.path)
	query := x.ask.doc.Get("query")
	if !query.Exists() {
		return lacking("query")
	}
	most := int64(usualHits)
	if n := x.ask.doc.Get("max_num_results"); n.Exists() {
		most = n.Int()
	}
	if most < 1 || most > mostHits {
		return badRequest("max_num_results", "max_num_results must be from 1 to 50.")
	}
	queries := []string{}
	for _, one := range query.Array() { // of a text that is the text
		queries = append(queries, one.String())
	}
	filter, least := x.ask.doc.Get("filters"), x.ask.doc.Get("ranking_options.score_threshold").Float()
	hits := []hit{}
	for _, file := range s.in(store.path + "/files") {
		fits, known := passes(file, filter)
		if !known {
			return badRequest("filters", "The mock knows the filters eq, ne, and, or only.")
		}
		text := s.textOf(file.id())
		if score := likeness(queries, text); fits && file.fields["status"] == "completed" && score >= least {
			hits = append(hits, hit{file.id(), s.nameOf(file.id()), score, file.fields["attributes"], []chunk{{"text", text}}})
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return cmp.Compare(b.Score, a.Score) })
	more := int64(len(hits)) > most
	return map[string]any{"object": "vector_store.search_results.page", "search_query": queries, "data": hits[:min(int64(len(hits)), most)],
		"has_more": more, "next_page": nil}
}

// hit is a file that a search found.
type hit struct {
	FileID     string  `json:"file_id"`
	Filename   string  `json:"filename"`
	Score      float64 `json:"score"`
	Attributes any     `json:"attributes"`
	Content    []chunk `json:"content"`
}

// chunk is a part of the text of a file.
type chunk struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// contentPage is GET /v1/vector_stores/{id}/files/{file}/content: what was read out of the file.
func contentPage(s *shelf, file *object) any {
	return map[string]any{"object": "vector_store.file_content.page", "data": []chunk{{"text", s.textOf(file.id())}},
		"has_more": false, "next_page": nil}
}

// textOf is what a file holds.
func (s *shelf) textOf(id string) string {
	if file := s.byPath["/v1/files/"+id]; file != nil {
		return string(file.content)
	}
	return ""
}

func (s *shelf) nameOf(id string) string {
	if file := s.byPath["/v1/files/"+id]; file != nil {
		return file.text("filename")
	}
	return ""
}

// likeness is the share of the words of the queries that a text has.
func likeness(queries []string, text string) float64 {
	have, words := strings.Fields(strings.ToLower(text)), strings.Fields(strings.ToLower(strings.Join(queries, " ")))
	found := 0
	for _, word := range words {
		if slices.Contains(have, word) {
			found++
		}
	}
	return float64(found) / float64(max(len(words), 1))
}

// passes reports whether the attributes of a file pass a filter, and whether the filter is known.
func passes(file *object, filter gjson.Result) (fits, known bool) {
	if !filter.Exists() {
		return true, true
	}
	have, want := file.value("attributes").Map()[filter.Get("key").Str], filter.Get("value")
	switch kind := filter.Get("type").Str; kind {
	case "eq":
		return have.Exists() && have.String() == want.String(), true
	case "ne":
		return have.String() != want.String(), true
	case "and", "or":
		fits = kind == "and"
		for _, inner := range filter.Get("filters").Array() {
			one, known := passes(file, inner)
			if !known {
				return false, false
			}
			if one != (kind == "and") {
				fits = one // which settles it
			}
		}
		return fits, true
	}
	return false, false
}

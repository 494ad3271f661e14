package mockopenai

import "strings"

// categories are those of omni-moderation-latest.
var categories = []string{
	"harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
	"self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
}

// moderate is POST /v1/moderations: nothing is ever flagged.
func (x *exchange) moderate() {
	n := inputs(x.ask.doc.Get("input"))
	if n == 0 {
		x.refuse(*badRequest("input", "'input' must not be empty."))
		return
	}
	model := x.ask.quoted
	if model == "" {
		model = `"omni-moderation-latest"`
	}
	result := `{"flagged":false,"categories":` + ofEach("false") + `,"category_scores":` + ofEach("0.0001") +
		`,"category_applied_input_types":` + ofEach(`["text"]`) + `}`
	results := strings.Repeat(","+result, n)[1:]
	x.json([]byte(`{"id":"modr-` + x.id + `","model":` + model + `,"results":[` + results + `]}`))
}

// ofEach is an object with the same value for each category.
func ofEach(value string) string {
	fields := make([]string, len(categories))
	for i, c := range categories {
		fields[i] = `"` + c + `":` + value
	}
	return "{" + strings.Join(fields, ",") + "}"
}

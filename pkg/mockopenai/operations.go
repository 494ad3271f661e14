package mockopenai

// route is a method and an unescaped path.
type route struct{ method, path string }

// operation is how a route is answered.
type operation struct {
	serve       func(*exchange)
	lean        bool // large bodies are only peeked at
	modelNeeded bool
	bodiless    bool // the body may be empty
	keeps       bool // files are stored
}

// operations are all but GET /v1/models/{model}, whose path varies. What a decision is nobody knows yet: it stands for
// the operations that come after us.
var operations = map[route]operation{
	{"POST", "/v1/chat/completions"}:       {serve: (*exchange).chat, lean: true, modelNeeded: true},
	{"POST", "/v1/completions"}:            {serve: (*exchange).complete, lean: true, modelNeeded: true},
	{"POST", "/v1/responses"}:              {serve: (*exchange).respond, lean: true},
	{"POST", "/v1/responses/compact"}:      {serve: (*exchange).compact},
	{"POST", "/v1/responses/input_tokens"}: {serve: (*exchange).countInput},
	{"POST", "/v1/embeddings"}:             {serve: (*exchange).embed, modelNeeded: true},
	{"POST", "/v1/moderations"}:            {serve: (*exchange).moderate},
	{"POST", "/v1/images/generations"}:     {serve: (*exchange).generateImage},
	{"POST", "/v1/images/edits"}:           {serve: (*exchange).editImage},
	{"POST", "/v1/images/variations"}:      {serve: (*exchange).varyImage},
	{"POST", "/v1/audio/speech"}:           {serve: (*exchange).speak, modelNeeded: true},
	{"POST", "/v1/audio/transcriptions"}:   {serve: (*exchange).transcribe, modelNeeded: true},
	{"POST", "/v1/audio/translations"}:     {serve: (*exchange).translate, modelNeeded: true},
	{"POST", "/v1/decisions"}:              {serve: (*exchange).decide},
	{"GET", "/v1/realtime"}:                {serve: (*exchange).converse},
	{"GET", "/v1/responses"}:               {serve: (*exchange).converse},
	{"GET", "/v1/models"}:                  {serve: (*exchange).models},
	{"HEAD", "/v1/models"}:                 {serve: (*exchange).models},
}

func (x *exchange) decide() {
	input := x.ask.doc.Get("input").Raw
	if input == "" {
		input = "null"
	}
	x.json([]byte(`{"object":"decision","input":` + input + `}`))
}

package mockopenai

import (
	"slices"
	"strings"
)

// missingModel is a model that no operation has. Others need not be on the list, but for GET /v1/models/{model}.
const missingModel = "missing"

var modelList = []string{
	"gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "o4-mini", "gpt-3.5-turbo-instruct", "text-embedding-3-small",
	"text-embedding-3-large", "gpt-image-1", "dall-e-2", "gpt-4o-mini-tts", "tts-1", "whisper-1", "gpt-4o-transcribe",
	"omni-moderation-latest",
}

// models is GET /v1/models.
func (x *exchange) models() {
	list := make([]string, len(modelList))
	for i, name := range modelList {
		list[i] = modelObject(name)
	}
	x.json([]byte(`{"object":"list","data":[` + strings.Join(list, ",") + `]}`))
}

// model is GET /v1/models/{model}.
func (x *exchange) model() {
	if !slices.Contains(modelList, x.ask.model) {
		x.refuse(refusals["404_model"])
		return
	}
	x.json([]byte(modelObject(x.ask.model)))
}

func modelObject(name string) string {
	return `{"id":"` + name + `","object":"model","created":1715367049,"owned_by":"system"}`
}

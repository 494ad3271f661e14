package mockopenai

import (
	"strconv"
	"strings"
)

// tinyPNG is a picture of one pixel, in base64.
const tinyPNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="

const (
	imageTokens = 272 // output of each image
	mostImages  = 10
	imageLooks  = `"background":"opaque","output_format":"png","quality":"low","size":"1024x1024"`
)

func (x *exchange) generateImage() { x.image("image_generation") }

func (x *exchange) editImage() {
	if x.hasFile("image") {
		x.image("image_edit")
	}
}

func (x *exchange) varyImage() {
	if x.hasFile("image") {
		x.ask.stream = false // variations know no streams
		x.image("")
	}
}

// hasFile refuses a form that lacks the file. JSON bodies may point to theirs.
func (x *exchange) hasFile(name string) bool {
	_, ok := x.ask.files[name]
	if ok || x.ask.form == nil {
		return true
	}
	x.refuse(*badRequest(name, "Missing required parameter: '"+name+"'."))
	return false
}

// image answers with n images, or with a stream of events whose names begin with family.
func (x *exchange) image(family string) {
	if x.ask.stream {
		x.streamImage(family)
		return
	}
	n := 1
	if s := x.ask.text("n"); s != "" {
		n, _ = strconv.Atoi(s) // what is no number is out of range
	}
	if n < 1 || n > mostImages {
		x.refuse(*badRequest("n", "'n' must be from 1 to 10."))
		return
	}
	x.bill(promptTokens, int64(n)*imageTokens)
	data := strings.Repeat(`,{"b64_json":"`+tinyPNG+`"}`, n)[1:]
	x.json([]byte(`{"created":` + created + `,` + imageLooks + `,"data":[` + data + `],"usage":` + imageUsage(n) + `}`))
}

// streamImage sends partial images, one unless partial_images says otherwise, and the whole one.
func (x *exchange) streamImage(family string) {
	partial := 1
	if s := x.ask.text("partial_images"); s != "" {
		partial, _ = strconv.Atoi(s) // what is no number means none
	}
	st := x.openEvents(namedError)
	x.bill(promptTokens, 0)
	event := func(kind, fields string) []byte {
		name := family + "." + kind
		return []byte("event: " + name + "\n" + `data: {"type":"` + name + `","b64_json":"` + tinyPNG + `","created_at":` +
			created + `,` + imageLooks + `,` + fields + "}\n\n")
	}
	for i := range partial {
		st.pause()
		st.send(event("partial_image", `"partial_image_index":`+strconv.Itoa(i)))
	}
	st.pause()
	st.send(event("completed", `"usage":`+imageUsage(1)))
	st.charge(imageTokens)
}

func imageUsage(n int) string {
	output := n * imageTokens
	return `{"total_tokens":` + strconv.Itoa(promptTokens+output) + `,"input_tokens":` + strconv.Itoa(promptTokens) +
		`,"output_tokens":` + strconv.Itoa(output) + `,"input_tokens_details":{"text_tokens":` + strconv.Itoa(promptTokens) +
		`,"image_tokens":0}}`
}

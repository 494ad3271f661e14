package mockopenai

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

const (
	usualDimensions = 1536
	mostDimensions  = 3072
	inputTokens     = 8 // of each input
)

// embed is POST /v1/embeddings: the same vector for every input.
func (x *exchange) embed() {
	n := inputs(x.ask.doc.Get("input"))
	if n == 0 {
		x.refuse(*badRequest("input", "'input' must not be empty."))
		return
	}
	dims := usualDimensions
	if d := x.ask.doc.Get("dimensions"); d.Exists() {
		dims = int(d.Int())
	}
	if dims < 1 || dims > mostDimensions {
		x.refuse(*badRequest("dimensions", "'dimensions' is out of range."))
		return
	}
	vector := x.vector(dims)
	buf := x.s.buffer()
	defer x.s.buffers.Put(buf)
	buf.WriteString(`{"object":"list","data":[`)
	for i := range n {
		if i > 0 {
			buf.WriteByte(',')
		}
		buf.WriteString(`{"object":"embedding","index":` + strconv.Itoa(i) + `,"embedding":`)
		buf.WriteString(vector)
		buf.WriteByte('}')
	}
	tokens := strconv.Itoa(n * inputTokens)
	buf.WriteString(`],"model":` + x.ask.quoted)
	buf.WriteString(`,"usage":{"prompt_tokens":` + tokens + `,"total_tokens":` + tokens + `}}`)
	x.bill(int64(n*inputTokens), 0)
	x.json(buf.Bytes())
}

// inputs is how many inputs there are: one text, one list of token numbers, or a list of either.
func inputs(v gjson.Result) int {
	list := v.Array() // a single value is a list of one, nothing a list of none
	if v.IsArray() && len(list) > 0 && list[0].Type == gjson.Number {
		return 1
	}
	return len(list)
}

// vector is an embedding in the encoding asked for.
func (x *exchange) vector(dims int) string {
	switch {
	case x.ask.text("encoding_format") == "base64":
		return packed(dims)
	case dims == usualDimensions:
		return x.s.vector()
	default:
		return floats(dims)
	}
}

func coordinate(i int) float32 { return float32(i%97)/1e4 - 0.0048 }

func floats(dims int) string {
	var out strings.Builder
	for i := range dims {
		out.WriteByte(',')
		out.WriteString(strconv.FormatFloat(float64(coordinate(i)), 'g', -1, 32))
	}
	return "[" + out.String()[1:] + "]"
}

// packed is the vector as base64 of little-endian float32, quoted.
func packed(dims int) string {
	raw := make([]byte, 0, 4*dims)
	for i := range dims {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(coordinate(i)))
	}
	return `"` + base64.StdEncoding.EncodeToString(raw) + `"`
}

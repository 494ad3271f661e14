package mockopenai

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// Speech is 16 chunks of 4 KiB, each worth four tokens.
const (
	speechChunk  = 4 << 10
	speechChunks = 16
	speechTokens = 4
)

// transcript is what is heard in every recording, one token a word.
const transcript = "The quick brown fox jumped over the lazy dog."

// speak is POST /v1/audio/speech: bytes that are always the same, or the same bytes in events.
func (x *exchange) speak() {
	x.bill(promptTokens, 0)
	if x.ask.text("stream_format") == "sse" {
		x.streamSpeech()
		return
	}
	st := x.open("audio/mpeg", nil)
	for i := range speechChunks {
		st.pause()
		st.send(sound(i))
		st.charge(speechTokens)
	}
}

func (x *exchange) streamSpeech() {
	st := x.openEvents(dataError)
	for i := range speechChunks {
		st.pause()
		audio := base64.StdEncoding.EncodeToString(sound(i))
		st.send([]byte(`data: {"type":"speech.audio.delta","audio":"` + audio + "\"}\n\n"))
		st.charge(speechTokens)
	}
	const output = speechChunks * speechTokens
	st.send([]byte(`data: {"type":"speech.audio.done","usage":{"input_tokens":` + strconv.Itoa(promptTokens) +
		`,"output_tokens":` + strconv.Itoa(output) + `,"total_tokens":` + strconv.Itoa(promptTokens+output) + "}}\n\n"))
}

// sound is chunk i of the speech: it begins like a frame of MP3, and no two chunks are alike.
func sound(i int) []byte {
	b := make([]byte, speechChunk)
	for j := range b {
		b[j] = byte(i*31 + j*7)
	}
	copy(b, []byte{0xff, 0xfb, 0x90, byte(i)})
	return b
}

// transcribe is POST /v1/audio/transcriptions.
func (x *exchange) transcribe() {
	if !x.hasFile("file") {
		return
	}
	words := strings.SplitAfter(transcript, " ")
	if x.ask.stream {
		x.streamTranscript(words)
		return
	}
	x.bill(promptTokens, int64(len(words)))
	if x.ask.text("response_format") == "text" {
		x.send("text/plain; charset=utf-8", []byte(transcript+"\n"))
		return
	}
	x.json([]byte(`{"text":"` + transcript + `","usage":` + transcriptUsage(len(words)) + `}`))
}

func (x *exchange) streamTranscript(words []string) {
	st := x.openEvents(dataError)
	x.bill(promptTokens, 0)
	for _, word := range words {
		st.token([]byte(`data: {"type":"transcript.text.delta","delta":"` + word + "\"}\n\n"))
	}
	st.send([]byte(`data: {"type":"transcript.text.done","text":"` + transcript + `","usage":` +
		transcriptUsage(len(words)) + "}\n\n"))
}

// translate is POST /v1/audio/translations, which is billed by the second and so tells no usage.
func (x *exchange) translate() {
	if !x.hasFile("file") {
		return
	}
	if x.ask.text("response_format") == "text" {
		x.send("text/plain; charset=utf-8", []byte(transcript+"\n"))
		return
	}
	x.json([]byte(`{"text":"` + transcript + `"}`))
}

func transcriptUsage(output int) string {
	return `{"type":"tokens","input_tokens":` + strconv.Itoa(promptTokens) +
		`,"input_token_details":{"text_tokens":0,"audio_tokens":` + strconv.Itoa(promptTokens) + `},"output_tokens":` +
		strconv.Itoa(output) + `,"total_tokens":` + strconv.Itoa(promptTokens+output) + `}`
}

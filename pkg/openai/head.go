package openai

// Head is what the proxy needs to know of a request body.
type Head struct {
	Model        string
	Doubled      bool  // model was given more than once; Model is the last, which is what most parsers take
	Readable     bool  // the body was whole and well-formed; false for encoded, broken or unfinished ones
	InFile       bool  // of a form that is not Readable: it breaks off within a file, and all before that was read
	Stream       bool  // the answer is asked for as server-sent events
	IncludeUsage bool  // a stream's usage was asked for by the caller itself
	Background   bool  // the work goes on after the answer
	MaxTokens    int64 // bound on the output tokens; 0: not given
	// Choices is how many answers are asked for, each of at most MaxTokens; 0: one.
	Choices int64
	// Unbounded names a field for which nobody can say beforehand how many tokens the request uses: media, objects stored
	// upstream, tools of the upstream, a field that is not known here or was given twice. Otherwise the input has no more
	// tokens than the body has bytes, but for what surrounds it.
	Unbounded string
	// Media is how many bytes of the body are images, sound or files in base64, which say nothing of their tokens.
	Media int64
	// References are the objects stored upstream that the body points at.
	References []Reference
	// Items are the ids of what earlier answers said, and the body gives back whole.
	Items []string
	// Searches names the field by which the body asks for a choice among all that an account stores.
	Searches string
	// Store is whether the answer is to be stored, as far as the body says.
	Store Choice
	// Sealed is set when the answer is to hold what its account has sealed, and no other can open.
	Sealed bool
	// Tier is the service tier that is asked for, as it is written; "": none is.
	Tier string
	// Sound is set when the answer is to be heard, too: the upstream keeps it for a while.
	Sound bool
}

// Choice is what a body says about something that it may leave open.
type Choice uint8

// The choices.
const (
	Unsaid Choice = iota
	Yes
	No
)

func choice(yes bool) Choice {
	if yes {
		return Yes
	}
	return No
}

package openai

// Head is what the proxy needs to know of a request body.
type Head struct {
	Model        string
	Doubled      bool  // model was given more than once; Model is the last, which is what most parsers take
	Readable     bool  // the body was whole and well-formed; false for encoded, broken or unfinished ones
	Stream       bool  // the answer is asked for as server-sent events
	IncludeUsage bool  // a stream's usage was asked for by the caller itself
	Background   bool  // the work goes on after the answer
	MaxTokens    int64 // bound on the output tokens; 0: not given
	// References names the fields by which the body points at objects stored upstream: "previous_response_id",
	// "conversation", "prompt.id", "file_id", "container", "vector_store_ids".
	References []string
}

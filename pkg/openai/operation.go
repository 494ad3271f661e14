package openai

import "net/http"

// Operation is one entry of the operation table.
type Operation struct {
	Method  string
	Path    string // template: "/v1/models/{model}"
	Model   ModelIn
	Unnamed bool // the model need not be named: there may be none, or an object stored upstream says it
	Repeat  Repeat
	Class   Class
	Tokens  Tokens
	Objects *Objects // what it does with objects stored upstream; nil: nothing
	Socket  bool     // it is a WebSocket: GET with an Upgrade, and nothing else
	Beyond  bool     // the official SDKs have it, and OpenAI's published description has not
}

// Free reports whether nobody pays for the tokens of the operation: it uses none, or shows those of another.
func (o Operation) Free() bool {
	return o.Tokens == TokensNone || o.Method == http.MethodGet || o.Method == http.MethodHead || o.Method == http.MethodDelete
}

// ModelIn says where an operation names its model, and so what its body is.
type ModelIn uint8

// The places.
const (
	NoModel ModelIn = iota
	ModelInJSON
	ModelInForm  // multipart/form-data; some of these operations also take JSON
	ModelInPath  // the slot named {model}
	ModelInQuery // of a WebSocket
)

// Repeat says after which outcomes an operation may be sent to another key.
type Repeat uint8

// The rules.
const (
	RepeatUnlessRefused Repeat = iota // inference and reads: also when the first attempt may have been carried out
	RepeatAfter5xx                    // creates something small: after an answer of 5xx, never after silence
	RepeatNever                       // batches, fine-tunes, videos, background work: only if certainly not executed
)

// Class says how far an operation reaches.
type Class uint8

// The classes.
const (
	Stateless      Class = iota // leaves nothing behind at the upstream
	Stateful                    // makes, shows or changes objects that are stored there
	Administration              // of an account: closed unless a setting opens it
	Minting                     // gives out what works beside the proxy: likewise
)

// Tokens says how the tokens of an operation are found out.
type Tokens uint8

// The ways.
const (
	TokensAnswered Tokens = iota // its answer tells
	TokensNone                   // it uses none, or shows those of a request that has told already
	TokensUnseen                 // no answer tells: a batch, a fine-tune, a run
)

// Objects is what an operation does with objects stored upstream.
type Objects struct {
	Slots []Family // one for each slot of the template; empty: a name within the object before it
	Makes []Made
	When  When
	Lists *Listing // nil: it lists no family
	Drops bool     // it deletes the object of its last slot
	Runs  string   // the field that names a file of requests, which are carried out; empty: none

	Beside Family // of the object beside which something is made that points at none; empty: it may be made anywhere
}

// Made is an object that an answer tells of: its id stands at the path, "data.#.id", of a JSON answer or of an event.
type Made struct {
	Family Family
	Path   string
	Begins bool // others may stand there, too: the id must begin as those of the family do
}

// assisted are the places of files that an assistant made: in a message or a step, in a list of them, or in an event that
// adds to one.
func assisted() (all []Made) {
	for _, within := range []string{"", "data.#.", "delta."} {
		for _, path := range []string{"content.#.image_file.file_id", "content.#.text.annotations.#.file_path.file_id",
			"step_details.tool_calls.#.code_interpreter.outputs.#.image.file_id"} {
			all = append(all, Made{Family: Files, Path: within + path})
		}
	}
	return all
}

// When says on what it depends whether something is made.
type When uint8

// The conditions.
const (
	Always   When = iota
	IfStored      // only if the request says store, or asks for sound
	IfKept        // unless it says that it must not be stored
)

// Listing is how a family is listed.
type Listing struct {
	Family      Family
	Limit, Most int64 // objects on a page: when nothing is said, and at most
	Ascending   bool  // when nothing is said
	Before      bool  // what comes before an object can be asked for
	Filters     []string
	Makes       []Made // of what an object on the list tells, as it does when it is shown alone
}

package admin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// streamEvery is after how many items of a list the reader gets more time.
const streamEvery = 1000

// pieces write an answer that may be long piece by piece, so that nothing of it waits for the rest. One that fails midway
// is cut, not ended.
type pieces struct {
	rc   *http.ResponseController
	out  *bufio.Writer
	item bytes.Buffer  // the value on its way
	to   *json.Encoder // writes to item

	lines bool // each value ends its line, as in a file to be read; otherwise the answer is one line, as all others are
}

// begin begins an answer. End it.
func begin(c *gin.Context) *pieces {
	c.Header("Content-Type", jsonType)
	c.Status(http.StatusOK)
	s := &pieces{rc: http.NewResponseController(c.Writer), out: bufio.NewWriterSize(c.Writer, 64<<10)}
	s.to = json.NewEncoder(&s.item)
	s.to.SetEscapeHTML(false)
	return s
}

func (s *pieces) text(t string) { _, _ = s.out.WriteString(t) } // a failure stays with the writer

func (s *pieces) value(v any) {
	s.item.Reset()
	if err := s.to.Encode(v); err != nil {
		panic(http.ErrAbortHandler) // what has begun cannot become an error any more
	}
	text := s.item.Bytes()
	if !s.lines {
		text = bytes.TrimSuffix(text, []byte("\n"))
	}
	if _, err := s.out.Write(text); err != nil {
		panic(http.ErrAbortHandler) // the reader is gone
	}
}

// list writes n values.
func (s *pieces) list(n int, at func(i int) any) {
	s.text("[")
	for i := range n {
		if i%streamEvery == 0 {
			_ = s.rc.SetWriteDeadline(time.Now().Add(writeWithin))
		}
		if i > 0 {
			s.text(",")
		}
		s.value(at(i))
	}
	s.text("]")
}

func (s *pieces) end() {
	if err := s.out.Flush(); err != nil {
		panic(http.ErrAbortHandler)
	}
	_ = s.rc.SetWriteDeadline(time.Time{})
}

package main

import (
	"bytes"
	"strconv"
)

var doneWord = []byte("[DONE]")

// chunks reads a chunked body to its end.
func (w *worker) chunks() error {
	var tail []byte // the last bytes of what was read, in case the next read ends a word
	done := false
	for {
		line, err := w.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 64)
		if err != nil {
			return err
		}
		for left := int(size); left > 0; {
			if _, err := w.r.Peek(1); err != nil {
				return err
			}
			part, _ := w.r.Peek(min(left, w.r.Buffered()))
			tail = append(tail, part[:min(len(part), len(doneWord))]...)
			done = done || bytes.Contains(part, doneWord) || bytes.Contains(tail, doneWord)
			if len(part) > len(doneWord) {
				tail = append(tail[:0], part[len(part)-len(doneWord):]...)
			}
			tail = append(tail[:0], tail[max(0, len(tail)-len(doneWord)):]...)
			left -= len(part)
			_, _ = w.r.Discard(len(part))
		}
		if _, err := w.r.Discard(len("\r\n")); err != nil {
			return err
		}
		if size == 0 {
			if w.stream && !done {
				return errAnswer
			}
			return nil
		}
	}
}

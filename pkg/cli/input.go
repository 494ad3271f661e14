package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// mostInput bounds what is read.
const mostInput = 1 << 30

// read reads a file, or standard input when there is none. With a prompt a person who types is asked for one line, which is
// not shown. Whoever interrupts is not kept waiting: the reading goroutine then ends with the process.
func (s *session) read(ctx context.Context, file, prompt string) ([]byte, error) {
	if file != "" && file != "-" {
		return os.ReadFile(file)
	}
	from := func() ([]byte, error) { return io.ReadAll(io.LimitReader(s.In, mostInput)) }
	if terminal, typed := s.In.(*os.File); typed && prompt != "" && isTerminal(s.In) {
		fmt.Fprint(s.Err, prompt)
		defer fmt.Fprintln(s.Err)
		hide(terminal, true)
		defer hide(terminal, false)
		from = func() ([]byte, error) { return bufio.NewReader(terminal).ReadBytes('\n') }
	}
	type input struct {
		text []byte
		err  error
	}
	came := make(chan input, 1)
	go func() {
		text, err := from()
		came <- input{text, err}
	}()
	select {
	case in := <-came:
		return in.text, in.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// hide keeps a terminal from showing what is typed, where the system has stty to say so.
func hide(terminal *os.File, hidden bool) {
	mode := "echo"
	if hidden {
		mode = "-echo"
	}
	p := exec.Command("stty", mode)
	p.Stdin = terminal
	_ = p.Run() // without it the line is seen, and that is all
}

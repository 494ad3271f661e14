// Package cli is the command line for operators: it speaks to a running proxy by its management API and knows nothing else
// of it. What it understands of the answers is in types.go, written after openapi.yaml of package admin; a field that is
// not used here is not named there, so that a newer proxy can say more.
//
// No command takes a secret as an argument: arguments end in the history of the shell and in the list of processes. Keys
// come from standard input or a file, the admin token from the environment or a file.
//
// Exit codes: 0 it is done, 1 it failed or the proxy refused, 2 the command line was wrong.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// The exit codes.
const (
	Done   = 0
	Failed = 1
	Misuse = 2
)

// Options are what a command line has around it.
type Options struct {
	Env func(string) (string, bool)
	In  io.Reader
	Out io.Writer // a terminal gets aligned tables, all else tab-separated ones
	Err io.Writer
}

// FromOS are the Options of this process.
func FromOS() Options {
	return Options{Env: os.LookupEnv, In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
}

// misuse is a mistake on the command line.
type misuse struct{ text string }

func (m *misuse) Error() string { return m.text }

func misused(format string, args ...any) error { return &misuse{fmt.Sprintf(format, args...)} }

// errTold means that all there is to say was said; the exit code is still 1.
var errTold = errors.New("failed")

// Knows reports whether the first word of a command line belongs to this package.
func Knows(word string) bool {
	return slices.ContainsFunc(commands(), func(c *command) bool { return c.group() == word })
}

// Run carries out a command line, whose first word Knows, and returns the exit code.
func Run(ctx context.Context, o Options, args []string) int {
	err := run(ctx, o, args)
	var wrong *misuse
	switch {
	case err == nil:
		return Done
	case errors.Is(err, errTold):
		return Failed
	case errors.As(err, &wrong):
		fmt.Fprintln(o.Err, wrong)
		return Misuse
	case ctx.Err() != nil:
		fmt.Fprintln(o.Err, "interrupted")
		return Failed
	default:
		fmt.Fprintln(o.Err, oneLine(err.Error()))
		return Failed
	}
}

func run(ctx context.Context, o Options, args []string) error {
	c, rest, err := find(args)
	if err != nil {
		return err
	}
	if c == nil { // help for a group
		fmt.Fprint(o.Out, Help(args[0]))
		return nil
	}
	s := &session{Options: o, terminal: isTerminal(o.Out)}
	helped, err := s.parse(c, rest)
	if err != nil {
		return err
	}
	if helped {
		fmt.Fprint(o.Out, c.help())
		return nil
	}
	if s.api, err = connect(o.Env, s.url); err != nil {
		return err
	}
	defer s.api.http.CloseIdleConnections()
	return c.run(ctx, s)
}

// find is the command that a line names, and the rest of the line. No command and no mistake: help is wanted for a group.
func find(args []string) (*command, []string, error) {
	all := commands()
	name, rest := args[0], args[1:]
	if len(rest) > 0 && isHelp(rest[0]) && grouped(name) {
		return nil, nil, nil
	}
	var alone *command
	var words []string
	for _, c := range all {
		if c.name == name {
			alone = c
		}
		word, in := strings.CutPrefix(c.name, name+" ")
		if !in {
			continue
		}
		if len(rest) > 0 && rest[0] == word {
			return c, rest[1:], nil
		}
		words = append(words, word)
	}
	if alone != nil {
		return alone, rest, nil
	}
	return nil, nil, misused("%s what? there are: %s\n`openai-api-proxy help %s` says more", name, strings.Join(words, ", "), name)
}

func isHelp(word string) bool {
	return word == "help" || word == "-h" || word == "-help" || word == "--help"
}

// isTerminal reports whether a person reads along.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// oneLine is a text without what would break a line, or a terminal.
func oneLine(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r >= 0x202a && r <= 0x202e {
			return ' '
		}
		return r
	}, text))
}

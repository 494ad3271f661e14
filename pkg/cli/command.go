package cli

import (
	"context"
	"errors"
	"flag"
	"io"
	"strings"
)

// command is one thing that can be done. It is made anew for every command line: its flags are its own.
type command struct {
	name  string // "keys list"
	args  string // what comes behind the flags, for the help
	about string // in a few words
	more  string // whatever else one has to know
	// least and most are how many arguments there may be; most below 0: any number.
	least, most int
	flags       func(*flag.FlagSet)
	run         func(ctx context.Context, s *session) error
}

// session is one run of a command.
type session struct {
	Options
	api      *api
	args     []string
	json     bool
	url      string
	terminal bool
}

// commands are all there are, in the order of the help.
func commands() []*command {
	return []*command{keysList(), keysShow(), keysAdd(), keysImport(), keysExport(), keysTest(), keysReset(),
		keysSwitch("enable", true), keysSwitch("disable", false), keysRemove(),
		clientsList(), clientsShow(), clientsAdd(), clientsRotate(),
		clientsSwitch("enable", true), clientsSwitch("disable", false), clientsRemove(),
		objectsList(), objectsAdopt(), objectsDisown(),
		stats(), usage(), requests(), settingsGet("settings"), settingsGet("settings get"), settingsSet(), settingsUnset(),
		replicas(), refresh(), audit(), alerts(), alertsTest(), doctor()}
}

func (c *command) group() string {
	word, _, _ := strings.Cut(c.name, " ")
	return word
}

// set makes the flags of a command with those that all commands have.
func (s *session) set(c *command) *flag.FlagSet {
	f := flag.NewFlagSet(c.name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	if c.flags != nil {
		c.flags(f)
	}
	f.StringVar(&s.url, "url", "", "`address` of the proxy, instead of PROXY_URL")
	f.BoolVar(&s.json, "json", false, "print the answers of the API as they came")
	return f
}

// parse reads flags and arguments, which may come in any order. helped: only help is wanted.
func (s *session) parse(c *command, line []string) (helped bool, err error) {
	f := s.set(c)
	for {
		if err := f.Parse(line); errors.Is(err, flag.ErrHelp) {
			return true, nil
		} else if err != nil {
			return false, c.wrong(f, err)
		}
		if f.NArg() == 0 {
			break
		}
		if ended(line, f.NArg()) { // "--": no flags behind it
			s.args = append(s.args, f.Args()...)
			break
		}
		s.args = append(s.args, f.Arg(0))
		line = f.Args()[1:]
	}
	if len(s.args) == 1 && s.args[0] == "help" && c.most == 0 {
		return true, nil
	}
	if len(s.args) < c.least || c.most >= 0 && len(s.args) > c.most {
		return false, misused("usage: %s", c.usage())
	}
	return false, nil
}

func ended(line []string, left int) bool {
	at := len(line) - left - 1
	return at >= 0 && line[at] == "--"
}

// wrong says what is wrong with the flags, and which there are.
func (c *command) wrong(f *flag.FlagSet, err error) error {
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return misused("%s\nusage: %s", unrepeated(err), c.usage())
	}
	var names []string
	f.VisitAll(func(one *flag.Flag) { names = append(names, "--"+one.Name) })
	return misused("there is no flag --%s; there are %s\nusage: %s", strings.TrimLeft(name, "-"), strings.Join(names, " "), c.usage())
}

// unrepeated is a mistake without the value that was given, which may be a secret in the wrong place.
func unrepeated(err error) string {
	text := err.Error()
	if at := strings.LastIndex(text, " for flag -"); strings.HasPrefix(text, "invalid") && at > 0 {
		return "-" + text[at+len(" for flag "):]
	}
	if name, found := strings.CutPrefix(text, "flag needs an argument: "); found {
		return "-" + name + " needs a value"
	}
	return text
}

func (c *command) usage() string {
	return strings.TrimRight("openai-api-proxy "+c.name+" [flags] "+c.args, " ")
}

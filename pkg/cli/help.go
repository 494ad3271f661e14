package cli

import (
	"cmp"
	"flag"
	"fmt"
	"strings"
)

// around is what every command needs.
const around = `
They ask the proxy at PROXY_URL (default http://127.0.0.1:10000) and show it ADMIN_TOKEN, or what is in the file that
ADMIN_TOKEN_FILE names, or, when neither is set and the proxy is on this machine, DATA_DIR/admin-token.
`

// Help is the help for what a command line names: nothing, a group of commands, or a command.
func Help(words ...string) string {
	name := strings.Join(words, " ")
	var list strings.Builder
	for _, c := range commands() {
		if c.name == name && len(words) > 0 && !grouped(name) {
			return c.help()
		}
		if name == "" || c.name == name || strings.HasPrefix(c.name, name+" ") {
			fmt.Fprintf(&list, "  %-18s %s\n", c.name, c.about)
		}
	}
	if list.Len() == 0 {
		return fmt.Sprintf("there is no command %q\n%s", oneLine(name), Help())
	}
	return "Commands that talk to a running proxy:\n" + list.String() + around +
		"`openai-api-proxy help COMMAND` says more about one of them.\n"
}

// grouped reports whether other commands begin with the name of this one.
func grouped(name string) bool {
	for _, c := range commands() {
		if strings.HasPrefix(c.name, name+" ") {
			return true
		}
	}
	return false
}

func (c *command) help() string {
	var text strings.Builder
	fmt.Fprintf(&text, "usage: %s\n\n%s.\n", c.usage(), strings.ToUpper(c.about[:1])+c.about[1:])
	if c.more != "" {
		fmt.Fprintf(&text, "%s\n", c.more)
	}
	text.WriteString("\nFlags:\n")
	new(session).set(c).VisitAll(func(f *flag.Flag) {
		value, about := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
			about += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(&text, "  %-22s %s\n", "--"+f.Name+pad(cmp.Or(value, "")), about)
	})
	return text.String()
}

func pad(value string) string {
	if value == "" {
		return ""
	}
	return " " + value
}

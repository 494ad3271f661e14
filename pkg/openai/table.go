package openai

import (
	_ "embed"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

//go:embed operations.txt
var operationsText string

// published is the operation table as it is written down.
var published = sync.OnceValue(func() []Operation {
	all, err := readTable(operationsText)
	if err != nil {
		panic(err) // it is part of the program
	}
	return all
})

// Published are the operations of OpenAI's published description, those among them that are closed.
func Published() []Operation { return append([]Operation(nil), published()...) }

// readTable reads a table in the form that it describes itself.
func readTable(text string) ([]Operation, error) {
	var all []Operation
	number := 0
	for line := range strings.Lines(text) {
		number++
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		if len(words) < 3 {
			return nil, fmt.Errorf("line %d: an operation has a method, a path and a class", number)
		}
		op, err := readOperation(words[0], words[1], words[2], words[3:])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		all = append(all, op)
	}
	for _, op := range all {
		if op.Objects != nil && op.Objects.Lists != nil {
			op.Objects.Lists.Makes = shownBy(all, op)
		}
	}
	return all, nil
}

// shownBy is of what an object tells that is on a list, which the operation says that shows it alone.
func shownBy(all []Operation, list Operation) []Made {
	for _, op := range all {
		one, below := strings.CutPrefix(op.Path, list.Path+"/")
		if below && isSlot(one) && op.Method == http.MethodGet && op.Objects != nil {
			return op.Objects.Makes
		}
	}
	return nil
}

var classes = map[string]Class{"stateless": Stateless, "stateful": Stateful, "administration": Administration, "minting": Minting}

func readOperation(method, path, class string, words []string) (Operation, error) {
	op, err := parseEntry(method + " " + path)
	if err != nil {
		return op, err
	}
	known := false
	if op.Class, known = classes[class]; !known {
		return op, fmt.Errorf("%q is no class", class)
	}
	if op.Model == ModelInJSON {
		op.Model = NoModel
	}
	if op.Class == Stateful {
		op.Objects = &Objects{Slots: slotsOf(path)}
		op.Tokens = TokensNone
	}
	for _, word := range words {
		if word == "beyond" {
			op.Beyond = true
			continue
		}
		name, value, _ := strings.Cut(word, "=")
		if !op.body(name) && !op.rule(name) && !op.object(name, value) && !op.listing(name, value) {
			return op, fmt.Errorf("%q means nothing", word)
		}
	}
	return op, nil
}

// slotsOf are the families of the slots of a template.
func slotsOf(path string) (slots []Family) {
	for segment := range strings.SplitSeq(path, "/") {
		if !isSlot(segment) {
			continue
		}
		name := segment[1 : len(segment)-1]
		if !IsFamily(name) {
			name = ""
		}
		slots = append(slots, Family(name))
	}
	return slots
}

// body reads a word that says what the body is.
func (op *Operation) body(word string) bool {
	switch word {
	case "model":
		op.Model = ModelInJSON
	case "json":
		op.Model, op.Unnamed = ModelInJSON, true
	case "form+model":
		op.Model = ModelInForm
	case "form":
		op.Model, op.Unnamed = ModelInForm, true
	case "socket":
		op.Socket = op.Method == http.MethodGet
		return op.Socket
	case "query":
		op.Model = ModelInQuery
	default:
		return false
	}
	return true
}

// rule reads a word that says what follows for repetitions and tokens.
func (op *Operation) rule(word string) bool {
	switch word {
	case "infers":
		op.Repeat = RepeatUnlessRefused
	case "once":
		op.Repeat = RepeatNever
	case "spends":
		op.Tokens = TokensAnswered
	case "free":
		op.Tokens = TokensNone
	case "unseen":
		op.Tokens = TokensUnseen
	default:
		return false
	}
	return true
}

// object reads a word that says what becomes of objects.
func (op *Operation) object(name, value string) bool {
	if op.Objects == nil {
		return false
	}
	switch {
	case name == "makes":
		family, path, found := strings.Cut(value, ":")
		family, begins := strings.CutSuffix(family, "^")
		op.Objects.Makes = append(op.Objects.Makes, Made{Family(family), path, begins})
		return found && IsFamily(family)
	case name == "assists":
		op.Objects.Makes = append(op.Objects.Makes, assisted()...)
	case name == "beside":
		op.Objects.Beside = Family(value)
		return IsFamily(value)
	case name == "when" && value == "stored":
		op.Objects.When = IfStored
	case name == "when" && value == "kept":
		op.Objects.When = IfKept
	case name == "runs":
		op.Objects.Runs = value
		return value != ""
	case name == "drops":
		op.Objects.Drops = op.Method == http.MethodDelete
		return op.Objects.Drops
	default:
		return false
	}
	return true
}

// listing reads a word that says how a family is listed.
func (op *Operation) listing(name, value string) bool {
	if op.Objects == nil || op.Objects.Lists == nil && name != "lists" {
		return false
	}
	l := op.Objects.Lists
	var err error
	switch {
	case name == "lists":
		op.Objects.Lists = &Listing{Family: Family(value), Limit: 20, Most: 100}
		return IsFamily(value)
	case name == "limit":
		l.Limit, err = strconv.ParseInt(value, 10, 64)
	case name == "most":
		l.Most, err = strconv.ParseInt(value, 10, 64)
	case name == "order" && value == "asc":
		l.Ascending = true
	case name == "before":
		l.Before = true
	case name == "filter":
		l.Filters = append(l.Filters, value)
	default:
		return false
	}
	return err == nil
}

package price

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed prices.json
var listText []byte

// list is the published prices that are part of the program.
type list struct {
	asOf   time.Time
	source string
	all    []Model
	models models
}

// builtIn reads the list once. That it can be read is tested, not a matter of luck at run time.
var builtIn = sync.OnceValue(func() *list {
	l, err := readList(listText)
	if err != nil {
		panic(fmt.Sprintf("price: the list in the program: %v", err))
	}
	return l
})

// AsOf is the day on which the prices that are part of the program were those of the upstream.
func AsOf() time.Time { return builtIn().asOf }

// Listed is how many patterns have a price that is part of the program.
func Listed() int { return len(builtIn().all) }

func readList(text []byte) (*list, error) {
	var file struct {
		AsOf   string           `json:"asOf"`
		Source string           `json:"source"`
		Models map[string]entry `json:"models"`
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		return nil, err
	}
	l := &list{source: file.Source}
	var err error
	if l.asOf, err = time.Parse(time.DateOnly, file.AsOf); err != nil {
		return nil, err
	}
	for pattern, e := range file.Models {
		m, err := e.model(pattern)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", pattern, err)
		}
		l.all = append(l.all, m)
	}
	slices.SortFunc(l.all, func(a, b Model) int { return strings.Compare(a.Pattern, b.Pattern) })
	l.models = newModels(l.all)
	return l, nil
}

// entry is a price as the list writes it: the fields of Spec, and those of a long request under "long".
type entry map[string]json.RawMessage

func (e entry) model(pattern string) (m Model, err error) {
	m.Pattern = pattern
	var long entry
	if err = e.take("long", &long); err != nil {
		return m, err
	}
	if m.Rates, err = e.rates(); err != nil || long == nil {
		return m, err
	}
	if err = long.take("above", &m.Above); err != nil {
		return m, err
	}
	if m.Long, err = long.rates(); err != nil {
		return m, err
	}
	return m, m.Check()
}

// take reads a field into what to points to, if it is there, and takes it out.
func (e entry) take(name string, to any) error {
	text, set := e[name]
	if !set {
		return nil
	}
	delete(e, name)
	return json.Unmarshal(text, to)
}

// rates reads the fields that are left, all of which must be rates.
func (e entry) rates() (Rates, error) {
	var s Spec
	for _, f := range s.Fields() {
		var text *string
		if err := e.take(f.Name, &text); err != nil {
			return Rates{}, err
		}
		if text == nil {
			continue
		}
		n, err := Parse(*text)
		if err != nil {
			return Rates{}, err
		}
		*f.At = &n
	}
	if len(e) > 0 {
		return Rates{}, errors.New("has a field that is none of a price")
	}
	return s.Rates()
}

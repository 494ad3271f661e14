package price

import (
	_ "embed"
	"encoding/json"
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

// entry is a price as the list writes it.
type entry struct {
	Input       string `json:"input"`
	CachedInput string `json:"cachedInput"`
	CacheWrite  string `json:"cacheWrite"`
	Output      string `json:"output"`
	AudioInput  string `json:"audioInput"`
	AudioOutput string `json:"audioOutput"`
	ImageInput  string `json:"imageInput"`
	ImageOutput string `json:"imageOutput"`
	Above       int64  `json:"above"` // of a long one only
	Long        *entry `json:"long"`
}

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

func (e entry) model(pattern string) (m Model, err error) {
	m.Pattern = pattern
	if m.Rates, err = e.rates(); err != nil || e.Long == nil {
		return m, err
	}
	m.Above = e.Long.Above
	if m.Long, err = e.Long.rates(); err != nil {
		return m, err
	}
	return m, m.Check()
}

func (e entry) rates() (Rates, error) {
	s := Spec{}
	for _, one := range [...]struct {
		text string
		at   **int64
	}{{e.Input, &s.Input}, {e.CachedInput, &s.Cached}, {e.CacheWrite, &s.Written}, {e.Output, &s.Output}, {e.AudioInput, &s.AudioIn},
		{e.AudioOutput, &s.AudioOut}, {e.ImageInput, &s.ImageIn}, {e.ImageOutput, &s.ImageOut}} {
		if one.text == "" {
			continue
		}
		n, err := Parse(one.text)
		if err != nil {
			return Rates{}, err
		}
		*one.at = &n
	}
	return s.Rates()
}

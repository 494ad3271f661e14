package config

import (
	"errors"
	"strconv"
	"strings"

	"openai-api-proxy/pkg/price"
	"openai-api-proxy/pkg/proxy"
)

const (
	// mostPrices bounds the patterns, which are looked through for each request whose model none of the names is.
	mostPrices = 1000
	// mostAbove bounds where long requests begin.
	mostAbove = 100_000_000
)

// prices reads what models cost: an object by patterns. Places number the patterns, since a name may be anything that was
// pasted there.
func (l *loader) prices(root *fields) {
	all, set := root.object("prices")
	if !set {
		return
	}
	if len(all.in.fields) > mostPrices {
		all.wrong(all.at, "has more than %d prices", mostPrices)
		return
	}
	for i, x := range all.in.fields {
		name := spot{all.notes, x.name, all.at.item(i, x.name)}
		pattern, err := modelPattern(x.name.text)
		if err != nil {
			name.wrong(name.at, "%v", err)
			continue
		}
		f, ok := spot{all.notes, x.value, all.at.item(i, x.value)}.object()
		if !ok {
			continue
		}
		if m, ok := modelPrice(pattern, f); ok {
			l.cfg.Prices = append(l.cfg.Prices, m)
		}
	}
}

func modelPattern(s string) (string, error) {
	const longest = 256
	if _, err := headerText(s); err != nil || len(s) > longest {
		return "", errors.New("must be the name of a model, in which * stands for any run of characters")
	}
	return s, nil
}

// modelPrice reads the price of the models that a pattern names.
func modelPrice(pattern string, f *fields) (m price.Model, ok bool) {
	m.Pattern = pattern
	m.Rates, ok = rates(f)
	if long, set := f.object("long"); set {
		m.Above = long.whole("above", 0, 1, mostAbove)
		if !long.has("above") {
			long.wrong(long.at, `needs the field "above"`)
		}
		var read bool
		m.Long, read = rates(long)
		long.end()
		if ok = ok && read && m.Above > 0; ok {
			if err := m.Check(); err != nil {
				long.wrong(long.at, "%v", err)
			}
		}
	}
	f.end()
	return m, ok
}

// rates reads dollars for a million tokens.
func rates(f *fields) (r price.Rates, ok bool) {
	var s price.Spec
	ok = true
	for _, field := range s.Fields() {
		x, set := f.take(field.Name)
		if !set {
			continue
		}
		if x.kind != isText && x.kind != isNumber {
			x.wrong(x.at, `must be dollars for a million tokens, such as "2.50"`)
			ok = false
			continue
		}
		n, err := price.Parse(x.text)
		if err != nil {
			x.wrong(x.at, "%v", err)
			ok = false
		}
		*field.At = &n
	}
	if !ok {
		return r, false
	}
	r, err := s.Rates()
	if err != nil {
		f.wrong(f.at, "%v", err)
	}
	return r, err == nil
}

// printPrices writes how many prices are part of the program, and those that come before them.
func (c *Config) printPrices(p *printer) {
	p.line("prices", strconv.Itoa(price.Listed())+" as of "+price.AsOf().Format("2006-01-02"))
	for _, m := range c.Prices {
		text := ratesText(m.Rates)
		if m.Above > 0 {
			text += "; above " + strconv.FormatInt(m.Above, 10) + " input tokens " + ratesText(m.Long)
		}
		p.line("  "+m.Pattern, text)
	}
}

// ratesText leaves out what is charged as the text of its side is.
func ratesText(r price.Rates) string {
	text := []string{"input " + proxy.DollarText(r.Input)}
	add := func(name string, rate, usual int64) {
		if rate != usual {
			text = append(text, name+" "+proxy.DollarText(rate))
		}
	}
	add("cachedInput", r.Cached, r.Input)
	add("cacheWrite", r.Written, r.Input)
	text = append(text, "output "+proxy.DollarText(r.Output))
	add("audioInput", r.AudioIn, r.Input)
	add("audioOutput", r.AudioOut, r.Output)
	add("imageInput", r.ImageIn, r.Input)
	add("imageOutput", r.ImageOut, r.Output)
	return strings.Join(text, ", ")
}

package proxy

import "strings"

// Patterns are names in which * stands for any run of characters: "gpt-4o*". No patterns at all match everything.
type Patterns []string

// Match reports whether any pattern matches the whole name.
func (ps Patterns) Match(name string) bool {
	if len(ps) == 0 {
		return true
	}
	for _, p := range ps {
		if glob(p, name) {
			return true
		}
	}
	return false
}

// glob walks both strings once and remembers only the last star, so that no pattern costs more than len(p)*len(s).
func glob(p, s string) bool {
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(s) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
		case i < len(p) && p[i] == s[j]:
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(p[i:], "*") == ""
}

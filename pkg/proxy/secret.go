package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
)

// Secret is a string that must not be seen: an upstream key, a token, a URL with a password. Formatting, logging and
// marshalling it give a fingerprint; only Reveal gives the text, so that every use of it can be found by name.
type Secret struct{ text string }

// NewSecret wraps text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the text itself.
func (s Secret) Reveal() string { return s.text }

// IsZero reports whether there is no secret at all.
func (s Secret) IsZero() bool { return s.text == "" }

// Hash is SHA-256 of the text: what may be stored and compared in place of a random token.
func (s Secret) Hash() [sha256.Size]byte { return sha256.Sum256([]byte(s.text)) }

// Fingerprint is ten hex digits of the hash, enough to tell secrets apart and useless for guessing a random one.
func (s Secret) Fingerprint() string {
	sum := s.Hash()
	return hex.EncodeToString(sum[:5])
}

// Masked is the form shown to operators, "sk-...wxyz". Short secrets show nothing of themselves.
func (s Secret) Masked() string {
	const prefix, tail, least = 3, 4, 20
	if len(s.text) < least {
		return "..."
	}
	return s.text[:prefix] + "..." + s.text[len(s.text)-tail:]
}

func (s Secret) String() string {
	if s.text == "" {
		return ""
	}
	return "secret:" + s.Fingerprint()
}

// GoString keeps %#v from printing the field.
func (s Secret) GoString() string { return s.String() }

// MarshalText serves JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue serves slog, whose JSON handler would otherwise use MarshalText only for some kinds.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

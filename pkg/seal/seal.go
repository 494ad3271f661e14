// Package seal keeps secrets at rest: what it seals can only be read with one of its keys, and only in the place it was
// sealed for, so that whoever can write to the state cannot pass one record off as another.
//
// A sealed text is AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits. With one key at most 2^32 texts may be
// sealed that way, which is more than a catalog sees. The text names the key it was sealed with by a short fingerprint, so
// that a list of keys can be rotated: the first one seals, all of them open.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"openai-api-proxy/pkg/proxy"
)

// KeySize is how long a key is, in bytes.
const KeySize = 32

const (
	format    = 1 // first byte of a sealed text
	nameSize  = 4 // bytes of the fingerprint of a key
	nonceSize = 12
)

var (
	// ErrNoKey means that the text was sealed with a key that this Box does not have.
	ErrNoKey = errors.New("sealed with a key that is not among the encryption keys")
	// ErrBroken means that the text was changed, or was sealed for another place.
	ErrBroken = errors.New("not what was sealed here")
)

// Box seals and opens. A nil Box has no key.
type Box struct{ keys []key }

type key struct {
	name [nameSize]byte
	aead cipher.AEAD
}

// New makes a Box of keys of 32 bytes in base64. No keys make a nil Box.
func New(keys []proxy.Secret) (*Box, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	b := new(Box)
	for i, k := range keys {
		raw, err := base64.StdEncoding.DecodeString(k.Reveal())
		if err != nil || len(raw) != KeySize {
			return nil, fmt.Errorf("encryption key %d must be %d bytes in base64", i+1, KeySize)
		}
		block, err := aes.NewCipher(raw)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(append([]byte("name of an encryption key"), raw...))
		b.keys = append(b.keys, key{[nameSize]byte(sum[:nameSize]), aead})
	}
	return b, nil
}

// NewKey is a random key.
func NewKey() proxy.Secret {
	var raw [KeySize]byte
	rand.Read(raw[:])
	return proxy.NewSecret(base64.StdEncoding.EncodeToString(raw[:]))
}

// Seal returns text as only this Box can read it, and only for the place.
func (b *Box) Seal(place string, text []byte) []byte {
	k := b.keys[0]
	sealed := make([]byte, 1+nameSize+nonceSize, 1+nameSize+nonceSize+len(text)+k.aead.Overhead())
	sealed[0] = format
	copy(sealed[1:], k.name[:])
	nonce := sealed[1+nameSize:]
	rand.Read(nonce)
	return k.aead.Seal(sealed, nonce, text, []byte(place))
}

// Open returns what was sealed for the place. Errors are ErrNoKey and ErrBroken.
func (b *Box) Open(place string, sealed []byte) ([]byte, error) {
	if !Sealed(sealed) {
		return nil, ErrBroken
	}
	k := b.find(sealed)
	if k == nil {
		return nil, ErrNoKey
	}
	nonce, text := sealed[1+nameSize:1+nameSize+nonceSize], sealed[1+nameSize+nonceSize:]
	opened, err := k.aead.Open(nil, nonce, text, []byte(place))
	if err != nil {
		return nil, ErrBroken
	}
	return opened, nil
}

// find is the key that sealed the text; nil when it is not here.
func (b *Box) find(sealed []byte) *key {
	if b == nil {
		return nil
	}
	for i := range b.keys {
		if bytes.Equal(b.keys[i].name[:], sealed[1:1+nameSize]) {
			return &b.keys[i]
		}
	}
	return nil
}

// Old reports whether the text was sealed with another key than the one that seals now.
func (b *Box) Old(sealed []byte) bool {
	return b != nil && Sealed(sealed) && b.find(sealed) != &b.keys[0]
}

// Sealed reports whether a text looks sealed. JSON never does.
func Sealed(text []byte) bool {
	return len(text) >= 1+nameSize+nonceSize && text[0] == format
}

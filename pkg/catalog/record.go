package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/seal"
	"openai-api-proxy/pkg/state"
)

// keyRecord is the value of a key's item.
type keyRecord struct {
	Spec    json.RawMessage `json:"spec"` // the fields of the file, the secret among them
	Created time.Time       `json:"created"`
	Updated time.Time       `json:"updated"`

	key    *proxy.Key // as the spec says, without an endpoint if it names none
	placed *proxy.Key // the same with an endpoint; see at
}

// clientRecord is the value of a client's item.
type clientRecord struct {
	Spec    json.RawMessage `json:"spec"` // the fields of the file but the token
	Tokens  []tokenRecord   `json:"tokens"`
	Created time.Time       `json:"created"`
	Updated time.Time       `json:"updated"`

	client config.Client
}

// tokenRecord is a token as it is kept: its hash, and what operators see of it.
type tokenRecord struct {
	Hash   string     `json:"hash"` // SHA-256, hex
	Masked string     `json:"masked"`
	Until  *time.Time `json:"until,omitempty"` // nil: for ever
}

// override is what is different of a key or client that is configured elsewhere.
type override struct {
	Enabled *bool `json:"enabled,omitempty"`
}

// place is what an item is sealed for.
func place(kind, id string) string { return kind + "/" + id }

// needsSeal reports whether items of the kind hold a secret. Hashes of random tokens are none.
func needsSeal(kind string) bool { return kind == state.KeyItem }

// write makes the value of an item. What holds a secret is sealed always, a client's hashes where there is a key to do so.
func (c *Catalog) write(kind, id string, record any) ([]byte, error) {
	text, err := json.Marshal(record)
	if err != nil {
		return nil, err
	}
	switch {
	case c.Box != nil && (needsSeal(kind) || kind == state.ClientItem):
		return c.Box.Seal(place(kind, id), text), nil
	case needsSeal(kind):
		return nil, errNoBox
	default:
		return text, nil
	}
}

// read finds out what an item says.
func (c *Catalog) read(e *entry) error {
	text := e.Value
	if seal.Sealed(text) {
		opened, err := c.Box.Open(place(e.Kind, e.ID), text)
		if err != nil {
			return err
		}
		text = opened
	} else if needsSeal(e.Kind) {
		return seal.ErrBroken // whoever can write to the state must not be able to add keys
	}
	switch e.Kind {
	case state.KeyItem:
		return e.readKey(text)
	case state.ClientItem:
		return e.readClient(text)
	case state.OverrideItem:
		o := new(override)
		if err := json.Unmarshal(text, o); err != nil {
			return err
		}
		e.override = o
	}
	return nil
}

func (e *entry) readKey(text []byte) error {
	r := new(keyRecord)
	if err := json.Unmarshal(text, r); err != nil {
		return errors.New("not a key's record")
	}
	k, err := config.ReadKey(r.Spec, "")
	if err != nil {
		return err
	}
	if k.ID != e.ID {
		return fmt.Errorf("the record is that of %s", k.ID)
	}
	r.key = k
	e.key = r
	return nil
}

func (e *entry) readClient(text []byte) error {
	r := new(clientRecord)
	if err := json.Unmarshal(text, r); err != nil {
		return errors.New("not a client's record")
	}
	client, err := readClientSpec(r.Spec)
	if err != nil {
		return err
	}
	if client.ID != e.ID {
		return fmt.Errorf("the record is that of %s", client.ID)
	}
	r.client = client
	e.client = r
	return nil
}

// placeholder stands for the token in a spec that has none, so that the reader of the file is content.
const placeholder = "no-token-is-kept-here-000000000000"

// readClientSpec reads the fields of a client without its token.
func readClientSpec(spec json.RawMessage) (config.Client, error) {
	text, err := mergePatch(spec, []byte(`{"token":"`+placeholder+`"}`))
	if err != nil {
		return config.Client{}, err
	}
	client, err := config.ReadClient(text)
	client.Token = proxy.Secret{}
	return client, err
}

func tokenOf(s proxy.Secret) tokenRecord {
	hash := s.Hash()
	return tokenRecord{Hash: hex.EncodeToString(hash[:]), Masked: s.Masked()}
}

// token is the record as it is used.
func (t tokenRecord) token() (Token, bool) {
	raw, err := hex.DecodeString(t.Hash)
	if err != nil || len(raw) != sha256.Size {
		return Token{}, false
	}
	token := Token{Hash: [sha256.Size]byte(raw), Masked: t.Masked}
	if t.Until != nil {
		token.Until = *t.Until
	}
	return token, true
}

// mergePatch is the JSON Merge Patch of RFC 7396.
func mergePatch(target, patch []byte) ([]byte, error) {
	t, err := decoded(target)
	if err != nil {
		return nil, err
	}
	p, err := decoded(patch)
	if err != nil {
		return nil, err
	}
	return json.Marshal(merged(t, p))
}

// decoded keeps numbers as they were written: they are read by the rules of the file later.
func decoded(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

func merged(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for name, value := range changes {
		if value == nil {
			delete(object, name)
			continue
		}
		object[name] = merged(object[name], value)
	}
	return object
}

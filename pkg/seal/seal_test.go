package seal

import (
	"bytes"
	"errors"
	"testing"

	"openai-api-proxy/pkg/proxy"
)

func box(t *testing.T, keys ...proxy.Secret) *Box {
	t.Helper()
	b, err := New(keys)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSealing(t *testing.T) {
	b, secret := box(t, NewKey()), []byte(`{"key":"sk-test-sealed-000000000001"}`)
	sealed := b.Seal("key/a", secret)
	if bytes.Contains(sealed, []byte("sk-test")) || !Sealed(sealed) || Sealed(secret) {
		t.Errorf("not sealed: %q", sealed)
	}
	if opened, err := b.Open("key/a", sealed); err != nil || !bytes.Equal(opened, secret) {
		t.Errorf("opened as %q, %v", opened, err)
	}
	if again := b.Seal("key/a", secret); bytes.Equal(again, sealed) {
		t.Error("the same text is sealed alike twice")
	}
	if _, err := b.Open("key/b", sealed); !errors.Is(err, ErrBroken) {
		t.Errorf("opened in another place: %v", err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := b.Open("key/a", changed); err == nil {
			t.Errorf("a change of byte %d went unseen", i)
		}
		if _, err := b.Open("key/a", sealed[:i]); err == nil {
			t.Errorf("the first %d bytes were opened", i)
		}
	}
}

func TestRotation(t *testing.T) {
	first, second := NewKey(), NewKey()
	before, between, after := box(t, first), box(t, second, first), box(t, second)
	sealed := before.Seal("p", []byte("text"))
	if _, err := between.Open("p", sealed); err != nil || !between.Old(sealed) || before.Old(sealed) {
		t.Errorf("the old key does not open: %v", err)
	}
	if _, err := after.Open("p", sealed); !errors.Is(err, ErrNoKey) {
		t.Errorf("opened without its key: %v", err)
	}
	resealed := between.Seal("p", []byte("text"))
	if _, err := after.Open("p", resealed); err != nil || between.Old(resealed) {
		t.Errorf("what was sealed anew is not read: %v", err)
	}
	var none *Box
	if _, err := none.Open("p", sealed); !errors.Is(err, ErrNoKey) || none.Old(sealed) {
		t.Errorf("opened without any key: %v", err)
	}
}

func TestBadKeys(t *testing.T) {
	for _, bad := range []string{"", "c2hvcnQ=", "not base64!"} {
		if _, err := New([]proxy.Secret{NewKey(), proxy.NewSecret(bad)}); err == nil {
			t.Errorf("%q is taken for a key", bad)
		}
	}
	if b, err := New(nil); b != nil || err != nil {
		t.Errorf("no keys make %v, %v", b, err)
	}
}

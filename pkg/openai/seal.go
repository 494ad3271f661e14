package openai

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// sealBegins is how much of what an account has sealed tells it apart: a time and a nonce stand at its beginning.
const sealBegins = 160

// sealID is an id for what an account has sealed and no other can open. Clients give it back without the id of the item that it
// came in.
func sealID(sealed string) string {
	sum := sha256.Sum256([]byte(sealed[:min(len(sealed), sealBegins)]))
	return "sealed_" + hex.EncodeToString(sum[:16])
}

// isSealed reports whether at the path of an answer stands what is sealed.
func isSealed(path string) bool { return strings.HasSuffix(path, ".encrypted_content") }

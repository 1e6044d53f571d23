package verify

import (
	"crypto/rand"
	"encoding/hex"
)

// newToken names a probe. Its 128 bits cannot be guessed.
func newToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// randomLabel is a label, or a local part, that nobody has.
func randomLabel() string {
	var b [20]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	for i := range b {
		b[i] = 'a' + b[i]%26
	}
	return string(b[:])
}

// isToken tells whether a text is a token.
func isToken(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 16 && s == hex.EncodeToString(b)
}

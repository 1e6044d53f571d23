package providers

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

// A tsigKey signs DNS messages and verifies their answers (RFC 8945). Unlike the
// library's own it insists on its name and algorithm in the answer.
type tsigKey struct {
	name      string // canonical
	algorithm string // as a domain name, "hmac-sha256."
	secret    []byte
	macs      sync.Pool // of hash.Hash; a used one need not hash the secret again
}

// newTSIGKey makes a key from its settings. Errors do not show the secret.
func newTSIGKey(name, algorithm, secret string) (*tsigKey, error) {
	canon, err := rrset.CanonicalName(name)
	if err != nil {
		return nil, fmt.Errorf("key_name: %w", err)
	}
	k := &tsigKey{name: canon, algorithm: dns.CanonicalName(algorithm)}
	var sum func() hash.Hash
	switch k.algorithm {
	case dns.HmacSHA224:
		sum = sha256.New224
	case dns.HmacSHA256:
		sum = sha256.New
	case dns.HmacSHA384:
		sum = sha512.New384
	case dns.HmacSHA512:
		sum = sha512.New
	default:
		weak := ""
		if strings.Contains(k.algorithm, "md5") || strings.Contains(k.algorithm, "sha1") {
			weak = "is too weak; "
		}
		return nil, fmt.Errorf("key_alg %.40q: %shmac-sha224, hmac-sha256, hmac-sha384 or hmac-sha512 was expected", algorithm, weak)
	}
	k.secret, err = base64.StdEncoding.DecodeString(secret)
	if err != nil || len(k.secret) == 0 {
		return nil, errors.New("key: what the reference leads to is not base64, as tsig-keygen writes it")
	}
	k.macs.New = func() any { return hmac.New(sum, k.secret) }
	return k, nil
}

// String leaves out the secret.
func (k *tsigKey) String() string {
	if k == nil {
		return "none (unsigned)"
	}
	return rrset.Bare(k.name)
}

// sign is a message ready to be sent, and its MAC. Without a key it is as it is.
func (k *tsigKey) sign(m *dns.Msg, now time.Time) (wire []byte, mac string, err error) {
	m.Extra = nil
	if k == nil {
		wire, err = m.Pack()
		return wire, "", err
	}
	m.SetTsig(k.name, k.algorithm, fudge, now.Unix())
	return dns.TsigGenerateWithProvider(m, k, "", false)
}

// GoString leaves out the secret.
func (k *tsigKey) GoString() string { return k.String() }

// Generate is the MAC of a message.
func (k *tsigKey) Generate(msg []byte, _ *dns.TSIG) ([]byte, error) {
	h := k.macs.Get().(hash.Hash)
	defer k.macs.Put(h)
	h.Reset()
	h.Write(msg)
	return h.Sum(nil), nil
}

// Verify compares an answer's MAC.
func (k *tsigKey) Verify(msg []byte, t *dns.TSIG) error {
	if !sameName(t.Hdr.Name, k.name) {
		return dns.ErrSecret
	}
	if dns.CanonicalName(t.Algorithm) != k.algorithm {
		return dns.ErrKeyAlg
	}
	want, err := k.Generate(msg, t)
	if err != nil {
		return err
	}
	got, err := hex.DecodeString(t.MAC)
	if err != nil || !hmac.Equal(want, got) {
		return dns.ErrSig
	}
	return nil
}

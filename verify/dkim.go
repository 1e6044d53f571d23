package verify

import (
	"context"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mxcutover/plan"
)

// dkimKeys looks at the keys of the configured selectors. A domain needs one; of
// those that it has each must be good.
func dkimKeys(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	domain := cut.Domain
	var found []plan.Finding
	for _, s := range c.DKIMSelectors {
		all, err := c.txts(ctx, s+"._domainkey."+asked(cut.Domain))
		if err != nil {
			return found, err
		}
		switch words, err := dkimKey(all); {
		case errors.Is(err, errNoKey):
		case err != nil:
			found = append(found, warn(domain, "DKIM key %s: %v", s, err))
		default:
			found = append(found, pass(domain, "DKIM key %s: %s", s, words))
		}
	}
	if len(found) == 0 && len(c.DKIMSelectors) > 0 {
		found = append(found, warn(domain, "no DKIM key at any of the selectors %s", strings.Join(c.DKIMSelectors, ", ")))
	}
	return found, nil
}

// errNoKey means that there is no key record.
var errNoKey = errors.New("no key")

// Lengths of RSA keys in bits (RFC 8301 section 3.2): shorter ones are not
// believed, and shorter than the second should not be used.
const (
	leastRSA = 1024
	soundRSA = 2048
)

// dkimKey reads a key record (RFC 6376 section 3.6.1), and says what is wrong
// with it for signing mail.
func dkimKey(records []string) (words string, err error) {
	switch len(records) {
	case 0:
		return "", errNoKey
	case 1:
	default:
		return "", fmt.Errorf("there are %d records at its name, and which one counts is undefined (RFC 6376 section 3.6.2.2)", len(records))
	}
	list, err := tags(records[0])
	if err != nil {
		return "", err
	}
	if v, ok := value(list, "v"); ok && (v != "DKIM1" || list[0].name != "v") {
		return "", errors.New("its version is not DKIM1, in the first place")
	}
	p, ok := value(list, "p")
	switch {
	case !ok:
		return "", errors.New("it has no p=")
	case p == "":
		return "", errors.New("it is revoked (p= is empty)")
	}
	if words, err = publicKey(list, p); err != nil {
		return "", err
	}
	for _, t := range []struct{ name, need, or, bad string }{
		{"h", "sha256", "", "it does not allow sha256 (h=), and nothing else is believed (RFC 8301 section 3.1)"},
		{"s", "email", "*", "it is not for mail (s=)"},
	} {
		if v, ok := value(list, t.name); ok && !among(v, t.need) && (t.or == "" || !among(v, t.or)) {
			return "", errors.New(t.bad)
		}
	}
	if v, _ := value(list, "t"); among(v, "y") {
		return "", errors.New("it is marked as a test (t=y): receivers treat its mail as unsigned")
	}
	return words, nil
}

// among tells whether a word is in a list with colons.
func among(list, word string) bool {
	return slices.ContainsFunc(strings.Split(list, ":"), func(s string) bool { return blank(s) == word })
}

// publicKey reads p=, of the kind that k= says.
func publicKey(list []tag, p string) (string, error) {
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(p), ""))
	if err != nil {
		return "", errors.New("its p= is no base64")
	}
	kind, ok := value(list, "k")
	if !ok {
		kind = "rsa"
	}
	switch kind {
	case "ed25519": // RFC 8463 section 4.2
		if len(data) != ed25519.PublicKeySize {
			return "", fmt.Errorf("its p= has %d octets; Ed25519 has %d", len(data), ed25519.PublicKeySize)
		}
		return "Ed25519", nil
	case "rsa":
	default:
		return "", fmt.Errorf("its kind, %.20q, is neither rsa nor ed25519", kind)
	}
	key, err := x509.ParsePKIXPublicKey(data)
	if err != nil {
		key, err = x509.ParsePKCS1PublicKey(data) // as some publish it (erratum 3017 of RFC 6376)
	}
	k, isRSA := key.(*rsa.PublicKey)
	if err != nil || !isRSA {
		return "", errors.New("its p= is no RSA key")
	}
	switch bits := k.N.BitLen(); {
	case bits < leastRSA:
		return "", fmt.Errorf("RSA with %d bits, and less than %d are not believed (RFC 8301 section 3.2)", bits, leastRSA)
	case bits < soundRSA:
		return fmt.Sprintf("RSA with %d bits; %d are advised", bits, soundRSA), nil
	default:
		return fmt.Sprintf("RSA with %d bits", bits), nil
	}
}

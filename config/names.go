package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"mxcutover/rrset"

	"golang.org/x/net/idna"
)

// convert makes a text canonical, by what it is (the tag "is"), or tells why it
// cannot be that.
func (d *decoder) convert(s, key, is string) (string, bool) {
	var out, cure string
	var err error
	switch is {
	case "name":
		out, err = canonicalName(s)
		cure = "write a domain name, as in example.org"
	case "host":
		out, err = canonicalName(s)
		if err == nil && rrset.IsWildcard(out) {
			err = errors.New("is a wildcard; one name was expected")
		}
		cure = "write a name, as in mail.example.org"
	case "glob":
		out, err = canonicalGlob(s)
		cure = "write a name, with * for any letters"
	case "path":
		out = resolve(d.doc.dir, s)
	case "address":
		out, err = mailAddress(s)
		cure = "write local@example.org"
	case "mailbox":
		out, cure = s, "write the part before the @ only"
		if !localPart(s) {
			err = errors.New("is no local part of a mail address")
		}
	case "selector":
		out, err = selector(s)
		cure = "write the name before ._domainkey, as in mail or s1.2026"
	case "hostport":
		out, err = hostPort(s)
		cure = `write "host:port", as in "mail.example.org:993"`
	default:
		d.misuse = fmt.Errorf("config: no rule %q", is)
		return "", false
	}
	if err != nil {
		d.fault(key, fmt.Sprintf("%.80q %v", s, err), cure)
		return "", false
	}
	return out, true
}

// canonicalName is a domain name, a wildcard too, in its canonical form; names
// in other scripts become their ASCII form (RFC 5891). Errors go on a sentence
// that begins with the name.
func canonicalName(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errors.New("is no domain name: it is not UTF-8")
	}
	if strings.Contains(s, "@") {
		return "", errors.New("is a mail address; a domain name was expected")
	}
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return "", errors.New("is an address; a domain name was expected")
	}
	ascii, err := toASCII(s)
	if err != nil {
		return "", err
	}
	name, err := rrset.CanonicalName(ascii)
	switch {
	case err != nil:
		return "", fmt.Errorf("is no domain name%s", because(err))
	case name == ".":
		return "", errors.New("is the root; a domain name was expected")
	case strings.ContainsAny(name, `\/:,;%"`):
		return "", errors.New("is no domain name that receives mail: letters, digits, - and _ were expected")
	case strings.Contains(name[1:], "*"):
		return "", errors.New("is no domain name: the asterisk stands alone, as the first label, if at all")
	case name[0] == '*' && !strings.HasPrefix(name, "*."):
		return "", errors.New("is no domain name: the asterisk stands alone, as the first label, if at all")
	}
	return name, nil
}

// because is the part of a name's error that says why, without the name.
func because(err error) string {
	_, why, ok := strings.Cut(strings.TrimPrefix(err.Error(), rrset.ErrName.Error()+": "), " has ")
	if !ok {
		return ""
	}
	return ": it has " + why
}

// toASCII converts names in other scripts, and leaves ASCII as it is: in DNS it
// may hold more than host names do.
func toASCII(s string) (string, error) {
	if !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 }) {
		return s, nil
	}
	star, rest := "", s
	if r, ok := strings.CutPrefix(s, "*."); ok {
		star, rest = "*.", r
	}
	profile := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.CheckJoiners(true), idna.Transitional(false))
	ascii, err := profile.ToASCII(rest)
	if err != nil {
		return "", fmt.Errorf("is no international domain name: %s", strings.TrimPrefix(err.Error(), "idna: "))
	}
	return star + ascii, nil
}

// canonicalGlob checks a glob over names without their final dot.
func canonicalGlob(s string) (string, error) {
	g := s
	if !strings.ContainsAny(s, "*?[\\") {
		n, err := canonicalName(s)
		if err != nil {
			return "", err
		}
		return rrset.Bare(n), nil
	}
	labels := strings.Split(strings.ToLower(strings.TrimSuffix(g, ".")), ".")
	for i, l := range labels {
		if strings.ContainsAny(l, "*?[\\") && !strings.ContainsFunc(l, func(r rune) bool { return r >= 0x80 }) {
			continue
		}
		a, err := toASCII(l)
		if err != nil {
			return "", err
		}
		labels[i] = a
	}
	g = strings.Join(labels, ".")
	if _, err := path.Match(g, ""); err != nil || strings.ContainsAny(g, " /@") {
		return "", errors.New("is no pattern for names")
	}
	return g, nil
}

// mailAddress checks an envelope address (RFC 5321 section 4.1.2, without
// quoted local parts) and makes its domain ASCII, without a final dot.
func mailAddress(s string) (string, error) {
	i := strings.LastIndexByte(s, '@')
	if i < 0 {
		return "", errors.New("is no mail address: it has no @")
	}
	if !localPart(s[:i]) {
		return "", errors.New("is no mail address: the part before the @ cannot be that")
	}
	domain, err := canonicalName(s[i+1:])
	if err != nil || rrset.IsWildcard(domain) || len(rrset.Labels(domain)) < 2 {
		return "", errors.New("is no mail address: the part after the @ is no domain")
	}
	return s[:i+1] + rrset.Bare(domain), nil
}

const maxLocal = 64 // octets, RFC 5321 section 4.5.3.1.1

// localPart tells whether a text is a Dot-string of RFC 5321 section 4.1.2.
func localPart(s string) bool {
	if s == "" || len(s) > maxLocal || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~.", r)
	})
}

// selector is a DKIM selector, in lower case: labels with dots (RFC 6376 section 3.1).
func selector(s string) (string, error) {
	s = strings.ToLower(s)
	odd := strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
	})
	if _, err := rrset.CanonicalName(s); err != nil || odd || strings.HasSuffix(s, ".") {
		return "", errors.New("is no DKIM selector")
	}
	return s, nil
}

func hostPort(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", errors.New("has no port")
	}
	if p, err := strconv.ParseUint(port, 10, 16); err != nil || p == 0 {
		return "", errors.New("has a port that is no number from 1 to 65535")
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return net.JoinHostPort(a.String(), port), nil
	}
	name, err := canonicalName(host)
	if err != nil || rrset.IsWildcard(name) {
		return "", errors.New("has a host that is neither a name nor an address")
	}
	return net.JoinHostPort(rrset.Bare(name), port), nil
}

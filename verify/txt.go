package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

// errText means that TXT data is not a sequence of character-strings.
var errText = errors.New("malformed TXT data")

// txts are the texts of a name's TXT records, each as the octets of its
// character-strings joined (RFC 7208 section 3.3), by the first resolver that
// answers.
func (c *Checker) txts(ctx context.Context, name string) ([]string, error) {
	a, err := c.dns.Recurse(ctx, name, "TXT")
	if err != nil {
		return nil, err
	}
	return texts(a.Set)
}

func texts(s rrset.Set) ([]string, error) {
	var out []string
	for _, d := range s.Data {
		t, err := text(d)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		out = append(out, t)
	}
	return out, nil
}

// text is what TXT data in presentation format says (RFC 1035 section 5.1).
func text(data string) (string, error) {
	var out []byte
	quoted, open := false, false
	for i := 0; i < len(data); i++ {
		switch ch := data[i]; {
		case ch == '"':
			quoted, open = !quoted, !quoted
		case ch == '\\':
			b, n := escaped(data[i+1:])
			if n == 0 {
				return "", errText
			}
			out, i = append(out, b), i+n
		case ch == ' ' && !quoted, ch == '\t' && !quoted: // between two strings
		default:
			out = append(out, ch)
		}
	}
	if open {
		return "", errText
	}
	return string(out), nil
}

// escaped reads what follows a backslash: three digits, or any octet. n is the
// length that it takes, 0 if it is nothing.
func escaped(s string) (b byte, n int) {
	if s == "" {
		return 0, 0
	}
	if s[0] < '0' || s[0] > '9' {
		return s[0], 1
	}
	if len(s) < 3 {
		return 0, 0
	}
	v, err := strconv.ParseUint(s[:3], 10, 8)
	if err != nil {
		return 0, 0
	}
	return byte(v), 3
}

// maxString is the length of one character-string, in octets.
const maxString = 255

// txtData is a text as TXT data in presentation format, spelled as it is read
// from a message.
func txtData(text string) string {
	rr := dns.TXT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeTXT, Class: dns.ClassINET}}
	for first := true; first || text != ""; first = false {
		n := min(len(text), maxString)
		var b strings.Builder
		for _, ch := range []byte(text[:n]) {
			switch {
			case ch == '"' || ch == '\\':
				b.WriteByte('\\')
				b.WriteByte(ch)
			case ch < ' ' || ch > '~':
				fmt.Fprintf(&b, `\%03d`, ch)
			default:
				b.WriteByte(ch)
			}
		}
		rr.Txt, text = append(rr.Txt, b.String()), text[n:]
	}
	return strings.TrimSpace(strings.TrimPrefix(rr.String(), rr.Hdr.String()))
}

// A tag is one "name=value" of a tag list.
type tag struct{ name, value string }

// tags reads "name=value; name=value" with white space around names and values
// (RFC 6376 section 3.2). A name may stand there once.
func tags(s string) ([]tag, error) {
	var out []tag
	parts := strings.Split(s, ";")
	for i, p := range parts {
		if i == len(parts)-1 && blank(p) == "" {
			break // after the last semicolon
		}
		name, value, ok := strings.Cut(p, "=")
		name, value = blank(name), blank(value)
		switch {
		case !ok || name == "":
			return nil, fmt.Errorf("%.40q is no name=value", p)
		case slices.ContainsFunc(out, func(t tag) bool { return t.name == name }):
			return nil, fmt.Errorf("%.40q stands twice", name)
		}
		out = append(out, tag{name, value})
	}
	return out, nil
}

// blank takes white space off both ends.
func blank(s string) string { return strings.Trim(s, " \t\r\n") }

// value is that of a tag, and whether it is there.
func value(all []tag, name string) (string, bool) {
	for _, t := range all {
		if t.name == name {
			return t.value, true
		}
	}
	return "", false
}

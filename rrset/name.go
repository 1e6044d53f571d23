package rrset

import (
	"errors"
	"fmt"
	"strings"
)

// ErrName means that a text is not a domain name.
var ErrName = errors.New("not a domain name")

// Limits of RFC 1035 section 2.3.4, in octets; the name's with its length
// octets and the root's.
const (
	maxLabel = 63
	maxName  = 255
)

// CanonicalName is the one spelling of a domain name: absolute, with its final
// dot, ASCII letters in lower case (RFC 4343), escapes only where needed
// (RFC 1035 section 5.1). A name without a final dot is taken as absolute too.
func CanonicalName(name string) (string, error) {
	if plain(name) {
		return name, nil
	}
	return spell(name)
}

// plain tells of most names that they are canonical.
func plain(name string) bool {
	if name == "" || name[len(name)-1] != '.' || len(name)+1 > maxName { // +1: the root's octet
		return false
	}
	start := 0
	for i := range len(name) {
		switch c := name[i]; {
		case c == '.':
			if i == start || i-start > maxLabel {
				return false
			}
			start = i + 1
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '*':
		default:
			return false
		}
	}
	return true
}

// spell is the canonical spelling of any name.
func spell(name string) (string, error) {
	labels, err := splitLabels(name)
	if err != nil {
		return "", err
	}
	if len(labels) == 0 {
		return ".", nil
	}
	var b strings.Builder
	for _, l := range labels {
		escapeLabel(&b, l)
		b.WriteByte('.')
	}
	return b.String(), nil
}

// Labels are the labels of a canonical name, leftmost first, each in its
// escaped spelling. The root has none.
func Labels(name string) []string {
	var out []string
	start := 0
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '\\':
			i++
		case '.':
			if i > start {
				out = append(out, name[start:i])
			}
			start = i + 1
		}
	}
	if start < len(name) {
		out = append(out, name[start:])
	}
	return out
}

// Parent is the name without its leftmost label; the root's parent is the root.
func Parent(name string) string {
	if plain(name) { // as most are
		if _, rest, _ := strings.Cut(name, "."); rest != "" {
			return rest
		}
		return "."
	}
	l := Labels(name)
	if len(l) <= 1 {
		return "."
	}
	return strings.Join(l[1:], ".") + "."
}

// Below tells whether a canonical name is the zone's apex or below it, counted
// in whole labels: notexample.com. is not below example.com.
func Below(name, zone string) bool {
	if zone == "." {
		return true
	}
	if plain(name) && plain(zone) {
		at := len(name) - len(zone)
		return at >= 0 && name[at:] == zone && (at == 0 || name[at-1] == '.')
	}
	n, z := Labels(name), Labels(zone)
	if len(n) < len(z) {
		return false
	}
	for i := range z {
		if n[len(n)-len(z)+i] != z[i] {
			return false
		}
	}
	return true
}

// IsWildcard tells whether the leftmost label is the asterisk of RFC 4592.
func IsWildcard(name string) bool {
	return strings.HasPrefix(name, "*.") || name == "*."
}

// Bare is a canonical name without its final dot, as people write it.
func Bare(name string) string {
	if name == "." {
		return name
	}
	return strings.TrimSuffix(name, ".")
}

func splitLabels(name string) ([][]byte, error) {
	if name == "." {
		return nil, nil
	}
	if name == "" {
		return nil, fmt.Errorf("%w: empty", ErrName)
	}
	var labels [][]byte
	var cur []byte
	length := 1
	end := func() error {
		switch {
		case len(cur) == 0:
			return fmt.Errorf("%w: %.80q has an empty label", ErrName, name)
		case len(cur) > maxLabel:
			return fmt.Errorf("%w: %.80q has a label of %d octets, above %d", ErrName, name, len(cur), maxLabel)
		}
		length += len(cur) + 1
		labels, cur = append(labels, cur), nil
		return nil
	}
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '\\':
			b, n, ok := unescape(name[i+1:])
			if !ok {
				return nil, fmt.Errorf("%w: %.80q has a broken escape", ErrName, name)
			}
			cur = append(cur, b)
			i += n
		case c == '.':
			if err := end(); err != nil {
				return nil, err
			}
		case c <= ' ' || c >= 0x7f:
			return nil, fmt.Errorf("%w: %.80q has the octet %#02x unescaped", ErrName, name, c)
		default:
			cur = append(cur, c)
		}
	}
	if cur != nil {
		if err := end(); err != nil {
			return nil, err
		}
	}
	if length > maxName {
		return nil, fmt.Errorf("%w: %.80q has %d octets, above %d", ErrName, name, length, maxName)
	}
	return labels, nil
}

// unescape reads what follows a backslash: three decimal digits, or any one
// octet that is no digit. It returns the octet and how many were read.
func unescape(s string) (byte, int, bool) {
	if s == "" {
		return 0, 0, false
	}
	if s[0] < '0' || s[0] > '9' {
		return s[0], 1, true
	}
	if len(s) < 3 {
		return 0, 0, false
	}
	v := 0
	for i := range 3 {
		if s[i] < '0' || s[i] > '9' {
			return 0, 0, false
		}
		v = v*10 + int(s[i]-'0')
	}
	return byte(v), 3, v <= 255
}

func escapeLabel(b *strings.Builder, label []byte) {
	for _, c := range label {
		switch {
		case c >= 'A' && c <= 'Z':
			b.WriteByte(c + 'a' - 'A')
		case strings.IndexByte(`.\"();@$`, c) >= 0:
			b.WriteByte('\\')
			b.WriteByte(c)
		case c <= ' ' || c >= 0x7f:
			fmt.Fprintf(b, "\\%03d", c)
		default:
			b.WriteByte(c)
		}
	}
}

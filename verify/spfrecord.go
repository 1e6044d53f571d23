package verify

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// A term is a directive or a modifier of an SPF record.
type term struct {
	qualifier byte   // of a directive: '+' by default; 0: it is a modifier
	name      string // in lower case
	value     string // what stands after ":" or "=", without the lengths of networks; "" = the domain itself
}

// isSPF tells an SPF record from other texts (RFC 7208 section 4.5).
func isSPF(text string) bool {
	version, _, _ := strings.Cut(text, " ")
	return strings.EqualFold(version, "v=spf1")
}

// readSPF takes an SPF record apart, or says where it leaves the grammar of
// RFC 7208 section 12. Unlike an evaluation, which ends at the first match, it
// reads all of it (section 4.6).
func readSPF(text string) ([]term, error) {
	var out []term
	seen := map[string]bool{}
	for _, word := range strings.Split(text, " ")[1:] {
		if word == "" {
			continue
		}
		t, err := readTerm(word)
		if err != nil {
			return nil, fmt.Errorf("%.80q %w", word, err)
		}
		if t.qualifier == 0 && (t.name == "redirect" || t.name == "exp") {
			if seen[t.name] {
				return nil, fmt.Errorf("%s= stands there twice", t.name)
			}
			seen[t.name] = true
		}
		out = append(out, t)
	}
	return out, nil
}

var (
	modifier = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9._-]*)=(.*)$`)
	lengths  = regexp.MustCompile(`(/(0|[1-9][0-9]?))?(//(0|[1-9][0-9]{0,2}))?$`)
	macro    = regexp.MustCompile(`^%(%|_|-|\{[slodiphvSLODIPHV][0-9]*[rR]?[-.+,/_=]*\})`)
	zeroOf   = regexp.MustCompile(`^%\{[a-zA-Z]0+[^1-9]`)
	topLabel = regexp.MustCompile(`^([A-Za-z0-9]*[A-Za-z][A-Za-z0-9]*|[A-Za-z0-9]+-[A-Za-z0-9-]*[A-Za-z0-9])$`)
)

func readTerm(word string) (term, error) {
	if m := modifier.FindStringSubmatch(word); m != nil {
		t := term{name: strings.ToLower(m[1]), value: m[2]}
		if t.name == "redirect" || t.name == "exp" {
			return t, domainSpec(t.value)
		}
		_, err := macroString(t.value)
		return t, err
	}
	t := term{qualifier: '+'}
	if strings.IndexByte("+-?~", word[0]) >= 0 {
		t.qualifier, word = word[0], word[1:]
	}
	end := strings.IndexAny(word, ":/")
	if end < 0 {
		end = len(word)
	}
	t.name = strings.ToLower(word[:end])
	return t.mechanism(word[end:])
}

// mechanism reads what follows a mechanism's name.
func (t term) mechanism(rest string) (term, error) {
	value, colon := strings.CutPrefix(rest, ":")
	switch t.name {
	case "all":
		if rest != "" {
			return t, fmt.Errorf("is %q with something after it", t.name)
		}
		return t, nil
	case "a", "mx":
		cut := lengths.FindStringIndex(value)[0]
		if err := inRange(value[cut:]); err != nil {
			return t, err
		}
		if t.value = value[:cut]; !colon {
			if t.value != "" {
				return t, fmt.Errorf("has no valid length of a network after %q", t.name)
			}
			return t, nil
		}
	case "ptr":
		if t.value = value; rest == "" {
			return t, nil
		}
		if !colon {
			return t, fmt.Errorf("has something after %q", t.name)
		}
	case "include", "exists":
		if t.value = value; !colon {
			return t, fmt.Errorf("names no domain")
		}
	case "ip4", "ip6":
		if t.value = value; !colon {
			return t, fmt.Errorf("names no address")
		}
		return t, network(value, t.name == "ip4")
	default:
		return t, fmt.Errorf("is no mechanism and no modifier")
	}
	return t, domainSpec(t.value)
}

// inRange checks the lengths of "/24//64".
func inRange(s string) error {
	four, six, _ := strings.Cut(s, "//")
	for _, l := range []struct {
		text string
		most int
	}{{strings.TrimPrefix(four, "/"), 32}, {six, 128}} {
		if n, err := strconv.Atoi(l.text); l.text != "" && (err != nil || n > l.most) {
			return fmt.Errorf("has %s as the length of a network; %d is the most", l.text, l.most)
		}
	}
	return nil
}

// network reads the address or network of ip4 or ip6.
func network(s string, four bool) error {
	addr, length, has := strings.Cut(s, "/")
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Is4() != four || a.Zone() != "" {
		return fmt.Errorf("has no valid address")
	}
	n, err := strconv.Atoi(length)
	if has && (err != nil || n < 0 || n > a.BitLen() || strconv.Itoa(n) != length) {
		return fmt.Errorf("has no valid length of a network")
	}
	return nil
}

// macroString reads text with macros, and gives what stands after the last one.
func macroString(s string) (tail string, err error) {
	for i := 0; i < len(s); {
		switch m := macro.FindString(s[i:]); {
		case s[i] != '%' && s[i] > ' ' && s[i] <= '~':
			tail += s[i : i+1]
			i++
		case s[i] != '%':
			return "", fmt.Errorf("holds the octet %#02x", s[i])
		case m == "" || zeroOf.MatchString(m):
			return "", fmt.Errorf("holds no valid macro at %.20q", s[i:])
		default:
			i, tail = i+len(m), ""
		}
	}
	return tail, nil
}

// domainSpec reads a domain-spec: it ends in a macro, or in a label that can be
// that of a top-level domain, after a dot.
func domainSpec(s string) error {
	if s == "" {
		return fmt.Errorf("names no domain")
	}
	tail, err := macroString(s)
	if err != nil || tail == "" {
		return err
	}
	tail = strings.TrimSuffix(tail, ".")
	if dot := strings.LastIndexByte(tail, '.'); dot < 0 || !topLabel.MatchString(tail[dot+1:]) {
		return fmt.Errorf("names a domain that cannot be one")
	}
	return nil
}

package verify

import (
	"fmt"
	"net/mail"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

// A hop is one Received line (RFC 5321 section 4.4), as far as it can be told.
type hop struct {
	from netip.Addr // the peer's address; invalid if the line does not tell
	by   string     // the host that wrote it; "" if the line does not tell
	at   time.Time  // in UTC, whole seconds; zero if the line does not tell
}

// Bounds of what is looked at.
const (
	maxHops     = 100
	maxReceived = 8 << 10 // bytes of one Received line
	maxComments = 20      // within each other
)

var (
	literal = regexp.MustCompile(`\[(?:IPv6:)?([0-9A-Fa-f:.]{2,45})\]`)
	// Exim puts down the name that the peer gave for itself beside its address, and
	// that name may be a literal: it is the peer's word, not the server's.
	given   = regexp.MustCompile(`(?i)(?:helo|ident)=\S*`)
	isName  = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,255}$`)
	zoneOut = regexp.MustCompile(`\s*\([^()]*\)\s*$`) // "(CET)" behind a date
)

// parseReceived takes the Received lines of a header apart, the newest first, as
// they stand.
func parseReceived(header string) []hop {
	var hops []hop
	for _, line := range unfold(header) {
		name, value, ok := strings.Cut(line, ":")
		if !ok || !strings.EqualFold(strings.TrimSpace(name), "Received") {
			continue
		}
		if len(hops) == maxHops {
			break
		}
		hops = append(hops, parseHop(value[:min(len(value), maxReceived)]))
	}
	return hops
}

// parseHop reads one line: from clause, by clause, date. The from clause ends at
// the word "by" outside of comments (RFC 5322 section 3.2.2): within one, that
// word is a client's or a program's, "(qmail 99 invoked by uid 5)".
func parseHop(value string) (h hop) {
	words, date := clauses(value)
	from := value
	for i, w := range words {
		if !strings.EqualFold(w.text, "by") {
			continue
		}
		from = value[:w.at]
		if i+1 < len(words) && isName.MatchString(words[i+1].text) {
			h.by = strings.ToLower(words[i+1].text)
		}
		break
	}
	// The peer's address is the last literal of the from clause: the name that the
	// peer gave for itself comes before it, and may be a literal, too.
	if all := literal.FindAllStringSubmatch(given.ReplaceAllString(from, " "), -1); len(all) > 0 {
		if a, err := netip.ParseAddr(all[len(all)-1][1]); err == nil {
			h.from = a.Unmap()
		}
	}
	if t, err := mail.ParseDate(strings.TrimSpace(zoneOut.ReplaceAllString(date, ""))); err == nil && t.Year() > 1970 && t.Year() < 10000 {
		h.at = t.UTC()
	}
	return h
}

// A clauseWord is a word outside of comments, and where it stands.
type clauseWord struct {
	text string
	at   int
}

// clauses are the words of a Received line outside of comments, and what comes
// after its last semicolon there: the date.
func clauses(value string) (words []clauseWord, date string) {
	depth, begin := 0, -1
	word := func(end int) {
		if begin >= 0 {
			words = append(words, clauseWord{value[begin:end], begin})
			begin = -1
		}
	}
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && depth > 0:
			i++ // a quoted pair
		case c == '(':
			word(i)
			if depth++; depth > maxComments {
				return words, ""
			}
		case c == ')' && depth > 0:
			depth--
		case depth > 0:
		case c == ';':
			word(i)
			date = value[i+1:]
		case c == ' ' || c == '\t':
			word(i)
		case begin < 0:
			begin = i
		}
	}
	word(len(value))
	return words, date
}

// unfold joins folded header lines (RFC 5322 section 2.2.3).
func unfold(header string) []string {
	var lines []string
	for l := range strings.SplitSeq(strings.ReplaceAll(header, "\r\n", "\n"), "\n") {
		if l == "" {
			break
		}
		if (l[0] == ' ' || l[0] == '\t') && len(lines) > 0 {
			if last := &lines[len(lines)-1]; len(*last) < maxReceived { // what is longer is no use, and joining costs its square
				*last += " " + strings.TrimSpace(l)
			}
		} else {
			lines = append(lines, l)
		}
	}
	return lines
}

// field is the first field of a header by its name, unfolded; "" if there is none.
func field(header, name string) string {
	for _, line := range unfold(header) {
		if n, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(strings.TrimSpace(n), name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func words(hops []hop) []string {
	var out []string
	for _, h := range hops {
		out = append(out, fmt.Sprintf("%s from %s", h.by, h.from))
	}
	return out
}

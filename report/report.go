// Package report is the one formatter of words: for the screen, the plain watch,
// tables and errors, and the one place where foreign text (banners, DNS, logs,
// names) is made harmless before it reaches a terminal or a file. It also writes
// the stable JSON of every command.
//
// A [Printer] says each thing once: [Printer.Line] an event, [Printer.Explain] a
// domain's state and what can be done about it, the tables all the rest.
package report

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// maxText bounds one piece of foreign text, in runes.
const maxText = 500

// Harmless makes foreign text fit for one line of a terminal: what is not
// printable (control characters, escape sequences, bidirectional and invisible
// marks, broken UTF-8) is shown as an escape, and very long text is cut.
func Harmless(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	n := 0
	for len(s) > 0 {
		if n++; n > maxText {
			b.WriteString("...")
			break
		}
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteByte(' ')
		case printable(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
		s = s[size:]
	}
	return b.String()
}

// HarmlessLines is Harmless for text of several lines, as our own errors are.
func HarmlessLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = Harmless(l)
	}
	return strings.Join(lines, "\n")
}

func plain(s string) bool {
	if len(s) > maxText {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// printable leaves out marks that join, reorder or hide: a name must show as
// what it is.
func printable(r rune) bool {
	return unicode.IsPrint(r) && !unicode.Is(unicode.Mn, r) && !unicode.Is(unicode.Me, r)
}

// Cut shortens harmless text to a display width, in columns.
func Cut(s string, width int) string {
	if width <= 0 {
		return ""
	}
	return ansi.Truncate(s, width, "…")
}

// Pad cuts or fills harmless text to a display width, in columns.
func Pad(s string, width int) string {
	s = Cut(s, width)
	return s + strings.Repeat(" ", max(width-ansi.StringWidth(s), 0))
}

// unquoted are the characters that mean nothing to a shell.
const unquoted = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@%+=,"

// Quote quotes an argument for a POSIX shell, if that is needed.
func Quote(s string) string {
	safe := s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune(unquoted, r)
	})
	if safe {
		return s
	}
	return "'" + strings.ReplaceAll(Harmless(s), "'", `'\''`) + "'"
}

package main

import (
	"bufio"
	"errors"
	"strings"
	"testing"
)

// TestEachLine: a line that is too long is told by its number, and so is what a caller
// refuses; empty lines and comments count as lines, and as nothing else.
func TestEachLine(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", bufio.MaxScanTokenSize)
	refused := errors.New("no")
	for text, want := range map[string]string{
		"\ufeffa.test\n\n# b\n c.test # d": "1 a.test, 4 c.test",
		"a.test\n" + long + "\nc.test":     "1 a.test; list:2: the line is longer than 65536 bytes; is it a list?",
		"no.test":                          "; no",
	} {
		var seen []string
		err := eachLine("list", strings.NewReader(text), func(n int, text string) error {
			if text == "no.test" {
				return refused
			}
			seen = append(seen, string(rune('0'+n))+" "+text)
			return nil
		})
		got := strings.Join(seen, ", ")
		if err != nil {
			got += "; " + err.Error()
		}
		if got != want {
			t.Errorf("%.40q: %q, want %q", text, got, want)
		}
	}
}

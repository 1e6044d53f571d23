package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// varying is what differs from one run to the next: times, addresses, durations, ids,
// and who types. Other numbers are compared.
var varying = regexp.MustCompile(strings.Join([]string{
	`[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z| UTC)?)?`, `\b[0-9]{2}:[0-9]{2}(:[0-9]{2})?\b`, `\b127(\.[0-9]{1,3}){3}(/[0-9]+)?(:[0-9]+)?`,
	`\b[0-9]+(\.[0-9]+)? ?(ms|s|m|h|d)\b`, `\b[0-9]+h[0-9]+m\b`, `\b[0-9a-f]{12,64}\b`, `\buid [0-9]+( \([^)]*\))?`, `\bpid [0-9]+`, `mxcutover-demo-[0-9]+`, `[█▉▊▋▌▍▎▏]+`,
}, "|"))

// pattern is a line of a page as a pattern for what is really said: spaces count as
// one, what varies is anything of its kind, and "..." within it is anything at all.
func pattern(line string) *regexp.Regexp {
	line = strings.Join(strings.Fields(varying.ReplaceAllString(line, "\x00")), " ")
	var b strings.Builder
	for i, piece := range strings.Split(strings.ReplaceAll(line, "…", "..."), "...") {
		if i > 0 {
			b.WriteString(".*")
		}
		b.WriteString(regexp.QuoteMeta(piece))
	}
	return regexp.MustCompile("^" + b.String() + "$")
}

// compare holds what a page says to what was said: line for line, but for a line "...",
// which is any number of lines. One that comes first says that anything may be left out
// after it, as where a page has some of what is said. Empty lines do not count.
func compare(want []string, got string) error {
	var said []string
	for line := range strings.SplitSeq(got, "\n") {
		if line = strings.Join(strings.Fields(varying.ReplaceAllString(line, "\x00")), " "); line != "" {
			said = append(said, line)
		}
	}
	some := len(want) > 0 && strings.TrimSpace(want[0]) == "..."
	i, any := 0, false
	for _, line := range want {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if line == "..." {
			any = true
			continue
		}
		p := pattern(line)
		at := i
		for any && at < len(said) && !p.MatchString(said[at]) {
			at++
		}
		if at >= len(said) || !p.MatchString(said[at]) {
			return fmt.Errorf("the page has a line\n  %s\nand what is said there is\n%s", line, got)
		}
		i, any = at+1, some
	}
	if !any && i < len(said) {
		return fmt.Errorf("more is said than the page has, from %q on; a line \"...\" stands for what is left out:\n%s", said[i], got)
	}
	return nil
}

// TestCompare: what differs by more than the time of day is found.
func TestCompare(t *testing.T) {
	t.Parallel()
	said := "a  b 10:11:12\n\nc 127.1.2.3:25 took 3s\nd 7 passed, 0 failed\n"
	for want, ok := range map[string]bool{
		"a b 01:02:03|c 127.9.9.9:2525 took 12 s|d 7 passed, 0 failed": true, "a b 01:02:03|...|d ... passed, 0 failed": true, "...|c ...|...": true, "...|a ...|d ...": true, "...": true,
		"a b 01:02:03|...|d 7 passed, 1 failed": false, "a b 01:02:03": false, "c ...|...": false, "...|d 7 passed, 0 failed|e": false, "": false, "...|a ...|a ...": false,
	} {
		if err := compare(strings.Split(want, "|"), said); (err == nil) != ok {
			t.Errorf("%s: %v", want, err)
		}
	}
}

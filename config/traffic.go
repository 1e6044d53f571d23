package config

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"mxcutover/plan"
)

// Bounds of a traffic table.
const (
	maxTable     = 64 << 20 // bytes
	maxTableLine = 4 << 10  // bytes
)

// ReadTraffic reads a traffic table: lines of a domain, how many messages it
// had, and if known the hour of the day with most of them, from 0 to 23 in the
// zone of the gate, with white space between them. From # on, a line is a
// comment. Counts of one domain in several lines, or spellings, are added up;
// the hour of the last line counts. The keys of the result are canonical names.
// An error is [Faults], or that of reading.
func ReadTraffic(path string) (map[string]plan.Traffic, error) {
	data, err := readLimited(path, maxTable)
	if err != nil {
		return nil, fmt.Errorf("traffic table: %w", err)
	}
	return parseTraffic(path, data)
}

func parseTraffic(path string, data []byte) (map[string]plan.Traffic, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	d := &document{path: path, lines: strings.Split(string(data), "\n")}
	found := &problems{}
	out := map[string]plan.Traffic{}
	for i, line := range d.lines {
		if found.over {
			break
		}
		if len(line) > maxTableLine {
			d.lines[i] = line[:maxTableLine]
			found.add(i+1, 1, "", fmt.Sprintf("the line is above %d bytes", maxTableLine), "write: example.org 1200")
			continue
		}
		d.row(i+1, line, out, found)
	}
	if !found.none() {
		return nil, d.faults(found, nil)
	}
	return out, nil
}

// row reads one line of a traffic table into out.
func (d *document) row(n int, line string, out map[string]plan.Traffic, found *problems) {
	content, _, _ := strings.Cut(line, "#")
	words := strings.Fields(content)
	if len(words) == 0 {
		return
	}
	before, _, _ := strings.Cut(content, words[0])
	first := utf8.RuneCountInString(before) + 1
	if len(words) != 2 && len(words) != 3 {
		found.add(n, first, "", fmt.Sprintf("%d words; a domain and a number of messages were expected", len(words)), "write: example.org 1200")
		return
	}
	gap, _, _ := strings.Cut(content[len(before)+len(words[0]):], words[1])
	second := first + utf8.RuneCountInString(words[0]) + utf8.RuneCountInString(gap)
	var peak *int
	if len(words) == 3 {
		hour, err := strconv.Atoi(words[2])
		if _, bad := strconv.ParseUint(words[1], 10, 64); bad == nil && (err != nil || hour < 0 || hour > 23) {
			third := utf8.RuneCountInString(content[:strings.LastIndex(content, words[2])]) + 1
			found.add(n, third, "", fmt.Sprintf("%.40q is no hour of the day", words[2]), "write 0 to 23, as in: example.org 1200 14")
			return
		}
		peak = &hour
	}
	name, err := canonicalName(words[0])
	if err != nil {
		found.add(n, first, "", fmt.Sprintf("%.80q %v", words[0], err), "write: example.org 1200")
	}
	messages, bad := strconv.ParseUint(words[1], 10, 64)
	switch {
	case bad != nil:
		found.add(n, second, "", fmt.Sprintf("%.40q is no number of messages", words[1]), "write: example.org 1200")
	case err != nil:
	case out[name].Messages+messages < messages:
		found.add(n, second, "", fmt.Sprintf("the messages of %.80q add up to more than can be counted", words[0]), "")
	default:
		t := out[name]
		t.Messages += messages
		if peak != nil {
			t.Peak = peak
		}
		out[name] = t
	}
}

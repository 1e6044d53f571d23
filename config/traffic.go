package config

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a traffic table.
const (
	maxTable     = 64 << 20 // bytes
	maxTableLine = 4 << 10  // bytes
)

// ReadTraffic reads a traffic table: lines of a domain and how many messages it
// had, with white space between them. From # on, a line is a comment. Counts of
// one domain in several lines, or spellings, are added up. The keys of the
// result are canonical names. An error is [Faults], or that of reading.
func ReadTraffic(path string) (map[string]uint64, error) {
	data, err := readLimited(path, maxTable)
	if err != nil {
		return nil, fmt.Errorf("traffic table: %w", err)
	}
	return parseTraffic(path, data)
}

func parseTraffic(path string, data []byte) (map[string]uint64, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	d := &document{path: path, lines: strings.Split(string(data), "\n")}
	found := &problems{}
	out := map[string]uint64{}
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
func (d *document) row(n int, line string, out map[string]uint64, found *problems) {
	content, _, _ := strings.Cut(line, "#")
	words := strings.Fields(content)
	if len(words) == 0 {
		return
	}
	before, _, _ := strings.Cut(content, words[0])
	first := utf8.RuneCountInString(before) + 1
	if len(words) != 2 {
		found.add(n, first, "", fmt.Sprintf("%d words; a domain and a number of messages were expected", len(words)), "write: example.org 1200")
		return
	}
	second := utf8.RuneCountInString(content[:strings.LastIndex(content, words[1])]) + 1
	name, err := canonicalName(words[0])
	if err != nil {
		found.add(n, first, "", fmt.Sprintf("%.80q %v", words[0], err), "write: example.org 1200")
	}
	messages, bad := strconv.ParseUint(words[1], 10, 64)
	switch {
	case bad != nil:
		found.add(n, second, "", fmt.Sprintf("%.40q is no number of messages", words[1]), "write: example.org 1200")
	case err != nil:
	case out[name]+messages < messages:
		found.add(n, second, "", fmt.Sprintf("the messages of %.80q add up to more than can be counted", words[0]), "")
	default:
		out[name] += messages
	}
}

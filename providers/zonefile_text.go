package providers

import (
	"bytes"
	"fmt"
	"math"
)

// A fileText is a master file (RFC 1035 section 5) as it was read, and where its
// entries lie in it. What lies between them, comments and blank lines, is kept
// by not being touched.
type fileText struct {
	path    string
	text    []byte
	entries []fileEntry
}

// A fileEntry is a directive or a record: the text from start to end, with its
// line end. Parentheses may make it several lines long.
type fileEntry struct {
	start, end int32
	line       int32 // from 1
	blank      bool  // it begins with white space: the owner is the last one
	words      []fileWord
}

// A fileWord lies at [start,end) of the text, its quotes included.
type fileWord struct{ start, end int32 }

// word is the text of an entry's word.
func (f *fileText) word(e *fileEntry, i int) string {
	w := e.words[i]
	return string(f.text[w.start:w.end])
}

// rest is the text of all words from one on, comments and parentheses left out.
// What stood without a blank between stays so, as in alpn="h2,h3".
func (f *fileText) rest(e *fileEntry, from int) string {
	var b bytes.Buffer
	for i := from; i < len(e.words); i++ {
		if i > from && e.words[i-1].end != e.words[i].start {
			b.WriteByte(' ')
		}
		b.Write(f.text[e.words[i].start:e.words[i].end])
	}
	return b.String()
}

// at says where an entry stands, for errors.
func (f *fileText) at(e *fileEntry) string { return fmt.Sprintf("%s:%d", f.path, e.line) }

// newline is how the line that ends before an offset ends; LF if there is none.
func (f *fileText) newline(before int32) string {
	if i := bytes.LastIndexByte(f.text[:before], '\n'); i > 0 && f.text[i-1] == '\r' {
		return "\r\n"
	}
	if i := bytes.IndexByte(f.text, '\n'); i > 0 && f.text[i-1] == '\r' && bytes.LastIndexByte(f.text[:before], '\n') < 0 {
		return "\r\n"
	}
	return "\n"
}

// A fileCutter goes through a text once.
type fileCutter struct {
	f     *fileText
	i     int
	line  int32
	depth int
	entry fileEntry
	words []fileWord // of the entry
	room  []fileWord // for those of entries to come
}

// cutFile finds the entries of a text.
func cutFile(path string, text []byte) (*fileText, error) {
	if len(text) > math.MaxInt32/2 {
		return nil, fmt.Errorf("%s: the file is too large", path)
	}
	c := &fileCutter{f: &fileText{path: path, text: text, entries: make([]fileEntry, 0, bytes.Count(text, []byte{'\n'})+1)}, line: 1}
	c.begin()
	for c.i < len(text) {
		if err := c.step(); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, c.line, err)
		}
	}
	if c.depth > 0 {
		return nil, fmt.Errorf("%s:%d: the parenthesis is not closed", path, c.entry.line)
	}
	c.finish()
	return c.f, nil
}

// begin begins an entry at the start of a line.
func (c *fileCutter) begin() {
	c.entry = fileEntry{start: int32(c.i), line: c.line}
	if c.i < len(c.f.text) {
		c.entry.blank = c.f.text[c.i] == ' ' || c.f.text[c.i] == '\t'
	}
}

// finish ends the entry; lines without a word are none.
func (c *fileCutter) finish() {
	n := len(c.words)
	if n == 0 {
		return
	}
	if len(c.room) < n {
		c.room = make([]fileWord, max(n, 4096))
	}
	copy(c.room, c.words)
	c.entry.words, c.room, c.words = c.room[:n:n], c.room[n:], c.words[:0]
	c.entry.end = int32(c.i)
	c.f.entries = append(c.f.entries, c.entry)
}

// step takes the next sign, word or comment.
func (c *fileCutter) step() error {
	text := c.f.text
	switch b := text[c.i]; {
	case b == '\n':
		c.i++
		c.line++
		if c.depth == 0 {
			c.finish()
			c.begin()
		}
	case b == '\r' && c.i+1 < len(text) && text[c.i+1] == '\n', b == ' ', b == '\t':
		c.i++
	case b == ';':
		for c.i < len(text) && text[c.i] != '\n' {
			c.i++
		}
	case b == '(':
		c.i++
		c.depth++
	case b == ')':
		if c.depth == 0 {
			return fmt.Errorf("a parenthesis closes that was not opened")
		}
		c.i++
		c.depth--
	case b == '"':
		return c.quoted()
	default:
		return c.bare()
	}
	return nil
}

func (c *fileCutter) add(start int) {
	c.words = append(c.words, fileWord{int32(start), int32(c.i)})
}

// quoted takes a word in quotes, which ends on its own line.
func (c *fileCutter) quoted() error {
	text, start := c.f.text, c.i
	for c.i++; c.i < len(text); c.i++ {
		switch text[c.i] {
		case '"':
			c.i++
			c.add(start)
			return nil
		case '\\':
			c.i++
			if c.i < len(text) && text[c.i] == '\n' {
				return fmt.Errorf("a backslash stands at the line's end")
			}
		case '\n':
			return fmt.Errorf("the quote is not closed on its line")
		case 0:
			return fmt.Errorf("this is no text (is it in BIND's raw format?)")
		}
	}
	return fmt.Errorf("the quote is not closed")
}

// bare takes a word without quotes. A quote begins another word.
func (c *fileCutter) bare() error {
	text, start := c.f.text, c.i
	for ; c.i < len(text); c.i++ {
		switch b := text[c.i]; {
		case b == ' ' || b == '\t' || b == '\n' || b == ';' || b == '(' || b == ')' || b == '"':
			c.add(start)
			return nil
		case b == '\r' && c.i+1 < len(text) && text[c.i+1] == '\n':
			c.add(start)
			return nil
		case b == '\\':
			c.i++
			if c.i == len(text) || text[c.i] == '\n' || text[c.i] == '\r' {
				return fmt.Errorf("a backslash stands at the line's end")
			}
		case b < ' ' || b == 0x7f:
			return fmt.Errorf("the octet %#02x does not belong in a master file (is it in BIND's raw format?)", b)
		}
	}
	c.add(start)
	return nil
}

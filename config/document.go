package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of one document, so that neither nesting nor aliases can exhaust us.
const (
	maxTokens = 400_000
	maxFlow   = 32 // [ and { within each other
	maxInLine = 64 // block indicators, tags and anchors that begin within one line
)

// A document is a YAML file as a tree of our own, with the source beside it.
type document struct {
	path  string
	dir   string // where relative paths start
	lines []string
	root  *node // nil: the text could not be read at all
	masks []mask
}

// readDocument reads a text into a tree. What is wrong with it as YAML is added
// to found; the rest can be decoded all the same, unless there is no root.
func readDocument(path string, data []byte, found *problems) *document {
	d := &document{path: path, dir: filepath.Dir(path)}
	if len(data) > MaxSize {
		found.add(1, 1, "", fmt.Sprintf("the file is above %d bytes", MaxSize), "")
		return d
	}
	text := strings.ReplaceAll(strings.TrimPrefix(string(data), "\ufeff"), "\r\n", "\n")
	d.lines = strings.Split(text, "\n")
	if !d.characters(found) {
		d.masks = d.byText()
		return d
	}
	body, err := parseYAML(text)
	if err != nil {
		d.masks = d.byText()
		d.syntax(err, found)
		return d
	}
	if body == nil {
		found.add(1, 1, "", "the file is empty", "begin with: migration: NAME")
		return d
	}
	r := &reader{doc: d, found: found, anchors: map[string]ast.Node{}, open: map[string]bool{}}
	d.root = r.read(body)
	return d
}

// characters refuses what is not text (YAML 1.2 section 5.1).
func (d *document) characters(found *problems) bool {
	good := true
	for i, l := range d.lines {
		if !utf8.ValidString(l) {
			at := utf8.RuneCountInString(l[:strings.IndexRune(l, utf8.RuneError)])
			found.add(i+1, at+1, "", "the file is not UTF-8", "save it as UTF-8")
			good = false
			continue
		}
		column := 0
		for _, c := range l {
			column++
			if c != '\t' && unicode.IsControl(c) || c == '\ufeff' || c == '\u2028' || c == '\u2029' {
				found.add(i+1, column, "", fmt.Sprintf("the character %U does not belong in a text", c), "delete it")
				good = false
				break
			}
		}
	}
	return good
}

// A syntaxError is text that is no YAML, or more of it than we read.
type syntaxError struct {
	line, column  int
	message, cure string
}

func (e *syntaxError) Error() string { return e.message }

// parseYAML parses one document. It gives nil for an empty one.
func parseYAML(text string) (body ast.Node, err error) {
	defer func() { // the parser indexes beyond its tokens on some broken texts
		if p := recover(); p != nil {
			body, err = nil, &syntaxError{1, 1, "the text is not YAML that can be read", "look for an anchor, a quote or a bracket without its end"}
		}
	}()
	tokens := lexer.Tokenize(text)
	if e := tooDeep(tokens); e != nil {
		return nil, e
	}
	f, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // we tell duplicates ourselves, all of them
	if err != nil {
		return nil, err
	}
	for i, doc := range f.Docs {
		switch {
		case doc.Body == nil:
		case body != nil:
			line, column := position(f.Docs[i].Body)
			return nil, &syntaxError{line, column, "a second YAML document begins here; one was expected", "delete the line ---"}
		default:
			body = doc.Body
		}
	}
	return body, nil
}

// tooDeep refuses, before the parser recurses, what nests without end.
func tooDeep(tokens token.Tokens) *syntaxError {
	if len(tokens) > maxTokens {
		return &syntaxError{1, 1, fmt.Sprintf("the file has more than %d words and signs", maxTokens), ""}
	}
	flow, line, inLine := 0, 0, 0
	for _, t := range tokens {
		if t.Position == nil {
			continue
		}
		if t.Position.Line != line {
			line, inLine = t.Position.Line, 0
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.TagType, token.AnchorType:
			inLine++
		}
		if flow > maxFlow || inLine > maxInLine {
			return &syntaxError{line, t.Position.Column, "this is nested too deeply", ""}
		}
	}
	return nil
}

// syntax tells where the parser stopped. It stops at the first place.
func (d *document) syntax(err error, found *problems) {
	var own *syntaxError
	if errors.As(err, &own) {
		found.add(own.line, own.column, "", own.message, own.cure)
		return
	}
	var y yaml.Error
	if !errors.As(err, &y) {
		found.add(1, 1, "", "the text is not YAML", "")
		return
	}
	line, column := 1, 1
	if t := y.GetToken(); t != nil && t.Position != nil {
		line, column = t.Position.Line, t.Position.Column
	}
	found.add(line, column, "", "not YAML: "+strings.ReplaceAll(y.GetMessage(), "\t", `\t`), syntaxCure(y.GetMessage()))
}

func syntaxCure(message string) string {
	switch {
	case strings.Contains(message, "reserved character"), strings.Contains(message, "alias"), strings.Contains(message, "scalar value type"):
		return "a value that begins with a sign, such as * or @, wants quotes"
	case strings.Contains(message, "'\t' that cannot start"):
		return "indent with spaces, not with tabs"
	case strings.Contains(message, "mapping value is not allowed"):
		return "a value with a colon and a space wants quotes; else look at the indentation"
	}
	return ""
}

// position is where a node begins, in lines and columns from 1.
func position(n ast.Node) (line, column int) {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return position(m.Values[0].Key)
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		return position(m.Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line, max(t.Position.Column, 1)
	}
	return 1, 1
}

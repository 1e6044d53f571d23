package config

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// A kind is what a node is, as YAML's core schema reads plain text.
type kind int

const (
	brokenKind kind = iota // told already
	nullKind
	textKind
	numberKind
	boolKind
	listKind
	mappingKind
)

func (k kind) String() string {
	return [...]string{"something unreadable", "nothing", "a text", "a number", "true or false", "a list", "a mapping"}[k]
}

// A node is one value of the file. It is never changed once it is read.
type node struct {
	kind         kind
	text         string // of a scalar, as it was written but for quotes
	line, column int
	span         []mask // where a scalar stands
	entries      []entry
	items        []*node
}

type entry struct {
	name       string
	key, value *node
}

const (
	maxNodes = 200_000 // each use of an alias counts anew
	maxDepth = 32
)

// A reader turns the parser's tree into ours: aliases and merge keys followed,
// duplicate keys, tags and other surprises told.
type reader struct {
	doc     *document
	found   *problems
	anchors map[string]ast.Node
	open    map[string]bool // anchors whose node is being read
	nodes   int
	depth   int
	line    int // whose characters are in runes
	runes   []rune
}

func (r *reader) read(n ast.Node) *node {
	r.nodes++
	r.depth++
	defer func() { r.depth-- }()
	if n == nil {
		return &node{kind: brokenKind, line: 1, column: 1}
	}
	line, column := position(n)
	out := &node{line: line, column: column}
	if r.nodes > maxNodes || r.depth > maxDepth {
		if r.nodes <= maxNodes+1 {
			r.found.add(line, column, "", "the values are too many, or nested too deeply, with all aliases followed", "")
		}
		return out
	}
	switch v := n.(type) {
	case *ast.MappingNode:
		r.mapping(out, v.Values)
	case *ast.MappingValueNode:
		r.mapping(out, []*ast.MappingValueNode{v})
	case *ast.SequenceNode:
		out.kind = listKind
		for _, x := range v.Values {
			out.items = append(out.items, r.read(x))
		}
	case *ast.AnchorNode:
		return r.anchor(v)
	case *ast.AliasNode:
		return r.alias(v, out)
	case *ast.LiteralNode:
		out.kind, out.text = textKind, v.Value.Value
		out.span = append(r.span(v.GetToken(), true), r.span(v.Value.GetToken(), true)...)
	case *ast.TagNode:
		r.found.add(line, column, "", "a YAML tag (!) has no meaning here", "delete it")
	default:
		r.scalar(out, n)
	}
	return out
}

func (r *reader) scalar(out *node, n ast.Node) {
	t := n.GetToken()
	switch v := n.(type) {
	case *ast.StringNode:
		out.kind, out.text = textKind, v.Value
	case *ast.NullNode:
		out.kind = nullKind
	case *ast.BoolNode:
		out.kind, out.text = boolKind, t.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		out.kind, out.text = numberKind, t.Value
	default:
		r.found.add(out.line, out.column, "", "this form of YAML has no meaning here", "write plain keys and values")
		return
	}
	out.span = r.span(t, false)
}

// span is where a scalar stands in the source. In doubt it is too large: it is
// what hides secrets.
func (r *reader) span(t *token.Token, whole bool) []mask {
	if t == nil || t.Position == nil {
		return nil
	}
	p := t.Position
	origin := strings.Trim(t.Origin, " \n")
	if !whole && !strings.Contains(origin, "\n") && p.Line <= len(r.doc.lines) && p.Column >= 1 {
		n := len([]rune(origin))
		if r.line != p.Line {
			r.line, r.runes = p.Line, []rune(r.doc.lines[p.Line-1])
		}
		l := r.runes
		if end := p.Column - 1 + n; end <= len(l) && string(l[p.Column-1:end]) == origin {
			return []mask{{p.Line, p.Column, p.Column + n}}
		}
	}
	out := []mask{{p.Line, max(p.Column, 1), 0}}
	for i := range strings.Count(t.Origin, "\n") {
		out = append(out, mask{p.Line + i + 1, 1, 0})
	}
	return out
}

func (r *reader) anchor(v *ast.AnchorNode) *node {
	name := ""
	if v.Name != nil && v.Name.GetToken() != nil {
		name = v.Name.GetToken().Value
	}
	r.anchors[name] = v.Value
	r.open[name] = true
	defer delete(r.open, name)
	return r.read(v.Value)
}

func (r *reader) alias(v *ast.AliasNode, out *node) *node {
	name := ""
	if v.Value != nil && v.Value.GetToken() != nil {
		name = v.Value.GetToken().Value
	}
	target, ok := r.anchors[name]
	switch {
	case !ok:
		r.found.add(out.line, out.column, "", fmt.Sprintf("no anchor &%s stands above", name), `a text that begins with * wants quotes: "*"`)
		return out
	case r.open[name]:
		r.found.add(out.line, out.column, "", fmt.Sprintf("the alias *%s is within its own anchor", name), "")
		return out
	}
	r.open[name] = true
	defer delete(r.open, name)
	return r.read(target)
}

func (r *reader) mapping(out *node, values []*ast.MappingValueNode) {
	out.kind = mappingKind
	seen := map[string]*node{}
	var merged []entry
	for _, v := range values {
		if v == nil || v.Key == nil {
			continue
		}
		if _, ok := v.Key.(*ast.MergeKeyNode); ok {
			merged = append(merged, r.merge(v)...)
			continue
		}
		key := r.key(v.Key)
		value := r.read(v.Value)
		if key.kind == brokenKind {
			continue
		}
		e := entry{name: key.text, key: key, value: value}
		r.doc.hide(e)
		if first, ok := seen[e.name]; ok {
			r.found.add(key.line, key.column, "", fmt.Sprintf("the key %.80q stands twice; first in line %d", e.name, first.line), "delete one of the two")
			continue
		}
		seen[e.name] = key
		out.entries = append(out.entries, e)
	}
	for _, e := range merged {
		if seen[e.name] == nil {
			seen[e.name] = e.key
			out.entries = append(out.entries, e)
		}
	}
}

// key reads a mapping's key, which must be a plain word.
func (r *reader) key(k ast.MapKeyNode) *node {
	line, column := position(k)
	out := &node{line: line, column: column}
	switch k.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode, *ast.InfinityNode, *ast.NanNode:
		r.scalar(out, k)
		out.kind = textKind
		if v, ok := k.(*ast.StringNode); !ok {
			out.text = k.GetToken().Value
		} else {
			out.text = v.Value
		}
	default:
		r.found.add(line, column, "", "a key must be a plain word", "write key: value")
	}
	return out
}

// merge reads "<<: *alias" and "<<: [*a, *b]"; what stands first wins.
func (r *reader) merge(v *ast.MappingValueNode) []entry {
	n := r.read(v.Value)
	from := []*node{n}
	if n.kind == listKind {
		from = n.items
	}
	var out []entry
	for _, m := range from {
		switch m.kind {
		case mappingKind:
			out = append(out, m.entries...)
		case brokenKind:
		default:
			r.found.add(m.line, m.column, "", "<< merges a mapping, and this is "+m.kind.String(), "")
		}
	}
	return out
}

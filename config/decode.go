package config

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mxcutover/rrset"
)

// A decoder fills Go values from a document, strictly: it tells unknown,
// missing and doubled keys and wrong types, all of them, and goes on.
type decoder struct {
	doc    *document
	found  *problems
	at     map[string]place // where each key stands, by its full spelling
	bad    map[string]bool  // keys with a fault
	closed []mask           // what no excerpt may show, besides the document's masks
	misuse error            // the Go value cannot be decoded into: a fault of the program
}

type place struct{ key, value *node }

// A rule is what a field's tags ask of its value.
type rule struct {
	is, keys string
	nonempty bool
}

func newDecoder(doc *document, found *problems) *decoder {
	return &decoder{doc: doc, found: found, at: map[string]place{}, bad: map[string]bool{}}
}

// decode fills the value that into points to.
func (d *decoder) decode(at place, into any, key string) {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		d.misuse = fmt.Errorf("config: decode into %T: a pointer was expected", into)
		return
	}
	d.at[key] = at
	d.value(at.value, v.Elem(), key, rule{})
}

// fault tells what is wrong with a key, at its value or, where the key is
// missing, at the nearest key around it.
func (d *decoder) fault(key, message, cure string) {
	d.bad[key] = true
	for k := key; ; k = outer(k) {
		if p, ok := d.at[k]; ok {
			n := p.value
			if p.key != nil && k != key {
				n = p.key
			}
			d.found.add(n.line, n.column, key, message, cure)
			return
		}
		if k == "" {
			d.found.add(1, 1, key, message, cure)
			return
		}
	}
}

// faultOfName tells what is wrong with a key as a name, at the key itself.
func (d *decoder) faultOfName(key, message, cure string) {
	if p := d.at[key]; p.key != nil {
		d.at[key] = place{p.key, p.key}
	}
	d.fault(key, message, cure)
}

// good tells whether a key stands there and has no fault.
func (d *decoder) good(key string) bool {
	_, ok := d.at[key]
	return ok && !d.bad[key]
}

// outer is the key around a key.
func outer(key string) string {
	return key[:max(strings.LastIndexAny(key, ".["), 0)]
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// inner is a key within a key.
func inner(key, name string) string {
	switch {
	case !plainKey.MatchString(name):
		return fmt.Sprintf("%s[%.80q]", key, name)
	case key == "":
		return name
	}
	return key + "." + name
}

func item(key string, i int) string { return key + "[" + strconv.Itoa(i) + "]" }

// value fills one value. Types of our own come first, then those that read
// themselves from a text, then Go's.
func (d *decoder) value(n *node, v reflect.Value, key string, r rule) {
	switch {
	case n.kind == brokenKind:
		d.bad[key] = true
		return
	case n.kind == nullKind && v.Kind() != reflect.Interface:
		d.fault(key, "has no value", "write one, or leave the key out")
		return
	case d.own(n, v, key, r):
		return
	case v.Kind() == reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		if f, ok := p.Interface().(interface{ defaults() }); ok {
			f.defaults()
		}
		v.Set(p)
		d.value(n, p.Elem(), key, r)
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.readText(n, u, key)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, key)
	case reflect.Slice:
		d.slice(n, v, key, r)
	case reflect.Map:
		d.table(n, v, key, r)
	default:
		d.scalar(n, v, key, r)
	}
}

func (d *decoder) readText(n *node, u encoding.TextUnmarshaler, key string) {
	if !d.isScalar(n, key) {
		return
	}
	if n.kind != textKind {
		d.wrong(n, key, "a text", "write it in quotes")
		return
	}
	if err := u.UnmarshalText([]byte(n.text)); err != nil {
		if d.hidden(n) {
			d.fault(key, "has a value that cannot be read", "")
			return
		}
		d.fault(key, fmt.Sprintf("%.80q cannot be read: %v", n.text, err), "")
	}
}

// wrong tells that a value is of another kind than was expected.
func (d *decoder) wrong(n *node, key, expected, cure string) {
	subject := ""
	if key == "" {
		subject = "the file "
	}
	d.fault(key, subject+"is "+d.name(n)+"; "+expected+" was expected", cure)
}

// name is a value in words, the scalar itself unless it is hidden.
func (d *decoder) name(n *node) string {
	if (n.kind == numberKind || n.kind == boolKind) && !d.hidden(n) {
		return fmt.Sprintf("%s (%.40s)", n.kind, n.text)
	}
	return n.kind.String()
}

// hidden tells whether a value is masked in excerpts.
func (d *decoder) hidden(n *node) bool {
	return slices.ContainsFunc(n.span, func(m mask) bool {
		return slices.Contains(d.doc.masks, m) || slices.Contains(d.closed, m)
	})
}

func (d *decoder) isScalar(n *node, key string) bool {
	if n.kind == listKind || n.kind == mappingKind {
		d.wrong(n, key, "one value", "")
		return false
	}
	return true
}

func (d *decoder) structure(n *node, v reflect.Value, key string) {
	if n.kind != mappingKind {
		d.wrong(n, key, "a mapping (key: value)", "")
		return
	}
	fields, err := fieldsOf(v.Type())
	if err != nil {
		d.misuse = err
		return
	}
	for _, e := range n.entries {
		k := inner(key, e.name)
		d.at[k] = place{e.key, e.value}
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == e.name })
		if i < 0 {
			d.closed = append(d.closed, spans(e.value)...)
			d.at[k] = place{e.key, e.key}
			d.fault(k, "no such key", suggest(e.name, names(fields)))
			continue
		}
		d.value(e.value, v.FieldByIndex(fields[i].index), k, fields[i].rule)
	}
	for _, f := range fields {
		if k := inner(key, f.name); f.required && d.at[k].value == nil {
			d.fault(k, "is missing", "")
		}
	}
}

func (d *decoder) slice(n *node, v reflect.Value, key string, r rule) {
	if n.kind != listKind {
		d.wrong(n, key, "a list", "write [a, b], or one item a line after a dash")
		return
	}
	if r.nonempty && len(n.items) == 0 {
		d.fault(key, "is an empty list", "")
	}
	out := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, x := range n.items {
		k := item(key, i)
		d.at[k] = place{value: x}
		d.value(x, out.Index(i), k, rule{is: r.is})
	}
	v.Set(out)
}

func (d *decoder) table(n *node, v reflect.Value, key string, r rule) {
	if v.Type().Key().Kind() != reflect.String {
		d.misuse = fmt.Errorf("config: cannot decode into %s: a map by strings was expected", v.Type())
		return
	}
	if n.kind != mappingKind {
		d.wrong(n, key, "a mapping (key: value)", "")
		return
	}
	if r.nonempty && len(n.entries) == 0 {
		d.fault(key, "is an empty mapping", "")
	}
	out := reflect.MakeMapWithSize(v.Type(), len(n.entries))
	for _, e := range n.entries {
		name := e.name
		k := inner(key, name)
		d.at[k] = place{e.key, e.value}
		if r.keys != "" {
			d.at[k] = place{e.key, e.key}
			made, ok := d.convert(name, k, r.keys)
			if !ok {
				continue
			}
			name, k = made, inner(key, rrset.Bare(made))
			d.at[k] = place{e.key, e.value}
		}
		mk := reflect.ValueOf(name).Convert(v.Type().Key())
		if out.MapIndex(mk).IsValid() {
			d.found.add(e.key.line, e.key.column, k, "stands twice, in two spellings", "delete one of the two")
			continue
		}
		mv := reflect.New(v.Type().Elem()).Elem()
		d.value(e.value, mv, k, rule{is: r.is})
		out.SetMapIndex(mk, mv)
	}
	v.Set(out)
}

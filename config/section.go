package config

import "fmt"

// A Section is a part of the file that only a provider understands. It is
// decoded by whoever does, as strictly as the rest.
type Section struct {
	doc   *document
	place place
	key   string
}

// Decode fills the struct that into points to. Keys are named by yaml tags, and
// may be marked: `yaml:"server,required"`. Durations are written with units,
// secrets are [secret.Ref] (their relative files start at the configuration's
// folder), types with UnmarshalText read themselves. Unknown, missing and
// doubled keys and wrong types are [Faults], all at once, at their places in
// the file. A section that was not written counts as an empty one.
func (s Section) Decode(into any) error {
	doc, at := s.doc, s.place
	if doc == nil {
		doc, at = &document{path: "settings"}, place{value: &node{kind: mappingKind, line: 1, column: 1}}
	}
	found := &problems{}
	d := newDecoder(doc, found)
	d.decode(at, into, s.key)
	switch {
	case d.misuse != nil:
		return fmt.Errorf("%s: %w", s.key, d.misuse)
	case found.none():
		return nil
	}
	return doc.faults(found, d.closed)
}

// ParseSection reads a section that stands alone, such as an example. The path
// names it in faults, and its folder is where relative files start. An error is
// [Faults].
func ParseSection(path string, text []byte) (Section, error) {
	found := &problems{}
	doc := readDocument(path, text, found)
	if doc.root == nil || !found.none() {
		return Section{}, doc.faults(found, nil)
	}
	return Section{doc: doc, place: place{value: doc.root}}, nil
}

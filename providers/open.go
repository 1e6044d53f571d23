package providers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Kind is one kind of provider that [Open] knows.
type Kind struct {
	Kind     string
	Mode     Mode
	Settings string // one line a setting
}

// kind is a line of the table of all kinds.
type kind struct {
	mode     Mode
	settings string
	open     func(decode func(into any) error) (Provider, error)
}

// kinds is never changed.
var kinds = map[string]kind{
	"rfc2136": {Swap, rfc2136Doc, openRFC2136},
}

// Kinds lists the kinds of providers, by name.
func Kinds() []Kind {
	var out []Kind
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		out = append(out, Kind{Kind: name, Mode: kinds[name].mode, Settings: kinds[name].settings})
	}
	return out
}

// Open opens a provider of a kind. decode fills the struct of settings that its
// argument points to, and must refuse unknown keys. Nothing is sent yet; an
// unset secret is an error.
func Open(kind string, decode func(into any) error) (Provider, error) {
	k, ok := kinds[kind]
	if !ok {
		known := strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")
		return nil, fmt.Errorf("no provider is of kind %.40q; the kinds are: %s", kind, known)
	}
	p, err := k.open(decode)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return &guarded{Provider: p}, nil
}

package providers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Kind is a kind of provider that can be opened.
type Kind struct {
	Kind     string
	Mode     Mode
	Settings string // what its section of the configuration holds, for people
	open     func(decode func(into any) error) (Provider, error)
}

// kinds holds every kind, one line each.
func kinds() map[string]Kind {
	return map[string]Kind{
		"rfc2136": {Mode: ModeSwap, Settings: rfc2136Doc, open: openRFC2136},
	}
}

// Kinds lists all kinds by name.
func Kinds() []Kind {
	all := kinds()
	var out []Kind
	for _, name := range slices.Sorted(maps.Keys(all)) {
		k := all[name]
		k.Kind = name
		out = append(out, k)
	}
	return out
}

// Open makes a provider of a kind. decode decodes its settings strictly; an
// unset secret is an error. Nothing is asked yet.
func Open(kind string, decode func(into any) error) (Provider, error) {
	k, ok := kinds()[kind]
	if !ok {
		return nil, fmt.Errorf("unknown kind %q; there is: %s", kind, strings.Join(slices.Sorted(maps.Keys(kinds())), ", "))
	}
	p, err := k.open(decode)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return &guarded{Provider: p, mode: k.Mode}, nil
}

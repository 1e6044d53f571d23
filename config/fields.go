package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// A field is one key that a struct knows.
type field struct {
	rule
	name     string
	index    []int
	required bool
}

// fieldsOf lists the keys of a struct, those of embedded and inlined ones too.
// Without a yaml tag the json tag names the key, else the field in lower case.
func fieldsOf(t reflect.Type) ([]field, error) {
	var out []field
	for i := range t.NumField() {
		sf := t.Field(i)
		if !sf.IsExported() {
			continue
		}
		tag := sf.Tag.Get("yaml")
		if tag == "" {
			tag = sf.Tag.Get("json")
		}
		name, rest, _ := strings.Cut(tag, ",")
		options := strings.Split(rest, ",")
		if name == "-" {
			continue
		}
		if sf.Type.Kind() == reflect.Struct && name == "" && (sf.Anonymous || slices.Contains(options, "inline")) {
			within, err := fieldsOf(sf.Type)
			if err != nil {
				return nil, err
			}
			for _, f := range within {
				f.index = append([]int{i}, f.index...)
				out = append(out, f)
			}
			continue
		}
		if name == "" {
			name = strings.ToLower(sf.Name)
		}
		out = append(out, field{
			name: name, index: []int{i}, required: slices.Contains(options, "required"),
			rule: rule{is: sf.Tag.Get("is"), keys: sf.Tag.Get("keys"), nonempty: slices.Contains(options, "nonempty")},
		})
	}
	seen := map[string]bool{}
	for _, f := range out {
		if seen[f.name] {
			return nil, fmt.Errorf("config: %s has the key %s twice", t, f.name)
		}
		seen[f.name] = true
	}
	return out, nil
}

// names lists the keys that can be set.
func names(fields []field) []string {
	var out []string
	for _, f := range fields {
		out = append(out, f.name)
	}
	return out
}

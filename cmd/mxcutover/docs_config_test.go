package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"mxcutover/config"
	"mxcutover/docs"
	"mxcutover/providers"
)

// aroundFragments completes what a page shows of a configuration: the least that one
// must have. A key that stands in the fragment takes the place of the one here.
const aroundFragments = `
migration: gateway-2026
old: {hosts: [mail.example.edu], addresses: [192.0.2.10]}
mx: {records: [{preference: 10, host: gw1.example.edu}]}
providers: {campus: {kind: rfc2136, zones: [example.edu], settings: {server: "192.0.2.53:53"}}}
resolvers: {public: [9.9.9.9]}
probe: {from: mxprobe@probe.example.edu, recipients: {postmaster: true}}
`

// completed is a block of configuration with what is around it. A block of settings alone is
// of the provider whose name is the heading above.
func completed(b block) (map[string]any, error) {
	whole, part := map[string]any{}, map[string]any{}
	if err := yaml.Unmarshal([]byte(aroundFragments), &whole); err != nil {
		return nil, err
	}
	if err := yaml.UnmarshalWithOptions([]byte(b.text), &part, yaml.Strict()); err != nil {
		return nil, err
	}
	if len(part) == 0 {
		return nil, errors.New("there is nothing in it")
	}
	if settings, ok := part["settings"]; ok && len(part) == 1 {
		kinds := slices.Collect(func(yield func(string) bool) {
			for _, k := range providers.Kinds() {
				if !yield(k.Kind) {
					return
				}
			}
		})
		if !slices.Contains(kinds, b.under) {
			return nil, fmt.Errorf("settings below the heading %q, which is no kind of provider", b.under)
		}
		part = map[string]any{"providers": map[string]any{"x": map[string]any{"kind": b.under, "zones": []any{"example.edu"}, "settings": settings}}}
	}
	maps.Copy(whole, part)
	return whole, nil
}

// decodes holds a configuration to the program's strict decoder, each provider's
// settings to that of its kind, and both to the schema for editors.
func decodes(schema *jsonschema.Schema, values map[string]any) error {
	text, err := yaml.MarshalWithOptions(values, yaml.JSON())
	if err != nil {
		return err
	}
	cfg, err := config.Parse(filepath.Join("etc", "mxcutover.yaml"), text)
	if err != nil {
		return fmt.Errorf("the program: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Providers)) {
		p := cfg.Providers[name]
		enough := errors.New("the settings are looked at, and nothing is opened")
		var wrong error
		_, err := providers.Open(p.Kind, func(into any) error { wrong = p.Settings.Decode(into); return enough })
		if wrong != nil || !errors.Is(err, enough) {
			return fmt.Errorf("the program: providers.%s.settings: %w", name, errors.Join(wrong, err))
		}
	}
	plain, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	if err := schema.Validate(plain); err != nil {
		return fmt.Errorf("the schema: %w", err)
	}
	return nil
}

func editorsSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(docs.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mxcutover.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("mxcutover.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestDocsConfigurations decodes each block of configuration in all pages, and the
// example with every key. One that had an unknown key would not be taken.
func TestDocsConfigurations(t *testing.T) {
	t.Parallel()
	schema := editorsSchema(t)
	example, err := os.ReadFile(filepath.Join(repository, "docs", "config.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := []block{{page: "docs/config.example.yaml", line: 1, text: string(example)}}
	for _, p := range readPages(t) {
		for _, b := range p.blocks {
			if b.lang == "yaml" {
				blocks = append(blocks, b)
			}
		}
	}
	for _, b := range blocks {
		values, err := completed(b)
		if err != nil {
			t.Errorf("%s:%d: %v", b.page, b.line, err)
			continue
		}
		if err := decodes(schema, values); err != nil {
			t.Errorf("%s:%d: %v", b.page, b.line, err)
		}
		values["zz_unknown"] = "x"
		if err := decodes(schema, values); err == nil || !strings.Contains(err.Error(), "zz_unknown") {
			t.Errorf("%s:%d: an unknown key beside it is taken: %v", b.page, b.line, err)
		}
	}
	if len(blocks) < 20 {
		t.Errorf("only %d blocks were found", len(blocks))
	}
}

package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"mxcutover/providers"
)

const schemaFile = "../docs/mxcutover.schema.json"

// TestSchema keeps docs/mxcutover.schema.json to the types, the checks and the
// documented example that it is made from; each key has words.
func TestSchema(t *testing.T) {
	t.Parallel()
	made, mute := makeSchema(t)
	if len(mute) > 0 {
		t.Errorf("no words for %s: comment them in docs/config.example.yaml, or at their fields", strings.Join(mute, ", "))
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(made); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(schemaFile, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(schemaFile); err != nil || !bytes.Equal(have, b.Bytes()) {
		t.Errorf("%s is not what the configuration's types say (%v): go test ./config -run TestSchema -update", schemaFile, err)
	}
}

// compiled is the schema as it lies in docs.
func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(schemaFile, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// taken tells whether the program takes a file, its providers' settings too.
func taken(text string) error {
	c, err := Parse("etc/m.yaml", []byte(text))
	if err != nil {
		return err
	}
	stop := errors.New("stop")
	for _, name := range slices.Sorted(maps.Keys(c.Providers)) {
		p := c.Providers[name]
		var wrong error
		_, err := providers.Open(p.Kind, func(into any) error { wrong = p.Settings.Decode(into); return stop })
		if wrong != nil || !errors.Is(err, stop) {
			return errors.Join(wrong, err)
		}
	}
	return nil
}

func exampleText(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// open is a text with settings for its providers, which the other tests have no use for.
func open(t *testing.T, text string) string {
	t.Helper()
	return with(t, text, "    kind: rfc2136\n", "    kind: rfc2136\n    settings: {server: \"192.0.2.53:53\"}\n")
}

func TestSchemaTakesWhatTheProgramTakes(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	texts := map[string]string{"the example": exampleText(t), "minimal": open(t, minimal)}
	for _, k := range providers.Kinds() {
		texts[k.Kind] = with(t, minimal, "    kind: rfc2136\n", "    kind: "+k.Kind+"\n    settings:\n"+indented(k.Example))
	}
	for name, text := range texts {
		if err := taken(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Validate(plainValues(t, []byte(text))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func indented(text string) string {
	return "      " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n      ") + "\n"
}

// TestSchemaSeesFaults: what is wrong in form is told while one types. What stands in
// relation to other keys, or must be looked up, only the program sees.
func TestSchemaSeesFaults(t *testing.T) {
	t.Parallel()
	unseen := map[string]bool{}
	for _, name := range []string{
		"first-above-max", "duplicate-keys", "zone-in-two-providers", "old-host-planned", "long-label", "probe-sender-moves", "strict-sender-moves",
		"pins", "templates-twice", "clear-text-imap", "nothing", "isolate-local-host", "isolate-script", "redirect", "redirect-to", "redirect-elsewhere", "views-only-compared",
		// No YAML, or not such that it could be asked for a value.
		"tag-and-alias", "merge-of-a-list", "second-document", "syntax-bracket", "syntax-tab", "syntax-secret", "syntax-star", "control-character",
		"not-utf8", "nesting", "dashes", "keys", "complex-key", "infinite-growth", "bidi", "globs", "long-line", "gateway-sends",
	} {
		unseen[name] = true
	}
	s := compiled(t)
	seen := 0
	for _, tt := range broken {
		if unseen[tt.name] {
			continue
		}
		seen++
		text := minimal
		for i := 0; i < len(tt.edits); i += 2 {
			if tt.edits[i] == "" {
				text += tt.edits[i+1]
				continue
			}
			text = with(t, text, tt.edits[i], tt.edits[i+1])
		}
		text, _ = marked(text)
		if text == minimal {
			t.Fatal(tt.name)
		}
		if strings.Contains(text, "    kind: rfc2136\n") && !strings.Contains(text, "settings") {
			text = open(t, text)
		}
		if s.Validate(plainValues(t, []byte(text))) == nil {
			t.Errorf("%s: the schema takes\n%s", tt.name, text)
		}
	}
	if seen < 25 {
		t.Errorf("only %d broken files were looked at", seen)
	}
}

var allValues = flag.Bool("schema.all", false, "try every other value at every key, for two minutes")

// TestSchemaIsNoNarrower changes each value of the example to others, takes each key away
// and adds unknown ones: what the program takes the schema takes; an unknown key neither
// takes.
func TestSchemaIsNoNarrower(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	full := plainValues(t, []byte(exampleText(t))).(map[string]any)
	short := plainValues(t, []byte(minimal)).(map[string]any)
	for _, key := range []string{"old", "mx", "providers", "resolvers"} { // to which others refer
		short[key] = full[key]
	}
	var root map[string]any
	ways, both := 0, 0
	judge := func(what string, unknown bool) {
		ways++
		text, err := yaml.MarshalWithOptions(root, yaml.JSON())
		if err != nil {
			t.Fatal(err)
		}
		program, editor := taken(string(text)), s.Validate(plainValues(t, text))
		switch {
		case unknown && (program == nil || editor == nil):
			t.Errorf("%s: the program: %v; the schema: %v", what, program, editor)
		case program == nil && editor != nil:
			t.Errorf("%s: the program takes it, the schema says %v", what, editor)
		case program == nil:
			both++
		}
	}
	c := changes{judge: judge, each: 4}
	if *allValues {
		c.each = len(otherValues)
	}
	for _, key := range slices.Sorted(maps.Keys(full)) {
		root = maps.Clone(short)
		root[key] = full[key]
		c.only = key
		c.all(root, "")
	}
	if ways < 600 || both < 150 {
		t.Errorf("%d ways, %d taken", ways, both)
	}
}

var otherValues = []any{
	true, false, int64(0), int64(1), int64(-1), int64(2), int64(22), int64(25), int64(70000), 0.5, 1.0, "x", "a b", "1m", "7d12h", "0.5h", "1.h", "-1h", "0s", "a.example.org", "*.example.org",
	"BÜCHER.example.org.", "a_b.example", "a*", "192.0.2.7", "2001:db8::7", "192.0.2.7:53", "[2001:db8::7]:53", "10.0.0.0/8", "a@b.example", "mxprobe+x@b.example", "root@192.0.2.1:2222",
	"u\\v@h", "X-A: b", "auto", "none", "local", "lab", "mon 1:00-2:00", "Europe/Paris", "/tmp/x", ". IN DS 1 13 2 ab",
	[]any{},
	map[string]any{},
	[]any{"a.example.org"},
	[]any{int64(465)},
	map[string]any{"env": "X"},
	map[string]any{"file": "x"},
	map[string]any{"credential": "x"},
	map[string]any{"env": "X", "file": "y"},
	nil,
}

// changes changes a tree at each place, one at a time, and puts back what was there.
type changes struct {
	judge func(what string, unknown bool)
	each  int // so many other values at each place; the next place gets the next ones
	next  int
	only  string // of the top's keys
}

func (c *changes) all(v any, path string) {
	switch x := v.(type) {
	case map[string]any:
		if !named[path] {
			x["zz_unknown"] = "x"
			c.judge(path+": an unknown key", true)
			delete(x, "zz_unknown")
		}
		for _, k := range slices.Sorted(maps.Keys(x)) {
			had, at := x[k], schemaPath(path, k)
			if path == "" && k != c.only {
				continue
			}
			delete(x, k)
			c.judge(at+" is gone", false)
			c.others(at, func(other any) { x[k] = other })
			x[k] = had
			c.all(had, at)
		}
	case []any:
		for i, had := range x {
			c.others(fmt.Sprintf("%s[%d]", path, i), func(other any) { x[i] = other })
			x[i] = had
			c.all(had, path+".*")
		}
	}
}

func (c *changes) others(at string, set func(any)) {
	for range c.each {
		other := otherValues[c.next%len(otherValues)]
		c.next++
		set(other)
		c.judge(fmt.Sprintf("%s: %v", at, other), false)
	}
}

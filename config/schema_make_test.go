package config

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/rrset"
	"mxcutover/secret"
)

// A schema is one of JSON Schema, draft 7, which is what editors know.
type schema = map[string]any

// A schemaMaker makes the schema from what decodes and checks the file: the types with
// their tags, the checker's words and bounds, the defaults, and the documented example
// with its comments. Only what stands in no type is written here (byHand).
type schemaMaker struct {
	t        *testing.T
	example  map[string]string  // by path, names and items as *
	fields   map[string]string  // Go's comments, by "Type.Field"
	values   any                // the example's
	bounds   map[string][]bound // what the checker told, by path
	settings map[string]string  // while a provider's settings are made
	says     []string           // keys without words
}

// The texts of the tag "is", as patterns. They are wider than the rules where a pattern
// cannot say them; that they are never narrower is tested.
var textPatterns = map[string]string{
	"name": `^[^\s@/\\:,;%"]+$`, "host": `^[^*\s@/\\:,;%"][^\s@/\\:,;%"]*$`, "glob": `^[^\s/@]+$`, "path": "",
	"address": `^[^@\s]+@[^@\s]+$`, "mailbox": `^[^@\s]+$`, "selector": `^[A-Za-z0-9_.-]+$`, "hostport": `^.+:[0-9]{1,5}$`,
}

const (
	durationPattern = `^([0-9]{1,6}d|([0-9]{1,6}d)?(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`
	networkPattern  = `^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$`
	sshPattern      = `^([A-Za-z0-9._@\\+-]+@)?(\[[0-9A-Fa-f.:]+\]|[^\s\[\]:@]+)(:[0-9]{1,5})?$`
	windowPattern   = `[0-9]{1,2}:[0-9]{2}`
)

// byHand has what stands in no type, and is no word or bound that the checker tells.
var byHand = map[string]schema{
	"migration":           {"pattern": migrationName.String()},
	"providers":           {"propertyNames": schema{"pattern": plainKey.String()}},
	"providers.*.writes":  {"minimum": 0},
	"waves.growth":        {"minimum": 1, "maximum": 100},
	"waves.share":         {"exclusiveMinimum": 0, "maximum": 1},
	"waves.pin":           {"propertyNames": schema{"pattern": `^(pilot|last|wave-([2-9]|[1-9][0-9]{1,3}|10000))$`}},
	"waves.pin.*":         {"minItems": 1},
	"mx.templates.*":      {"minItems": 1},
	"gate.persons":        {"enum": []any{1, 2}},
	"traffic.real.excess": {"exclusiveMinimum": 0, "exclusiveMaximum": 1},
	"probe.largest":       {"minimum": 1},
	"isolate.ports.*":     {"minimum": 1, "not": schema{"const": 22}},
	"isolate.stages.*.*":  {"minimum": 1, "not": schema{"const": 22}},
	"dns":                 {"not": schema{"required": []string{"anchors", "anchor_file"}}},
	"vantages.*":          {"oneOf": []any{schema{"required": []string{"source"}}, schema{"required": []string{"ssh"}}}},
	"isolate":             {"allOf": []any{needs("driver", "ssh", "host"), needs("driver", "lab", "socket")}},
	"probe.spam_marks.*":  {"pattern": `^[!-9;-~]{1,77}:.*\S`},
	"probe.recipients":    {"oneOf": []any{schema{"required": []string{"file"}}, schema{"required": []string{"rewrite"}}, schema{"required": []string{"postmaster"}, "properties": schema{"postmaster": schema{"const": true}}}}},
	"providers.*.kind":    {"enum": kindNames()},
}

// needs wants a key where another has a word.
func needs(key, word, wanted string) schema {
	return schema{"if": schema{"required": []string{key}, "properties": schema{key: schema{"const": word}}}, "then": schema{"required": []string{wanted}}}
}

func kindNames() []string {
	var out []string
	for _, k := range providers.Kinds() {
		out = append(out, k.Kind)
	}
	return out
}

// makeSchema gives the schema, and the keys that no documentation has words for.
func makeSchema(t *testing.T) (schema, []string) {
	t.Helper()
	text, err := os.ReadFile("../docs/config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m := &schemaMaker{t: t, example: exampleWords(string(text)), fields: fieldWords(t, ".", "../rrset", "../secret", "../providers"), bounds: map[string][]bound{}}
	if _, err := parseTelling("example.yaml", text, func(key string, b bound) { m.bounds[starred(key)] = append(m.bounds[starred(key)], b) }); err != nil {
		t.Fatal(err)
	}
	m.values = plainValues(t, text)
	d := Default()
	out := m.of(reflect.TypeFor[Config](), reflect.ValueOf(d), "", rule{})
	out["$schema"] = "http://json-schema.org/draft-07/schema#"
	out["title"] = "mxcutover.yaml"
	out["description"] = "The configuration of mxcutover: what is old, what is new, who holds the zones, in which waves and behind which gates domains move, how it is proven, and how the old server is closed."
	return out, m.says
}

// starred is a key as the checker spells it, with * for names and items.
func starred(key string) string {
	var out string
	for _, part := range strings.Split(strings.ReplaceAll(key, "[", ".["), ".") {
		switch {
		case strings.HasPrefix(part, "["):
			out = schemaPath(out, "*")
		case part != "":
			out = schemaPath(out, part)
		}
	}
	return out
}

// of gives the schema of a type. v has its defaults, if it is valid.
func (m *schemaMaker) of(t reflect.Type, v reflect.Value, path string, r rule) schema {
	out := m.kind(t, v, path, r)
	for _, b := range m.bounds[path] {
		b.into(out)
	}
	if m.settings == nil {
		maps.Copy(out, byHand[path])
	}
	return out
}

// into writes what the checker holds a key to.
func (b bound) into(s schema) {
	switch {
	case b.words != nil:
		s["enum"] = b.words
		delete(s, "pattern")
		delete(s, "minLength")
	case b.once:
		s["uniqueItems"] = true
	default:
		s["minimum"] = b.least
	}
}

func (m *schemaMaker) kind(t reflect.Type, v reflect.Value, path string, r rule) schema {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return schema{"type": "string", "pattern": durationPattern}
	case reflect.TypeFor[secret.Ref]():
		return schema{"type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1, "properties": schema{
			"env":        schema{"type": "string", "pattern": envName.String(), "description": "the name of an environment variable that holds the secret"},
			"file":       schema{"type": "string", "minLength": 1, "description": "a file that holds the secret, its owner's alone: mode 0600"},
			"credential": schema{"type": "string", "pattern": `^[^/]+$`, "description": "the name of a credential of systemd's LoadCredential"},
		}}
	case reflect.TypeFor[netip.Addr]():
		return schema{"type": "string", "anyOf": []any{schema{"format": "ipv4"}, schema{"format": "ipv6"}}}
	case reflect.TypeFor[netip.Prefix]():
		return schema{"type": "string", "pattern": networkPattern}
	case reflect.TypeFor[SSHHost]():
		return schema{"type": "string", "pattern": sshPattern}
	case reflect.TypeFor[plan.Window]():
		return schema{"type": "string", "pattern": windowPattern}
	case reflect.TypeFor[rrset.MX]():
		return schema{"type": "object", "additionalProperties": false, "required": []string{"preference", "host"}, "properties": schema{
			"preference": schema{"type": "integer", "minimum": 0, "maximum": math.MaxUint16, "description": "lower ones are tried first"},
			"host":       schema{"type": "string", "pattern": textPatterns["host"], "description": "the name of a gateway's host; never a host of old.hosts"},
		}}
	case reflect.TypeFor[[]Resolver]():
		return schema{"type": "object", "minProperties": 1, "additionalProperties": schema{
			"type": "array", "minItems": 1, "uniqueItems": true, "items": schema{"type": "string", "pattern": `^[0-9A-Fa-f.:\[\]]+$`},
		}}
	case reflect.TypeFor[Section]():
		return schema{"type": "object"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		p := reflect.New(t.Elem())
		if f, ok := p.Interface().(interface{ defaults() }); ok {
			f.defaults()
		}
		return m.kind(t.Elem(), p.Elem(), path, r)
	case reflect.Struct:
		return m.structure(t, v, path)
	case reflect.Slice:
		out := schema{"type": "array", "items": m.of(t.Elem(), reflect.Value{}, path+".*", rule{is: r.is})}
		if r.nonempty {
			out["minItems"] = 1
		}
		return out
	case reflect.Map:
		out := schema{"type": "object", "additionalProperties": m.of(t.Elem(), reflect.Value{}, path+".*", rule{is: r.is})}
		if r.keys != "" {
			out["propertyNames"] = schema{"pattern": textPatterns[r.keys]}
		}
		if r.nonempty {
			out["minProperties"] = 1
		}
		return out
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return schema{"type": "string"}
	}
	return m.scalar(t, r)
}

func (m *schemaMaker) scalar(t reflect.Type, r rule) schema {
	switch t.Kind() {
	case reflect.String:
		out := schema{"type": "string", "minLength": 1}
		if p, known := textPatterns[r.is]; !known && r.is != "" {
			m.t.Errorf("no pattern for texts that are a %s", r.is)
		} else if p != "" {
			out["pattern"] = p
			delete(out, "minLength")
		}
		return out
	case reflect.Bool:
		if r.is == "catchall" {
			return schema{"const": "catchall"}
		}
		return schema{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return schema{"type": "number"}
	case reflect.Int, reflect.Int64:
		return schema{"type": "integer"}
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if r.is == "seconds" {
			return schema{"type": "string", "pattern": durationPattern}
		}
		out := schema{"type": "integer", "minimum": 0}
		if t.Bits() < 64 {
			out["maximum"] = uint64(1)<<t.Bits() - 1
		}
		return out
	}
	m.t.Errorf("no schema for a %s", t)
	return schema{}
}

func (m *schemaMaker) structure(t reflect.Type, v reflect.Value, path string) schema {
	fields, err := fieldsOf(t)
	if err != nil {
		m.t.Fatal(err)
	}
	keys, required := schema{}, []string{}
	for _, f := range fields {
		sf := t.FieldByIndex(f.index)
		at := schemaPath(path, f.name)
		d := reflect.Value{}
		if v.IsValid() {
			d = v.FieldByIndex(f.index)
		}
		s := m.of(sf.Type, d, at, f.rule)
		m.explain(s, at, f, t, sf)
		if x, ok := defaultValue(d, f.rule); ok && !f.required {
			s["default"] = x
		}
		keys[f.name] = s
		if f.required {
			required = append(required, f.name)
		}
	}
	out := schema{"type": "object", "additionalProperties": false, "properties": keys}
	if len(required) > 0 {
		out["required"] = required
	}
	if t == reflect.TypeFor[Provider]() {
		out["allOf"] = m.kinds()
	}
	return out
}

// explain gives a key its words, and an example where the documentation has one.
func (m *schemaMaker) explain(s schema, at string, f field, within reflect.Type, sf reflect.StructField) {
	owner := within.Name()
	if len(f.index) > 1 {
		owner = within.FieldByIndex(f.index[:len(f.index)-1]).Type.Name()
	}
	words := m.example[at]
	if m.settings != nil {
		words = m.settings[f.name]
	}
	if words == "" {
		words = m.fields[owner+"."+sf.Name]
	}
	if words == "" {
		m.says = append(m.says, at)
	}
	s["description"] = words
	if x, ok := lookUp(m.values, at); ok && m.settings == nil {
		switch x.(type) {
		case map[string]any, bool:
		default:
			s["examples"] = []any{x}
		}
	}
}

// lookUp finds a value by its path; * is the first by name, or in order.
func lookUp(v any, path string) (any, bool) {
	name, rest, _ := strings.Cut(path, ".")
	switch x := v.(type) {
	case map[string]any:
		if name == "*" {
			for _, k := range slices.Sorted(maps.Keys(x)) {
				name = k
				break
			}
		}
		v = x[name]
	case []any:
		if name != "*" || len(x) == 0 {
			return nil, false
		}
		v = x[0]
	default:
		return nil, false
	}
	if rest == "" || v == nil {
		return v, v != nil
	}
	return lookUp(v, rest)
}

// defaultValue is a default as the file would write it.
func defaultValue(v reflect.Value, r rule) (any, bool) {
	if !v.IsValid() {
		return nil, false
	}
	switch x := v.Interface().(type) {
	case bool:
		return x, r.is != "catchall"
	case time.Duration:
		return written(x), x != 0
	}
	switch v.Kind() {
	case reflect.String:
		return v.String(), v.String() != ""
	case reflect.Int, reflect.Int64:
		return v.Int(), v.Int() != 0
	case reflect.Uint16, reflect.Uint32:
		if r.is == "seconds" {
			return written(time.Duration(v.Uint()) * time.Second), true
		}
		return v.Uint(), v.Uint() != 0
	case reflect.Float64:
		return v.Float(), v.Float() != 0
	case reflect.Slice:
		return v.Interface(), v.Len() > 0 && v.Type().Elem().Kind() == reflect.String
	}
	return nil, false
}

// written is a duration as people write it: 7d, 30m, 300s.
func written(d time.Duration) string {
	for _, u := range []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d >= u.of && d%u.of == 0 {
			return strconv.FormatInt(int64(d/u.of), 10) + u.name
		}
	}
	return d.String()
}

// kinds gives the settings of each kind of provider, by the struct that it decodes them
// into.
func (m *schemaMaker) kinds() []any {
	stop := errors.New("stop")
	var out []any
	for _, k := range providers.Kinds() {
		var into any
		if _, err := providers.Open(k.Kind, func(x any) error { into = x; return stop }); !errors.Is(err, stop) {
			m.t.Fatalf("%s: %v", k.Kind, err)
		}
		m.settings = settingWords(k.Settings)
		v := reflect.ValueOf(into).Elem()
		s := m.of(v.Type(), v, "settings "+k.Kind, rule{})
		m.settings = nil
		s["description"] = fmt.Sprintf("Settings of %s, which writes in mode %s.", k.Title, k.Mode)
		then := schema{"properties": schema{"settings": s}}
		if s["required"] != nil {
			then["required"] = []string{"settings"}
		}
		out = append(out, schema{"if": schema{"required": []string{"kind"}, "properties": schema{"kind": schema{"const": k.Kind}}}, "then": then})
	}
	return out
}

// plainValues is a file's text as plain values.
func plainValues(t *testing.T, text []byte) any {
	t.Helper()
	found := &problems{}
	doc := readDocument("x.yaml", text, found)
	if doc.root == nil {
		return nil
	}
	return anything(doc.root)
}

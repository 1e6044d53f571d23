package config

import (
	"errors"
	"os"
	"strings"
	"testing"
	"unicode"
)

// FuzzParse: no text makes Parse panic, every error has places within the text
// and prints, and what is taken has the same hash again.
func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("../docs/config.example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{minimal, every, string(example), "a: &a\n", "a: &x", "? a\n: b\n", "a: *\n", "%YAML 1.2\n---\na: 1", "<<: {a: 1}", "- - a", "a: |\n b\n", "!!a b: c", "{a, b: , ?}", "a:\n  &x b: *x\n"} {
		f.Add([]byte(s))
	}
	for _, b := range broken[:20] {
		text := minimal
		for i := 0; i < len(b.edits); i += 2 {
			text += b.edits[i+1]
		}
		clean, _ := marked(text)
		f.Add([]byte(clean))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("etc/m.yaml", data)
		if err != nil {
			var list Faults
			if !errors.As(err, &list) || len(list) == 0 || c != nil {
				t.Fatalf("%v, %v", c, err)
			}
			lines := strings.Count(string(data), "\n") + 1
			for _, x := range list {
				if x.Line < 1 || x.Line > lines || x.Column < 1 || x.Message == "" {
					t.Errorf("%d lines, and a fault %+v", lines, x)
				}
				if strings.ContainsFunc(strings.ReplaceAll(x.String(), "\n", ""), func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Errorf("a fault that does not print: %q", x.String())
				}
			}
			return
		}
		again, err := Parse("etc/m.yaml", data)
		if err != nil || again.Hash() != c.Hash() {
			t.Errorf("read again, it is another: %v", err)
		}
		changed := map[string]string{}
		for name, p := range c.Providers {
			for _, z := range p.Zones {
				if other := changed[z]; other != "" && !p.Compared {
					t.Errorf("zone %q is changed at %q and at %q", z, other, name)
				}
				if !p.Compared {
					changed[z] = name
				}
			}
			if err := p.Settings.Decode(&settings{}); err == nil && p.Settings.place.value.kind != mappingKind {
				t.Error("settings that are no mapping were decoded")
			}
		}
	})
}

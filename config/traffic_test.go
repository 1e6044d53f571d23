package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"mxcutover/plan"
)

func TestReadTraffic(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "traffic.txt")
	text := "\ufeff# a comment\n\nExample.ORG 12\r\n  bücher.example\t3 # more\nexample.org. 30 14\n*.example.net 0\n#x\nbig.example 18446744073709551615"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := ReadTraffic(path)
	if err != nil {
		t.Fatal(err)
	}
	hour := 14
	want := map[string]plan.Traffic{
		"example.org.": {Messages: 42, Peak: &hour}, "xn--bcher-kva.example.": {Messages: 3}, "*.example.net.": {}, "big.example.": {Messages: 18446744073709551615},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := ReadTraffic(path + ".none"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a missing file: %v", err)
	}
}

func TestTrafficFaults(t *testing.T) {
	t.Parallel()
	text := strings.Join([]string{
		"good.example 1", "§one", "a §-1", "  §a@b §x # y", "a b §c", "ü.example §1.5", "big.example 18446744073709551615", "big.example §1",
		"§" + strings.Repeat("x", maxTableLine+1), "§\x1b[2J. 1", "§192.0.2.1 5", "§\xff 1",
	}, "\n")
	text = strings.Replace(text, "a b §c", "a §b c", 1)
	text = strings.Replace(text, "§one", "§one\na 1 2 3", 1)
	text = strings.Replace(text, "\na 1 2 3", "\n§a 1 2 3\na 5 §24", 1)
	clean, want := marked(text)
	_, err := parseTraffic("t.txt", []byte(clean))
	var got []string
	for _, f := range faults(t, err) {
		got = append(got, fmt.Sprintf("%d:%d", f.Line, f.Column))
	}
	if g, w := strings.Join(got, " "), strings.Join(want, " "); g != w {
		t.Errorf("faults at %s, want %s", g, w)
	}
	golden(t, "traffic", err.Error()+"\n")
	_, err = parseTraffic("t.txt", []byte(strings.Repeat("x\n", 1<<20)))
	if n := len(faults(t, err)); n != maxFaults+1 {
		t.Errorf("%d faults", n)
	}
}

func FuzzReadTraffic(f *testing.F) {
	f.Add([]byte("example.org 12\n# x\nb\u00fccher.example 3 # y\n"))
	f.Add([]byte("\xff 1\n*. 2\n.. 3\na 99999999999999999999"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseTraffic("t", data)
		if err != nil {
			if s := err.Error(); strings.ContainsAny(strings.ReplaceAll(s, "\n", ""), "\x1b\r\t\x00") {
				t.Errorf("an error that does not print: %q", s)
			}
			return
		}
		for name := range got {
			if again, err := canonicalName(name); err != nil || again != name {
				t.Errorf("%q is not canonical: %q, %v", name, again, err)
			}
		}
	})
}

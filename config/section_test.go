package config

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"mxcutover/secret"
)

type tsig struct {
	Key secret.Ref `yaml:"key,required"`
	Alg string     `yaml:"key_alg"`
}

type settings struct {
	Server  string            `yaml:"server,required"`
	Timeout time.Duration     `yaml:"timeout"`
	Retries uint8             `yaml:"retries"`
	Source  *netip.Addr       `yaml:"source"`
	Peer    netip.AddrPort    `yaml:"peer"`
	Labels  map[string]string `yaml:"labels"`
	Tags    []string
	Free    any  `yaml:"free"`
	Dry     bool `json:"dry_run"`
	Skip    int  `yaml:"-"`
	TSIG    tsig `yaml:",inline"`
}

func section(t *testing.T, text string) Section {
	t.Helper()
	return parse(t, with(t, minimal, "    kind: rfc2136\n", "    kind: rfc2136\n"+text)).Providers["p"].Settings
}

func TestSectionDecode(t *testing.T) {
	t.Parallel()
	s := section(t, `    settings:
      server: ns.example
      timeout: 1d
      retries: 3
      source: 192.0.2.1
      peer: "192.0.2.1:53"
      labels: {a: "1"}
      tags: [x, y]
      free: {a: [1, 2.5, true, null, b]}
      dry_run: true
      key: {file: tsig.key}
      key_alg: hmac-sha256
`)
	var got settings
	if err := s.Decode(&got); err != nil {
		t.Fatal(err)
	}
	a := netip.MustParseAddr("192.0.2.1")
	want := settings{
		Server: "ns.example", Timeout: 24 * time.Hour, Retries: 3, Source: &a, Peer: netip.MustParseAddrPort("192.0.2.1:53"),
		Labels: map[string]string{"a": "1"}, Tags: []string{"x", "y"}, Dry: true,
		Free: map[string]any{"a": []any{int64(1), 2.5, true, nil, "b"}},
		TSIG: tsig{Key: secret.Ref{File: "etc/tsig.key"}, Alg: "hmac-sha256"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestSectionFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, golden string }{
		{"section", "    settings:\n      servre: x\n      retries: 256\n      timeout: 5\n      source: nowhere\n      peer: 1.2.3.4\n      labels: [a]\n      tags: x\n      dry_run: 1\n      key: hunter2\n", "section"},
		{"section-one-line", "    settings: {servre: hunter2, retries: x, key: {file: a, env: hunter2}}\n", "section-one-line"},
		{"section-key-number", "    settings: {server: x, key: 12345678, key_alg: {a: b}}\n", "section-key-number"},
		{"section-missing", "", "section-missing"},
		{"section-names", "    settings: {retries: x, free: {api_token: hunter2, pasword: [hunter2], b: c}, timeout: 7}\n", "section-names"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := section(t, tt.text).Decode(&settings{})
			if len(faults(t, err)) < 2 {
				t.Errorf("only one fault:\n%v", err)
			}
			if strings.Contains(err.Error(), "12345678") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret is shown:\n%v", err)
			}
			golden(t, tt.golden, err.Error()+"\n")
		})
	}
}

// TestSectionMisuse shows that a Go value that cannot be filled is an error, not
// a panic, and not left empty in silence.
func TestSectionMisuse(t *testing.T) {
	t.Parallel()
	s := section(t, "    settings: {a: 1}\n")
	for _, into := range []any{
		nil,
		settings{},
		(*settings)(nil),
		&struct{ A chan int }{}, &struct{ A complex64 }{}, &struct{ A error }{},
		&struct {
			A int
			B int `yaml:"a"`
		}{},
	} {
		if err := s.Decode(into); err == nil || !strings.Contains(err.Error(), "config: ") {
			t.Errorf("Decode(%T): %v", into, err)
		}
	}
	if err := (Section{}).Decode(&struct{ A int }{}); err != nil {
		t.Errorf("an empty section: %v", err)
	}
}

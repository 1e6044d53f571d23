package config

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/secret"
)

var update = flag.Bool("update", false, "write the golden files anew")

// minimal has only what is required.
const minimal = `migration: m
old: {hosts: [mail.example.org], addresses: [192.0.2.10]}
mx:
  records: [{preference: 10, host: gw1.example.org}]
providers:
  p:
    kind: rfc2136
    zones: [example.org, example.net]
resolvers: {public: [9.9.9.9]}
probe:
  from: probe@sender.example.com
  recipients: {postmaster: true}
`

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("etc/m.yaml", []byte(text))
	if err != nil {
		t.Fatalf("Parse:\n%v", err)
	}
	return c
}

func faults(t *testing.T, err error) Faults {
	t.Helper()
	var f Faults
	if !errors.As(err, &f) || len(f) == 0 {
		t.Fatalf("got %v, want Faults", err)
	}
	return f
}

func TestMinimalGetsDefaults(t *testing.T) {
	t.Parallel()
	c := parse(t, minimal)
	want := Default()
	if !reflect.DeepEqual(c.Waves, want.Waves) || !reflect.DeepEqual(c.Gate, want.Gate) || c.TTL != want.TTL || c.Preflight != want.Preflight || c.Ports != want.Ports {
		t.Errorf("defaults differ: %+v", c)
	}
	if c.TTL.Low != 300 || c.TTL.Prepare != "all" || c.TTL.Assume != 24*time.Hour || c.Gate.Approve != plan.Manual || c.Preflight.Lifetime != time.Hour {
		t.Errorf("defaults are not as documented: %+v %+v", c.TTL, c.Gate)
	}
	if got := c.State.Path; got != "/var/lib/mxcutover/m.db" {
		t.Errorf("state.path %q", got)
	}
	if c.Isolate != nil || c.Probe.Arrival.IMAP != nil {
		t.Error("isolate or imap without being asked for")
	}
	if want := (Resolver{"public", netip.MustParseAddrPort("9.9.9.9:53")}); len(c.Resolvers) != 1 || c.Resolvers[0] != want {
		t.Errorf("resolvers %v, want %v", c.Resolvers, want)
	}
}

// every is a file in which every key differs from its default.
const every = `migration: G.2026-x
old: {hosts: [Mail.Example.ORG., bücher.example], addresses: [192.0.2.10, "2001:db8::10"]}
mx:
  records: [{preference: 20, host: gw2.example.org}, {preference: 0, host: GW1.example.org}]
  keep: [third.example.net]
  templates: {Shop.Example.org: [{preference: 5, host: gw2.example.org}]}
providers:
  p: {kind: rfc2136, zones: [example.org], writes: 3, settings: {server: x}}
  q-1: {kind: powerdns, zones: [xn--bcher-kva.example]}
domains: {include: ["*.example.org", example.org], exclude: ["Lists.*", bücher.example.], own_name: [mail.example.org], names: /n.txt}
traffic: {table: ../t.txt, logs: [old/mainlog*], gateway_logs: [/var/log/gw1.log, gw2.log], format: exim, zone: Europe/Berlin, real: {messages: 30, excess: 0.5, quiet: 2h}}
waves: {first: 1, growth: 1.5, max: 9, share: 0.5, pin: {pilot: [a.example.org], wave-2: [b.example.org], last: [example.org]}}
gate: {approve: auto, persons: 2, soak: 1d12h, failures: 2, consecutive: 4, shared: 5, concurrency: 7, windows: ["fri,sun  22:00-04:30"], zone: Europe/Berlin, avoid_peak: true}
ttl: {low: 2m, prepare: wave, assume: 0s, settle_after: 1h}
preflight: {lifetime: 90s, addresses: valid.txt, each: 2}
resolvers: {zz: ["192.0.2.53:5353", "[2001:db8::53]:53"], aa: [192.0.2.54, "2001:db8::54"]}
vantages: [{name: v, source: 198.51.100.7, inside: true}, {name: w, ssh: "u@far.example:2222", identity: {file: id}, passphrase: {env: P}, known_hosts: kh}]
outbound: [192.0.2.11]
dkim: {selectors: [Mail, s1.2026]}
https: {ca: web-ca.pem}
probe:
  from: Probe+x@bücher.example
  recipients: {file: rcpt.txt}
  failures: 4
  concurrency: 9
  on_failure: hold
  interval: 1s
  timeout: 2s
  greylist_retry: 3s
  random_per_hour: 9
  largest: 1000
  ca: ca.pem
  expect: catchall
  catch_all: [Bücher.example, "*.example.org"]
  arrival: {imap: {address: "127.0.0.1:143", user: u, password: {file: imap.pw}, tls: none, ca: ca.pem}, maildir: box, log: old.log}
  bounces: {imap: {address: "[::1]:993", user: b, password: {env: PW}, tls: starttls}}
  spam_marks: ["X-Spam: yes"]
  gateway_sends: [10.1.2.0/28, 192.0.2.21]
  strict_sender: a@strict.bücher.example
isolate: {driver: lab, socket: fw.sock, trust: [10.0.0.0/8, 192.0.2.7, "2001:db8::/32"], action: drop, after: 2h, confirm_within: 9s, confirm_after: 3s, auto_lift: true, look_back: 48h, acknowledged: [192.0.2.8], abandoned: [Gone.example], blind: true}
notify: {command: [./tell, --now]}
state: {path: m.db}
ports: {dns: 5300, smtp: 2500, https: 4430}
dns: {rate: 20, anchors: [". IN DS 1 13 2 ab"]}
`

func TestEveryKeyIsRead(t *testing.T) {
	t.Parallel()
	c := parse(t, every)
	doc := c.Providers["p"].Settings
	doc2 := c.Providers["q-1"].Settings
	want := &Config{
		Path: "etc/m.yaml", Migration: "G.2026-x",
		Old: Old{Hosts: []string{"mail.example.org.", "xn--bcher-kva.example."}, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")}},
		MX: MX{
			Records:   []rrset.MX{{Preference: 20, Host: "gw2.example.org."}, {Host: "gw1.example.org."}},
			Keep:      []string{"third.example.net."},
			Templates: map[string][]rrset.MX{"shop.example.org.": {{Preference: 5, Host: "gw2.example.org."}}},
		},
		Providers: map[string]Provider{
			"p":   {Kind: "rfc2136", Zones: []string{"example.org."}, Writes: 3, Settings: doc},
			"q-1": {Kind: "powerdns", Zones: []string{"xn--bcher-kva.example."}, Settings: doc2},
		},
		Domains: Domains{Include: []string{"*.example.org", "example.org"}, Exclude: []string{"lists.*", "xn--bcher-kva.example"}, Names: "/n.txt", OwnName: []string{"mail.example.org."}},
		Traffic: Traffic{
			Table: "t.txt", Logs: []string{"etc/old/mainlog*"}, GatewayLogs: []string{"/var/log/gw1.log", "etc/gw2.log"}, Format: "exim", Zone: "Europe/Berlin",
			Real: Real{Messages: 30, Excess: 0.5, Quiet: 2 * time.Hour},
		},
		Waves: Waves{First: 1, Growth: 1.5, Max: 9, Share: 0.5, Pin: map[string][]string{
			"pilot": {"a.example.org."}, "wave-2": {"b.example.org."}, "last": {"example.org."},
		}},
		Gate: Gate{
			Approve: plan.Auto, Persons: 2, Soak: 36 * time.Hour, Failures: 2, Consecutive: 4, Shared: 5, Concurrency: 7,
			Windows: []plan.Window{window(t, "fri,sun 22:00-04:30")}, Zone: "Europe/Berlin", AvoidPeak: true,
		},
		TTL:       TTL{Low: 120, Prepare: "wave", SettleAfter: time.Hour},
		Preflight: Preflight{Lifetime: 90 * time.Second, Addresses: "etc/valid.txt", Each: 2},
		Resolvers: []Resolver{
			{"aa", netip.MustParseAddrPort("192.0.2.54:5300")},
			{"aa", netip.MustParseAddrPort("[2001:db8::54]:5300")},
			{"zz", netip.MustParseAddrPort("192.0.2.53:5353")},
			{"zz", netip.MustParseAddrPort("[2001:db8::53]:53")},
		},
		Vantages: []Vantage{{Name: "v", Source: netip.MustParseAddr("198.51.100.7"), Inside: true}, {
			Name: "w", SSH: SSHHost{User: "u", Host: "far.example", Port: 2222}, Identity: secret.Ref{File: "etc/id"}, Passphrase: secret.Ref{Env: "P"}, KnownHosts: "etc/kh",
		}},
		Outbound: []netip.Addr{netip.MustParseAddr("192.0.2.11")},
		DKIM:     DKIM{Selectors: []string{"mail", "s1.2026"}}, HTTPS: HTTPS{CA: "etc/web-ca.pem"},
		Probe: Probe{
			From: "Probe+x@xn--bcher-kva.example", Recipients: Recipients{File: "etc/rcpt.txt"}, Failures: 4, OnFailure: "hold", Concurrency: 9,
			Interval: time.Second, Timeout: 2 * time.Second, GreylistRetry: 3 * time.Second, CatchAll: true, CatchAlls: []string{"xn--bcher-kva.example.", "*.example.org."}, RandomPerHour: 9, Largest: 1000, CA: "etc/ca.pem",
			Arrival:      Arrival{IMAP: &IMAP{Address: "127.0.0.1:143", User: "u", Password: secret.Ref{File: "etc/imap.pw"}, TLS: "none", CA: "etc/ca.pem"}, Maildir: "etc/box", Log: "etc/old.log"},
			Bounces:      Bounces{IMAP: &IMAP{Address: "[::1]:993", User: "b", Password: secret.Ref{Env: "PW"}, TLS: "starttls"}},
			GatewaySends: []netip.Prefix{netip.MustParsePrefix("10.1.2.0/28"), netip.MustParsePrefix("192.0.2.21/32")},
			SpamMarks:    []string{"X-Spam: yes"}, StrictSender: "a@strict.xn--bcher-kva.example",
		},
		Isolate: &Isolate{
			Driver: "lab", Socket: "etc/fw.sock", Ports: []uint16{2500}, Action: "drop", After: 2 * time.Hour, ConfirmWithin: 9 * time.Second, ConfirmAfter: 3 * time.Second, AutoLift: true,
			LookBack: 48 * time.Hour, Acknowledged: []netip.Prefix{netip.MustParsePrefix("192.0.2.8/32")}, Abandoned: []string{"gone.example."}, Blind: true,
			Trust: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("2001:db8::/32")},
		},
		DNS:    DNS{Rate: 20, Anchors: []string{". IN DS 1 13 2 ab"}},
		Notify: Notify{Command: []string{"etc/tell", "--now"}}, State: State{Path: "etc/m.db"}, Ports: Ports{DNS: 5300, SMTP: 2500, HTTPS: 4430},
	}
	got, expected := reflect.ValueOf(*c), reflect.ValueOf(*want)
	for i := range got.NumField() {
		if g, w := got.Field(i).Interface(), expected.Field(i).Interface(); !reflect.DeepEqual(g, w) {
			t.Errorf("%s:\n got %+v\nwant %+v", got.Type().Field(i).Name, g, w)
		}
	}
}

// TestViews: a zone may stand in two views, of which one moves.
func TestViews(t *testing.T) {
	t.Parallel()
	split := with(t, minimal, "zones: [example.org, example.net]", "zones: [example.org, example.net]\n    view: outside",
		"public: [9.9.9.9]", "outside: [9.9.9.9], inside: [9.9.9.8]",
		"resolvers", "  q: {kind: x, view: inside, compare_only: true, zones: [example.org, lan.example]}\nresolvers")
	c := parse(t, split)
	if got := c.MovedView(); got != "outside" {
		t.Errorf("view %q moves", got)
	}
	for name, c := range map[string]*Config{
		"public":  parse(t, with(t, minimal, "public: [9.9.9.9]", "inside: [9.9.9.8], public: [9.9.9.9]")),
		"a":       parse(t, with(t, minimal, "public: [9.9.9.9]", "b: [9.9.9.8], a: [9.9.9.9]")),
		"outside": c,
	} {
		if got := c.MovedView(); got != name {
			t.Errorf("view %q moves, want %q", got, name)
		}
	}
	hashes := map[string]bool{}
	for _, text := range []string{
		split, with(t, split, "view: inside", "view: third", "inside: [9.9.9.8]", "inside: [9.9.9.8], third: [9.9.9.8]"),
		with(t, split, ", compare_only: true", "", "view: outside", "view: outside\n    compare_only: true"), with(t, split, "view: inside, compare_only: true, ", "", "example.org, lan", "lan"),
	} {
		hashes[parse(t, text).Hash()] = true
	}
	if len(hashes) != 4 {
		t.Errorf("%d hashes of 4 files whose plans differ", len(hashes))
	}
}

// TestExample keeps the documented example complete: every key stands in it
// with a comment near, and it can be parsed.
func TestExample(t *testing.T) {
	t.Parallel()
	const path = "../docs/config.example.yaml"
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var missing func(reflect.Type, string)
	missing = func(ty reflect.Type, within string) {
		for ty.Kind() == reflect.Pointer || ty.Kind() == reflect.Slice || ty.Kind() == reflect.Map {
			ty = ty.Elem()
		}
		if ty.Kind() != reflect.Struct || ty.PkgPath() != "mxcutover/config" || ty == reflect.TypeFor[Section]() || ty == reflect.TypeFor[SSHHost]() {
			return
		}
		fields, err := fieldsOf(ty)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fields {
			if f.name == "view" || f.name == "addr" {
				continue
			}
			if !regexp.MustCompile(`(?m)^[ #{-]*` + f.name + `:`).Match(text) {
				t.Errorf("%s does not show %s", path, inner(within, f.name))
			}
			missing(ty.FieldByIndex(f.index).Type, inner(within, f.name))
		}
	}
	missing(reflect.TypeFor[Config](), "")
	if got := c.Traffic.Table; got != "../docs/traffic.txt" {
		t.Errorf("traffic.table %q is not beside the file", got)
	}
	d := Default()
	if len(c.Gate.Windows) != 2 {
		t.Errorf("gate.windows: %v", c.Gate.Windows)
	}
	c.Gate.Windows, c.Gate.Zone = nil, ""
	d.Preflight.Addresses = c.Preflight.Addresses // none by default
	if !reflect.DeepEqual(c.Gate, d.Gate) || c.TTL != d.TTL || c.Preflight != d.Preflight || c.Ports != d.Ports {
		t.Error("the example does not show the defaults")
	}
}

func TestLoadErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, make([]byte, MaxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "no such file", dir: "is a folder", big: "is above 4194304 bytes",
	} {
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("Load(%s): %v, want %q", path, err, want)
		}
	}
}

func window(t *testing.T, s string) plan.Window {
	t.Helper()
	w, err := plan.ParseWindow(s)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

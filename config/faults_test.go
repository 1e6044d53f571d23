package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// with replaces parts of a text, each of which must stand there.
func with(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("%q does not stand in the text", pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

// broken lists edits of the minimal file, or, for an edit of "", what is put
// after it. Each § marks where a fault must be told.
var broken = []struct {
	name  string
	edits []string
}{
	{"bare-number", []string{"", "ttl: {low: §300}\n"}},
	{"durations", []string{"", "ttl:\n  low: §1500ms\n  assume: §1 day\n  settle_after: §-1h\ngate: {soak: §30}\npreflight: {lifetime: §0s}\n"}},
	{"unknown-keys", []string{"", "tll: 1\n", "tll", "§tll", "", "gate: {§aprove: auto, §colour: red}\n"}},
	{"missing-top", []string{minimal, "§traffic: {}\n"}},
	{"missing-inner", []string{"addresses: [192.0.2.10]", "", "old", "§old", "kind: rfc2136", "", "  p:", "  §p:", "preference: 10, ", "", "{host: gw1", "§{host: gw1"}},
	{"empty", []string{"zones: [example.org, example.net]", "zones: §[]", "hosts: [mail.example.org]", "hosts:§ ", "", "domains: {include: §[]}\nisolate: {driver: local, ports: §[]}\n"}},
	{"wrong-types", []string{"migration: m", "migration: §2026", "hosts: [mail.example.org]", "hosts: §mail.example.org", "kind: rfc2136", "kind: §[rfc2136]", "preference: 10", "preference: §ten", "postmaster: true", "postmaster: §yes", "", "waves: §3\ngate: {failures: §1.5, shared: §0x3}\n"}},
	{"ranges", []string{"preference: 10", "preference: §65536", "", "waves: {first: §0, growth: §0.5, max: §-1}\ngate: {failures: §0, shared: §1}\nprobe2: 1\n", "probe2", "§probe2", "", "ports: {dns: §0, smtp: §70000}\nttl: {low: §25h}\n"}},
	{"infinite-growth", []string{"", "waves: {growth: §.inf}\n"}},
	{"share", []string{"", "waves: {share: §1.5}\n"}},
	{"first-above-max", []string{"", "waves: {first: §10, max: 9}\n"}},
	{"words", []string{"", "gate: {approve: §Manual}\nttl: {prepare: §waves}\nisolate: {driver: §locale, action: §mirror}\n"}},
	{"duplicate-keys", []string{"", "gate:\n  soak: 1m\n  §soak: 2m\n§migration: n\n"}},
	{"zone-in-two-providers", []string{"resolvers", "  q: {kind: x, zones: [§Example.NET, other.example, §other.example.]}\nresolvers"}},
	{"views-not-told-apart", []string{"zones: [example.org, example.net]", "zones: [example.org, example.net]\n    view: public", "resolvers", "  q: {kind: x, zones: [§example.net]}\nresolvers"}},
	{"views", []string{
		"zones: [example.org, example.net]", "zones: [example.org, example.net]\n    view: public", "public: [9.9.9.9]", "public: [9.9.9.9], inside: [9.9.9.8], third: [9.9.9.7]",
		"resolvers", "  q: {kind: x, view: public, compare_only: true, zones: [§example.net]}\n  r: {kind: x, view: §inside, zones: [§example.org]}\n  s: {kind: x, view: §nowhere, compare_only: true, zones: [example.org]}\n  t: {kind: x, compare_only: §true, zones: [a.example]}\n  u: {kind: x, view: third, compare_only: true, zones: [example.org, §example.org]}\n  v: {kind: x, view: third, compare_only: true, zones: [§example.org]}\nresolvers",
		"view: public, compare_only", "view: §public, compare_only",
	}},
	{"views-only-compared", []string{"zones: [example.org, example.net]", "zones: [example.org]\n    view: inside\n    compare_only: true", "public: [9.9.9.9]", "public: [9.9.9.9], inside: [9.9.9.8]", "  p:", "  §p:"}},
	{"old-host-planned", []string{"host: gw1.example.org}", "host: §Mail.Example.org.}, {preference: 20, host: gw2.example.org}, {preference: 30, host: §GW2.example.org}", "providers:", "  keep: [§mail.example.org, §gw2.example.org]\n  templates: {a.example.org: [{preference: 1, host: §mail.example.org}]}\nproviders:"}},
	{"names", []string{"hosts: [mail.example.org]", "hosts: [§192.0.2.1, §a@b.example, §a..b, §\"*.x.example\", §x/y.example, §\"a b\", §ü\ufffd.example]", "host: gw1.example.org", "host: §."}},
	{"long-label", []string{"hosts: [mail.example.org]", "hosts: [§" + strings.Repeat("a", 64) + ".example]"}},
	{"globs", []string{"", "domains: {include: [§\"[a\", \"*\"], exclude: [§\"a b*\"], own_name: [§elsewhere.example]}\n"}},
	{"addresses", []string{"addresses: [192.0.2.10]", "addresses: [§192.0.2.256, §\"::ffff:192.0.2.1\", §\"fe80::1%eth0\", §0.0.0.0, 192.0.2.1, §192.0.2.1]"}},
	{"resolvers", []string{"[9.9.9.9]", "[§dns.example, §\"9.9.9.9:0\", 9.9.9.9, §9.9.9.9], inside: §[]"}},
	{"isolate", []string{"", "isolate:\n  driver: local\n  socket: §x\n  ports: [25, §22, §0, §25]\n  trust: [§10.0.0.5/8, §0.0.0.0/0, §nowhere]\n  confirm_within: §0s\n"}},
	{"isolate-lab", []string{"", "§isolate: {driver: lab, boot_file: §/x}\n"}},
	{"logs", []string{"", "traffic:\n  logs: [a, 'x*', §a]\n  gateway_logs: [§\"b[\"]\n  format: §exam\n  zone: §Nowhere\n  real: {messages: §0, excess: §1.5}\n"}},
	{"isolate-script", []string{"", "isolate:\n  driver: script\n  host: §root@x\n  boot_file: §/x\n  redirect_to: §[192.0.2.5]\n  ways_in: [§mail, 192.0.2.10:22, §\"192.0.2.10:25\", §none]\n"}},
	{"redirect-elsewhere", []string{"", "isolate: {driver: local, action: §redirect, redirect_to: §[192.0.2.5], ways_in: §[none]}\n"}},
	{"redirect", []string{"", "isolate: {driver: script, action: §redirect, stages: [[465]]}\n"}},
	{"redirect-to", []string{"[192.0.2.10]", "[192.0.2.10, \"2001:db8::10\"]", "", "traffic: {gateway_logs: [x]}\nisolate:\n  driver: script\n  action: redirect\n  redirect_to: §[§192.0.2.10, §192.0.2.5]\n"}},
	{"isolate-ssh", []string{"", "§isolate: {driver: ssh, socket: §x, passphrase: §{env: P}}\n"}},
	{"isolate-ssh-port", []string{"", "isolate: {driver: ssh, host: \"u@h:2222\", ports: [25, §2222], stages: [[465, §25], [§22]], via: {host: §\"u@\"}}\n"}},
	{"isolate-local-host", []string{"", "isolate: {driver: local, host: §root@x, via: §{host: x}}\n"}},
	{"probe", []string{"from: probe@sender.example.com", "from: §probe.example.com", "{postmaster: true}", "§{postmaster: true, rewrite: x}\n  failures: §0\n  on_failure: §holt\n  expect: §all\n  arrival: {imap: {address: §mail.example.org, user: u, password: {file: /x}, tls: §ssl}}"}},
	{"probe-sender-moves", []string{"probe@sender.example.com", "§probe@a.example.org", "", "waves: {pin: {pilot: [a.example.org]}}\n"}},
	{"clear-text-imap", []string{"{postmaster: true}", "{postmaster: true}\n  arrival: {imap: {address: \"mail.example.org:143\", user: u, password: {env: X}, tls: §none}}"}},
	{"arrival", []string{"{postmaster: true}", "{postmaster: true}\n  arrival: {log: §[a], maildir: §\"\"}\n  bounces: {imap: {address: \"mail.example.org:143\", user: u, password: {env: X}, tls: §none}}\n  spam_marks: [§yes, §\"X Spam: yes\", §\"X-Spam:\", \"X-Spam: a\"]\n  strict_sender: §strict.example"}},
	{"gateway-sends", []string{"{postmaster: true}", "{postmaster: true}\n  gateway_sends: [10.0.0.0/28, §0.0.0.0/0, §10.0.0]"}},
	{"strict-sender-moves", []string{"{postmaster: true}", "{postmaster: true}\n  strict_sender: §probe@a.example.org", "", "waves: {pin: {pilot: [a.example.org]}}\n"}},
	{"pins", []string{"", "domains: {exclude: [b.example.org]}\nwaves:\n  pin:\n    pilot: [§a.example.org, §b.example.org, §c.elsewhere.example]\n    last: [a.example.org]\n    §wave-1: [d.example.org]\n    wave-2: §[]\n"}},
	{"templates-twice", []string{"providers:", "  templates:\n    a.example.org: [{preference: 1, host: x.example}]\n    §A.example.org: [{preference: 1, host: x.example}]\nproviders:"}},
	{"secret-as-text", []string{"{postmaster: true}", "{postmaster: true}\n  arrival: {imap: {address: \"127.0.0.1:993\", usr: u, password: §hunter2hunter2}}", "{imap: {", "{§imap: {", "usr: u", "§usr: hunter2hunter2"}},
	{"secret-in-two-places", []string{"{postmaster: true}", "{postmaster: true}\n  arrival: {imap: {address: \"127.0.0.1:993\", user: u, password: §{env: A, file: hunter2}}}"}},
	{"secret-as-variable", []string{"{postmaster: true}", "{postmaster: true}\n  arrival: {imap: {address: \"127.0.0.1:993\", user: u, password: §{env: hunter2!}}}"}},
	{"secret-block", []string{"{postmaster: true}", "{postmaster: true}\n  arrival:\n    imap:\n      address: \"127.0.0.1:993\"\n      user: u\n      password: §|\n        hunter2\n        hunter2\n"}},
	{"settings-stay-closed", []string{"    zones: [example.org, example.net]", "    zones: §[]\n    settings: §7", "kind: rfc2136", "kind: x"}},
	{"settings-in-one-line", []string{"  p:\n    kind: rfc2136\n    zones: [example.org, example.net]", "  p: {kind: x, settings: {pasword: hunter2, b: [hunter2]}, zones: §[]}"}},
	{"tag-and-alias", []string{"migration: m", "migration: §!!str m", "[9.9.9.9]", "§*nowhere"}},
	{"merge-of-a-list", []string{"", "gate:\n  <<: §text\n"}},
	{"second-document", []string{"", "---\n§migration: n\n"}},
	{"syntax-bracket", []string{"zones: [example.org, example.net]", "zones: [example.org, example.net", "resolvers", "§resolvers"}},
	{"syntax-tab", []string{"  records", "§\trecords"}},
	{"syntax-secret", []string{"{postmaster: true}", "{postmaster: true}\n  password: §hunter2 @hunter2: x: y"}},
	{"syntax-star", []string{"", "domains: {include: [*§]}\n"}},
	{"control-character", []string{"migration: m", "migration: §\x1b[2Jm"}},
	{"not-utf8", []string{"migration: m", "migration: §\xff\xfe"}},
	{"nothing", []string{minimal, "§# only a comment\n"}},
	{"a-list", []string{minimal, "§- a\n- b\n"}},
	{"nesting", []string{"", "gate: " + strings.Repeat("[", 32) + "§[\n"}},
	{"dashes", []string{"", "gate:\n  " + strings.Repeat("- ", 64) + "§- x\n"}},
	{"long-line", []string{"", "domains: {exclude: [" + strings.Repeat("a.example.org, ", 20) + "§b@c, " + strings.Repeat("d.example, ", 20) + "]}\n"}},
	{"more-names", []string{"migration: m", "migration: §a/b", "  p:\n", "  §p q:\n", "from: probe@sender.example.com", "from: §.probe@sender.example.com", "{postmaster: true}", "{rewrite: §a@b}\n  arrival: {imap: {address: §\"mail:0\", user: §\"\", password: {credential: §a/b}}}", "credential: §a/b", "credential: a/b", "password: {", "password: §{"}},
	{"vantages", []string{"", "vantages: [§{name: a}, §{name: b, ssh: u@h, source: 192.0.2.1}, {name: c, ssh: §\"u@h:0\"}, {name: d, source: 192.0.2.1, known_hosts: §x}, {name: e, ssh: u@h, passphrase: §{env: P}}, {name: f, ssh: §\"-oProxyCommand=x@h\"}, {name: g, ssh: §\"[::1\"}]\n", "{postmaster: true}", "{postmaster: true}\n  random_per_hour: §0\n  largest: §0"}},
	{"more-addresses", []string{"from: probe@sender.example.com", "from: §probe@sender", "", "vantages: [{name: v, source: 192.0.2.1}, {name: §v, source: 192.0.2.2}]\noutbound: §[]\nisolate: §[]\ntraffic: {table: §{}}\nstate: {path: §true}\n"}},
	{"policy", []string{"", "dkim: {selectors: [mail, §\"s 1\", §a..b, §x., §MAIL]}\nhttps: {ca: §[]}\nports: {https: §0}\n"}},
	{"empty-template", []string{"providers:", "  templates:\n    a.example.org: §[]\n    §a@b: []\n    b.elsewhere.example: §[{preference: 1, host: x.example}]\nproviders:"}},
	{"keys", []string{"", "gate: {? [a] §: b}\n"}},
	{"complex-key", []string{"", "gate:\n  §? soak\n  : 1m\n"}},
	{"bidi", []string{"mail.example.org", "§\"\u202egro.elpmaxe.liam\""}},
}

// marked takes the § out of a text and tells where they stood.
func marked(text string) (clean string, places []string) {
	line, column := 1, 1
	var b strings.Builder
	for i := 0; i < len(text); {
		if strings.HasPrefix(text[i:], "§") {
			places = append(places, fmt.Sprintf("%d:%d", line, column))
			i += len("§")
			continue
		}
		b.WriteByte(text[i])
		switch {
		case text[i] == '\n':
			line, column = line+1, 1
		case i+1 >= len(text) || text[i+1]&0xc0 != 0x80:
			column++
		}
		i++
	}
	return b.String(), places
}

func TestBroken(t *testing.T) {
	t.Parallel()
	for _, tt := range broken {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := minimal
			for i := 0; i < len(tt.edits); i += 2 {
				if tt.edits[i] == "" {
					text += tt.edits[i+1]
					continue
				}
				text = with(t, text, tt.edits[i], tt.edits[i+1])
			}
			text, want := marked(text)
			c, err := Parse("mxcutover.yaml", []byte(text))
			if c != nil || err == nil {
				t.Fatalf("a broken file was taken:\n%s", text)
			}
			var got []string
			for _, f := range faults(t, err) {
				if p := fmt.Sprintf("%d:%d", f.Line, f.Column); len(got) == 0 || got[len(got)-1] != p {
					got = append(got, p)
				}
			}
			if g, w := strings.Join(got, " "), strings.Join(want, " "); g != w {
				t.Errorf("faults at %s, want %s", g, w)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret is shown")
			}
			golden(t, tt.name, err.Error()+"\n")
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; make it with: go test ./config -update", err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

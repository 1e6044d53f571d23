package config

import (
	"strings"
	"testing"
)

// TestHashIsStable fails if a release would call plans of an older one stale.
// Change the value only together with the shape's version.
func TestHashIsStable(t *testing.T) {
	t.Parallel()
	// With what later releases added at its default.
	old := strings.NewReplacer("persons: 2, ", "", "consecutive: 4, ", "", `, concurrency: 7, windows: ["fri,sun  22:00-04:30"], zone: Europe/Berlin, avoid_peak: true`, "").Replace(every)
	for text, want := range map[string]string{
		old:   "f4e00e39d94c8d685d3e77a6e49c378f9978d6c9a84a6d4623d99373b4bed741",
		every: "d66fe6fbedee2bdce2f058e448096635b4fb68fb99b08d3031183fde08068a39",
	} {
		if got := parse(t, text).Hash(); got != want {
			t.Errorf("hash %s, want %s", got, want)
		}
	}
}

func TestHashIgnores(t *testing.T) {
	t.Parallel()
	want := parse(t, every).Hash()
	for name, edits := range map[string][]string{
		"comments":           {"migration", "# a comment\n\nmigration", "::10\"]}", "::10\"]} # another", "kind: rfc2136,", "kind:   'rfc2136',"},
		"order of keys":      {"hosts: [Mail.Example.ORG., bücher.example], addresses: [192.0.2.10, \"2001:db8::10\"]", "addresses: [192.0.2.10, \"2001:db8::10\"], hosts: [Mail.Example.ORG., bücher.example]"},
		"order of sections":  {"preflight: {lifetime: 90s, addresses: valid.txt, each: 2}\n", "", "migration", "preflight: {lifetime: 90s, addresses: valid.txt, each: 2}\nmigration"},
		"order of lists":     {"[192.0.2.10, \"2001:db8::10\"]", "[\"2001:DB8:0::10\", 192.0.2.10]", "records: [{preference: 20, host: gw2.example.org}, {preference: 0, host: GW1.example.org}]", "records: [{preference: 0, host: gw1.example.org.}, {host: gw2.example.org, preference: 20}]", "\"*.example.org\", example.org", "example.org, \"*.example.org\""},
		"spelling":           {"bücher.example]", "xn--bcher-kva.example]", "soak: 1d12h", "soak: 36h", "low: 2m", "low: 120s", "Shop.Example", "shop.example"},
		"password":           {"{file: imap.pw}", "{env: OTHER}"},
		"provider's setting": {"settings: {server: x}", "settings: {server: y}"},
		"notify and state":   {"notify: {command: [./tell, --now]}\n", "", "path: m.db", "path: n.db"},
		"resolvers":          {"aa: [192.0.2.54", "aa: [192.0.2.55"},
		"probe":              {"failures: 4", "failures: 3", "Probe+x@", "other@"},
		"isolation's trust":  {"10.0.0.0/8", "11.0.0.0/8", "after: 2h", "after: 3h"},
	} {
		if got := parse(t, with(t, every, edits...)).Hash(); got != want {
			t.Errorf("%s changes the hash", name)
		}
	}
}

func TestHashTellsApart(t *testing.T) {
	t.Parallel()
	seen := map[string]string{parse(t, every).Hash(): "nothing"}
	for name, edits := range map[string][]string{
		"migration":         {"G.2026-x", "G.2027-x"},
		"old host":          {"Mail.Example.ORG.", "mail2.example.org"},
		"old address":       {"192.0.2.10,", "192.0.2.12,"},
		"planned host":      {"GW1.example", "gw3.example"},
		"preference":        {"preference: 20", "preference: 21"},
		"keep":              {"[third.example.net]", "[]"},
		"template":          {"preference: 5", "preference: 6"},
		"kind":              {"kind: powerdns", "kind: rfc2136"},
		"provider's name":   {"q-1:", "q-2:"},
		"zone":              {"zones: [example.org]", "zones: [example.org, example.com]"},
		"include":           {"include: [\"*.example.org\", example.org]", "include: [\"*\"]"},
		"exclude":           {"\"Lists.*\", ", ""},
		"own name":          {"own_name: [mail.example.org]", "own_name: []"},
		"first":             {"first: 1", "first: 2"},
		"growth":            {"growth: 1.5", "growth: 1.25"},
		"max":               {"max: 9", "max: 10"},
		"pin":               {"wave-2: [b", "wave-3: [b"},
		"approve":           {"approve: auto", "approve: manual"},
		"soak":              {"soak: 1d12h", "soak: 1d"},
		"failures":          {"failures: 2", "failures: 3"},
		"shared":            {"shared: 5", "shared: 4"},
		"low":               {"low: 2m", "low: 3m"},
		"prepare":           {"prepare: wave", "prepare: all"},
		"assume":            {"assume: 0s", "assume: 1s"},
		"settle":            {"settle_after: 1h", "settle_after: 2h"},
		"sender's domain":   {"x@bücher.example", "x@other.example"},
		"ports":             {"driver: lab", "driver: lab, ports: [25]"},
		"ports of smtp":     {"smtp: 2500", "smtp: 2501"},
		"without isolation": {"isolate: {driver: lab, socket: fw.sock, trust: [10.0.0.0/8, 192.0.2.7, \"2001:db8::/32\"], action: drop, after: 2h, confirm_within: 9s, confirm_after: 3s, auto_lift: true, look_back: 48h, acknowledged: [192.0.2.8], abandoned: [Gone.example], blind: true}\n", ""},
	} {
		h := parse(t, with(t, every, edits...)).Hash()
		if other, same := seen[h]; same {
			t.Errorf("%s: the hash is that of %s", name, other)
		}
		seen[h] = name
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"

	"mxcutover/rrset"
)

// installedSchema is where a package puts the schema for editors.
const installedSchema = "/usr/share/mxcutover/mxcutover.schema.json"

// exampleDraft stands for what is not known yet while an answer is tried.
var exampleDraft = draft{
	"migration": {"m"}, "resolver": {"192.0.2.53"}, "zone": {"zone.example"}, "gateway": {"gateway.mx.example"}, "old": {"old.mx.example"},
	"old-address": {"192.0.2.10"}, "provider": {"rfc2136"}, "from": {"mxprobe@sender.example"},
}

var plainText = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*[./][A-Za-z0-9./-]*[A-Za-z0-9]$|^[0-9]{1,3}(\.[0-9]{1,3}){3}$`)

// quoted is a text in double quotes, which YAML reads as JSON does.
func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil { // strings have none
		return `""`
	}
	return string(b)
}

// word is a text as YAML takes it for one.
func word(s string) string {
	if plainText.MatchString(s) {
		return s
	}
	return quoted(s)
}

func words(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = word(s)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// text is the file.
func (i *initiation) text() string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	if _, err := os.Stat(installedSchema); err == nil {
		say("# yaml-language-server: $schema=%s\n", installedSchema)
	} else {
		say("# An editor helps with the keys by: mxcutover config schema --out mxcutover.schema.json\n# yaml-language-server: $schema=mxcutover.schema.json\n")
	}
	say("# All keys, with their defaults, are in config.example.yaml of the documentation.")
	say("# Passwords and keys never stand here, only where they are: {file: PATH}, which is its\n# owner's alone (mode 0600), {env: NAME}, or {credential: NAME} (systemd's LoadCredential).\n")
	say("migration: %s\n", quoted(i.first("migration")))
	say("# The server that mail leaves: every name that leads to it, vanity MX names too, and all\n# of its addresses. Whether a domain leads to it is judged by the addresses.")
	say("old:\n  hosts: %s\n  addresses: %s\n", words(i.draft["old"]), words(i.draft["old-address"]))
	say("# What the domains' MX records become, in place of those that lead to the old server.")
	say("mx:\n  records:")
	for _, m := range i.gateways() {
		say("    - {preference: %d, host: %s}", m.Preference, word(rrset.Bare(m.Host)))
	}
	say("  # Third parties' MX hosts that stay beside the gateway's:\n  # keep: [backup.mx.example]\n")
	i.provider(say)
	say("# Which names move, of all that receive mail at the old server.\ndomains:\n  include: [\"*\"]\n  # exclude: [lists.example.edu]\n")
	i.traffic(say)
	say("# A few little-used domains first, then ever more.\nwaves: {first: 3, growth: 4, max: 500}\n")
	say("# manual: a person lets each wave start (mxcutover approve).\ngate:\n  approve: manual\n  soak: 30m # how long each domain is watched before it counts as live")
	if tz := i.first("time-zone"); tz != "" {
		say("  zone: %s\n  # When domains may be published; going back is never held up:\n  # windows: [\"mon-thu 22:00-05:00\"]", quoted(tz))
	}
	say("\nttl:\n  low: 300s # while domains move")
	say("\n# Caching DNS servers by view. Where the inside sees other records than the world, list\n# the inside's as a view of their own.")
	say("resolvers:\n  public: %s\n  # inside: [192.0.2.53]\n", words(i.draft["resolver"]))
	say("# Places to probe from. From inside of the gateway's trust it is not known what it does\n# for others: name one outside, where nothing is installed.")
	say("# vantages:\n#   - name: outside\n#     ssh: probe@vps.example.net\n")
	i.probe(say)
	i.isolation(say)
	say("# Who is told of what needs a person: a program and its arguments.\n# notify: {command: [/etc/mxcutover/notify]}")
	return b.String()
}

func (i *initiation) provider(say func(string, ...any)) {
	kind := i.first("provider")
	say("# Who holds the zones. What its settings mean: mxcutover providers list %s", kind)
	say("providers:\n  dns:\n    kind: %s\n    zones: %s", kind, words(i.draft["zone"]))
	values := map[string]string{}
	var more []string
	for _, kv := range i.draft["setting"] {
		key, value, _ := strings.Cut(kv, "=")
		values[key] = value
		more = append(more, key)
	}
	known := settingsOf(kind)
	if len(more)+len(known) > 0 {
		say("    settings:%s", map[bool]string{true: " {}"}[len(more) == 0])
	}
	for _, x := range known {
		if v, ok := values[x.key]; ok {
			say("      %s: %s", x.key, v)
			delete(values, x.key)
			continue
		}
		say("      # %s: %s # %s", x.key, x.value, x.words)
	}
	for _, key := range more {
		if v, ok := values[key]; ok {
			say("      %s: %s", key, v)
			delete(values, key)
		}
	}
	say("")
}

func (i *initiation) traffic(say func(string, ...any)) {
	say("# How much mail each domain has, so that the least used move first: the old server's\n# logs, and the gateway's, by which real mail of moved domains is watched.")
	if logs := i.draft["log"]; len(logs) > 0 {
		say("traffic:\n  logs: %s\n  # gateway_logs: [/var/log/gateway/mainlog]\n", words(logs))
		return
	}
	say("# traffic:\n#   logs: [\"/var/log/old/mainlog*\"]\n#   gateway_logs: [\"/var/log/gateway/mainlog*\"]\n")
}

func (i *initiation) probe(say func(string, ...any)) {
	say("# The messages that prove the way to the mailbox. The sender's domain has an MX of its\n# own, and never moves.")
	to := "{postmaster: true} # or {rewrite: mxprobe}: that local part at every domain, behind a rule of the old server"
	if local := i.first("recipient"); local != "" && local != "postmaster" {
		to = "{rewrite: " + quoted(local) + "}"
	}
	say("probe:\n  from: %s\n  recipients: %s", quoted(i.first("from")), to)
	say("  # Where arriving probes are seen. Without it arrival is unknown, which proves nothing:")
	say("  # arrival:\n  #   imap: {address: %s, user: mxprobe, password: {file: /etc/mxcutover/imap}}\n", quoted(i.first("old")+":993"))
}

func (i *initiation) isolation(say func(string, ...any)) {
	say("# Closing the old server to the world, when all is done. Without this it stays open.")
	say("# isolate:\n#   driver: ssh\n#   host: root@%s\n#   trust: [192.0.2.0/28] # from where the gateway's nodes and the monitoring come\n#   after: 7d\n", i.first("old"))
}

package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

func (k *checker) probe() {
	k.atLeast("probe.concurrency", k.c.Probe.Concurrency, 1)
	k.atLeast("probe.random_per_hour", k.c.Probe.RandomPerHour, 1)
	if k.good("probe.largest") && k.c.Probe.Largest < 1 {
		k.fault("probe.largest", "is no size of a message", "write how many bytes must pass, as in 26214400")
	}
	p := k.c.Probe
	k.atLeast("probe.failures", p.Failures, 1)
	oneOf(k, "probe.on_failure", p.OnFailure, "rollback", "hold")
	k.positive("probe.interval", p.Interval)
	k.positive("probe.timeout", p.Timeout)
	k.positive("probe.greylist_retry", p.GreylistRetry)
	k.stays("probe.from", p.From)
	k.stays("probe.strict_sender", p.StrictSender)
	unique(k, "probe.catch_all", p.CatchAlls, bare)
	for n, net := range p.GatewaySends {
		if key := item("probe.gateway_sends", n); k.good(key) && net.Bits() == 0 {
			k.fault(key, fmt.Sprintf("%s is everybody: mail that came past the gateway would count as its", net), "name the gateway's own addresses")
		}
	}
	for n, mark := range p.SpamMarks {
		key := item("probe.spam_marks", n)
		if name, value, ok := strings.Cut(mark, ":"); k.good(key) && (!ok || !headerName.MatchString(name) || strings.TrimSpace(value) == "") {
			k.fault(key, fmt.Sprintf("%.80q is no header field with a value", mark), "write one as it stands in a message, \"X-Spam-Flag: YES\"")
		}
	}
}

// headerName is that of a header field (RFC 5322 section 3.6.8).
var headerName = regexp.MustCompile(`^[!-9;-~]{1,77}$`)

// stays wants a sender's domain not to move.
func (k *checker) stays(key, sender string) {
	if !k.good(key) {
		return
	}
	_, domain, _ := strings.Cut(sender, "@")
	if where := k.moves(domain + "."); where != "" {
		k.fault(key, fmt.Sprintf("its domain %.80q is named in %s, and the prober's own domain never moves", domain, where), "send from a domain with an MX of its own")
	}
}

// moves tells which setting wants a domain to move, if any does by name.
func (k *checker) moves(name string) string {
	for _, w := range slices.Sorted(maps.Keys(k.c.Waves.Pin)) {
		if slices.Contains(k.c.Waves.Pin[w], name) {
			return inner("waves.pin", w)
		}
	}
	if _, ok := k.c.MX.Templates[name]; ok {
		return "mx.templates"
	}
	if slices.Contains(k.c.Domains.OwnName, name) {
		return "domains.own_name"
	}
	return ""
}

func (k *checker) recipients() {
	const key = "probe.recipients"
	if _, ok := k.at[key]; !ok || k.bad[key] {
		return
	}
	r, n := k.c.Probe.Recipients, 0
	for _, set := range []bool{r.File != "", r.Postmaster, r.Rewrite != ""} {
		if set {
			n++
		}
	}
	for _, name := range []string{"file", "postmaster", "rewrite"} {
		if k.bad[inner(key, name)] {
			return
		}
	}
	if n != 1 {
		k.fault(key, fmt.Sprintf("says in %d ways where probes go; one was expected", n), "write one of {rewrite: LOCALPART}, {postmaster: true}, {file: PATH}")
	}
}

func (k *checker) imap() {
	k.mailbox("probe.arrival.imap", k.c.Probe.Arrival.IMAP)
	k.mailbox("probe.bounces.imap", k.c.Probe.Bounces.IMAP)
}

func (k *checker) mailbox(key string, m *IMAP) {
	if m == nil {
		return
	}
	oneOf(k, key+".tls", m.TLS, "implicit", "starttls", "none")
	if k.good(key+".tls") && k.good(key+".address") && m.TLS == "none" && !loopback(m.Address) {
		k.fault(key+".tls", fmt.Sprintf("none would send the password in clear text to %.80s", m.Address), "write implicit or starttls")
	}
}

func (k *checker) isolate() {
	i := k.c.Isolate
	if i == nil || k.bad["isolate"] {
		return
	}
	k.driver(i)
	k.closed("isolate.ports", i.Ports, i.Host.Port, nil)
	before := i.Ports
	for n, set := range i.Stages {
		k.closed(item("isolate.stages", n), set, i.Host.Port, before)
		before = slices.Concat(before, set)
	}
	for n, p := range i.Trust {
		if key := item("isolate.trust", n); k.good(key) && p.Bits() == 0 {
			k.fault(key, fmt.Sprintf("%s trusts everybody: nothing would be closed", p), "name the gateway's and the monitoring's networks")
		}
	}
	if i.Action == "redirect" && k.good("isolate.action") {
		k.fault("isolate.action", "redirect is not supported in this release", "write reject or drop")
	}
	oneOf(k, "isolate.action", i.Action, "reject", "drop")
	k.positive("isolate.confirm_within", i.ConfirmWithin)
	k.positive("isolate.look_back", i.LookBack)
	for n, p := range i.Acknowledged {
		if key := item("isolate.acknowledged", n); k.good(key) && p.Bits() == 0 {
			k.fault(key, fmt.Sprintf("%s acknowledges everybody: nothing would be looked at", p), "name the sources that may be cut off")
		}
	}
}

func (k *checker) driver(i *Isolate) {
	const key = "isolate.driver"
	if !k.good(key) {
		return
	}
	if i.Driver == "script" {
		k.fault(key, "script is not supported in this release", "run mxcutover with driver: ssh, or on the old server with driver: local")
		return
	}
	oneOf(k, key, i.Driver, "local", "ssh", "lab")
	of := map[string][]string{
		"socket": {"lab"}, "boot_file": {"local", "ssh"},
		"host": {"ssh"}, "identity": {"ssh"}, "passphrase": {"ssh"}, "known_hosts": {"ssh"}, "via": {"ssh"},
	}
	for _, name := range slices.Sorted(maps.Keys(of)) {
		if at := "isolate." + name; k.good(at) && !slices.Contains(of[name], i.Driver) && slices.Contains([]string{"local", "ssh", "lab"}, i.Driver) {
			k.fault(at, "has no meaning with driver: "+i.Driver, "delete it")
		}
	}
	for driver, needs := range map[string][2]string{"lab": {"socket", "write the path of the lab's socket"}, "ssh": {"host", "write the old server as user@host or user@host:port"}} {
		if at := "isolate." + needs[0]; i.Driver == driver && !k.good(at) && !k.bad[at] {
			k.fault(at, "is missing, and driver: "+driver+" needs it", needs[1])
		}
	}
	if k.good("isolate.passphrase") && i.Identity.IsZero() && !k.bad["isolate.identity"] {
		k.fault("isolate.passphrase", "is that of the identity, which is missing", "name the key's file in identity")
	}
}

// closed checks a set of ports that are to be closed, after those before.
func (k *checker) closed(at string, ports []uint16, own uint16, before []uint16) {
	for n, p := range ports {
		key := item(at, n)
		switch {
		case !k.good(key):
		case p == 0:
			k.fault(key, "is 0; a port from 1 to 65535 was expected", "")
		case p == 22:
			k.fault(key, "22 is SSH, an administrator's way in: it is never closed", "delete it here")
		case p == own:
			k.fault(key, fmt.Sprintf("%d is the port of isolate.host, our own way in: it is never closed", p), "delete it here")
		case slices.Contains(before, p):
			k.fault(key, fmt.Sprintf("%d is closed before already", p), "delete it here")
		}
	}
	unique(k, at, ports, func(p uint16) string { return fmt.Sprint(p) })
}

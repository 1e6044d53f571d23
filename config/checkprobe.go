package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"mxcutover/rrset"
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
	unique(k, "probe.catch_all", p.CatchAlls, rrset.Bare)
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

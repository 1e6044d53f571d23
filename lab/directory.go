package lab

import (
	"slices"
	"strings"

	"github.com/emersion/go-smtp"
)

// A directory is the site's list of valid addresses, which the old server and
// the gateway share.
type directory struct {
	exact map[string]Domain
	wild  map[string]Domain // by the name below which they hold
}

// probeLocal is the mailbox that a rule makes of itself at every domain and
// below it.
const probeLocal = "mxprobe"

// ownHosts are the mail servers themselves.
var ownHosts = []string{oldHost, oldAlias, gateway1, gateway2}

// locals are the valid local parts at every domain.
var locals = []string{"info", "office", "orders", "news", "postmaster", probeLocal}

func newDirectory(domains []Domain) *directory {
	d := &directory{exact: map[string]Domain{}, wild: map[string]Domain{}}
	for _, dom := range domains {
		switch {
		case !dom.moves():
		case dom.Kind == Wildcard:
			d.wild[strings.TrimPrefix(dom.Name, "*.")] = dom
		default:
			d.exact[dom.Name] = dom
		}
	}
	return d
}

// find is the domain to which a name belongs.
func (d *directory) find(name string) (Domain, bool) {
	if dom, ok := d.exact[name]; ok {
		return dom, true
	}
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return Domain{}, false
	}
	for up := name; up != ""; {
		_, up, _ = strings.Cut(up, ".")
		if dom, ok := d.wild[up]; ok {
			return dom, true
		}
	}
	return Domain{}, false
}

// check is how a server replies to a recipient: relayed for or not, valid or not.
func (d *directory) check(to string) (Domain, error) {
	local, name := split(to)
	if local == "postmaster" && slices.Contains(ownHosts, name) { // RFC 5321 section 4.5.1
		return Domain{}, nil
	}
	dom, ok := d.find(name)
	if !ok {
		return Domain{}, no(550, smtp.EnhancedCode{5, 7, 1}, "Relay not permitted")
	}
	if !slices.Contains(locals, local) {
		return dom, no(550, smtp.EnhancedCode{5, 1, 1}, "Unrouteable address")
	}
	return dom, nil
}

// probed tells whether the rewrite rule holds for a recipient: mxprobe at a
// domain of the site, or at any name below one, or the mailbox itself.
func (d *directory) probed(to string) bool {
	local, name := split(to)
	if local != probeLocal || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return false
	}
	if name == probeZone {
		return true
	}
	for up := name; up != ""; _, up, _ = strings.Cut(up, ".") {
		if _, ok := d.find(up); ok {
			return true
		}
	}
	return false
}

// split takes an address apart, in lower case.
func split(address string) (local, domain string) {
	address = strings.ToLower(address)
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return address[:i], strings.TrimSuffix(address[i+1:], ".")
	}
	return address, ""
}

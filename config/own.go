package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"mxcutover/rrset"
	"mxcutover/secret"
)

// own fills the types that this package knows better than reflection does.
func (d *decoder) own(n *node, v reflect.Value, key string, r rule) bool {
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		d.duration(n, v, key)
	case *secret.Ref:
		d.secret(n, p, key)
	case *netip.Addr:
		d.address(n, p, key)
	case *netip.Prefix:
		d.prefix(n, p, key)
	case *rrset.MX:
		d.mx(n, p, key)
	case *Section:
		*p = Section{doc: d.doc, place: d.at[key], key: key}
		d.closed = append(d.closed, spans(n)...)
		if n.kind != mappingKind {
			d.wrong(n, key, "a mapping (key: value)", "")
		}
	case *[]Resolver:
		d.resolvers(n, p, key, r)
	default:
		return false
	}
	return true
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// secret reads a reference. A secret itself is refused and never shown.
func (d *decoder) secret(n *node, ref *secret.Ref, key string) {
	const cure = "write {env: NAME}, {file: PATH} or {credential: NAME}, and put the secret there"
	if n.kind != mappingKind {
		d.closed = append(d.closed, spans(n)...)
		d.fault(key, "is not a reference; secrets do not belong in this file", cure)
		return
	}
	if !isRef(n) || len(n.entries) != 1 {
		d.closed = append(d.closed, spans(n)...)
		d.fault(key, "is not a reference to exactly one place", cure)
		return
	}
	e := n.entries[0]
	switch e.name {
	case "env":
		if !envName.MatchString(e.value.text) {
			d.closed = append(d.closed, spans(n)...)
			d.fault(key, "env is not the name of an environment variable", "put the secret into a variable and write its name")
			return
		}
		ref.Env = e.value.text
	case "file":
		ref.File = resolve(d.doc.dir, e.value.text)
	case "credential":
		ref.Credential = e.value.text
	}
	if ref.Check() != nil {
		d.fault(key, "is not a reference to exactly one place", cure)
	}
}

func (d *decoder) address(n *node, out *netip.Addr, key string) {
	if !d.isScalar(n, key) {
		return
	}
	a, err := netip.ParseAddr(n.text)
	if err != nil {
		d.fault(key, fmt.Sprintf("%.80q is no IP address", n.text), `write 192.0.2.1, or "2001:db8::1"`)
		return
	}
	if message, cure := strange(a); message != "" {
		d.fault(key, fmt.Sprintf("%.80q ", n.text)+message, cure)
		return
	}
	*out = a
}

// strange tells what makes an address none of a server.
func strange(a netip.Addr) (message, cure string) {
	switch {
	case a.Is4In6():
		return "is an IPv4 address in IPv6 form", "write " + a.Unmap().String()
	case a.Zone() != "":
		return "has a zone, which means nothing to others", "use an address of global scope"
	case a.IsUnspecified(), a.IsMulticast():
		return "is no address of a single server", ""
	}
	return "", ""
}

func (d *decoder) prefix(n *node, out *netip.Prefix, key string) {
	if !d.isScalar(n, key) {
		return
	}
	p, err := netip.ParsePrefix(n.text)
	if a, bare := netip.ParseAddr(n.text); bare == nil {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	switch {
	case err != nil || !p.IsValid() || p.Addr().Zone() != "" || p.Addr().Is4In6():
		d.fault(key, fmt.Sprintf("%.80q is no network", n.text), `write 10.0.0.0/8, or "2001:db8::/32"`)
	case p != p.Masked():
		d.fault(key, fmt.Sprintf("%.80q has bits set outside its length", n.text), fmt.Sprintf("write %s, or %s/%d", p.Masked(), p.Addr(), p.Addr().BitLen()))
	default:
		*out = p
	}
}

func (d *decoder) mx(n *node, out *rrset.MX, key string) {
	var raw struct {
		Preference uint16 `yaml:"preference,required"`
		Host       string `yaml:"host,required" is:"host"`
	}
	d.value(n, reflect.ValueOf(&raw).Elem(), key, rule{})
	*out = rrset.MX{Preference: raw.Preference, Host: raw.Host}
}

// resolvers reads a map view -> addresses into a list, by view.
func (d *decoder) resolvers(n *node, out *[]Resolver, key string, r rule) {
	views := map[string][]string{}
	d.value(n, reflect.ValueOf(&views).Elem(), key, r)
	var names []string
	for v := range views {
		names = append(names, v)
	}
	slices.Sort(names)
	seen := map[Resolver]bool{}
	for _, view := range names {
		k := inner(key, view)
		if !d.bad[k] && len(views[view]) == 0 {
			d.fault(k, "is an empty list", "")
		}
		for i, s := range views[view] {
			ki := item(k, i)
			if d.bad[ki] {
				continue
			}
			a, ok := resolver(s)
			if !ok {
				d.fault(ki, fmt.Sprintf("%.80q is no address of a resolver", s), `write 192.0.2.53, "192.0.2.53:53" or "[2001:db8::53]:53"`)
				continue
			}
			if seen[Resolver{view, a}] {
				d.fault(ki, fmt.Sprintf("%s stands twice in this view", s), "delete one of the two")
			}
			seen[Resolver{view, a}] = true
			*out = append(*out, Resolver{view, a})
		}
	}
}

// resolver reads an address, with port 0 if it has none.
func resolver(s string) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err == nil {
		message, _ := strange(a)
		return netip.AddrPortFrom(a, 0), message == ""
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Port() == 0 {
		return netip.AddrPort{}, false
	}
	message, _ := strange(ap.Addr())
	return ap, message == ""
}

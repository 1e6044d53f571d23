package lab

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Names of the world's own hosts, without the final dot.
const (
	oldHost    = "mail.old.test"
	oldAlias   = "mx2.old.test" // the same server under another name
	gateway1   = "gw1.gw.test"
	gateway2   = "gw2.gw.test"
	elsewhere  = "mx.elsewhere.test"
	probeZone  = "probe.test"
	senderHost = "out.elsewhere.test"
)

// header begins every zone. Its values are in seconds.
const header = `@ IN SOA ns1.nic.test. hostmaster.nic.test. 1 3600 600 86400 %d
@ IN NS ns1.nic.test.
@ IN NS ns2.nic.test.
`

// buildZones makes the zones of the primary, and those of the parent server
// that delegates to it and its secondary.
func buildZones(o Options, b *block) (primary, above map[string]*zone, err error) {
	ttl := uint32(o.TTL / time.Second)
	texts := map[string]*strings.Builder{}
	at := func(zone string) *strings.Builder {
		if texts[zone] == nil {
			texts[zone] = &strings.Builder{}
			fmt.Fprintf(texts[zone], header, ttl)
		}
		return texts[zone]
	}
	fmt.Fprintf(at("gw.test"), "gw1 A %s\ngw2 A %s\n", b.addr(octetGateway1), b.addr(octetGateway2))
	fmt.Fprintf(at("old.test"), "mail A %[1]s\nmx2 A %[1]s\n", b.addr(octetOld))
	fmt.Fprintf(at("elsewhere.test"), "mx A %s\nout A %s\n", b.addr(octetElsewhere), b.addr(octetSender))
	fmt.Fprintf(at(probeZone), "@ MX 10 mail\n@ TXT \"v=spf1 ip4:%[1]s -all\"\nmail A %[1]s\n", b.addr(octetVantage))
	for _, d := range o.Domains {
		at(d.Zone).WriteString(d.records(b.addr(octetOld)))
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if above := enclosing(name, texts); above != "" {
			fmt.Fprintf(texts[above], "%[1]s. NS ns1.nic.test.\n%[1]s. NS ns2.nic.test.\n", name)
		}
	}
	if primary, err = parseZones(texts, ttl); err != nil {
		return nil, nil, err
	}
	if above, err = parseZones(parentTexts(o, texts, b, ttl), ttl); err != nil {
		return nil, nil, err
	}
	return primary, above, signZones(ttl, func(zone string) bool {
		return above[zone] != nil || slices.ContainsFunc(o.Domains, func(d Domain) bool { return d.Signed && dns.CanonicalName(d.Zone) == zone })
	}, primary, above)
}

// records are a domain's lines in its zone.
func (d Domain) records(old netip.Addr) string {
	mx := func(preference int, host string) string {
		return fmt.Sprintf("%s. MX %d %s\n", d.Name, preference, host)
	}
	switch d.Kind {
	case Implicit:
		return fmt.Sprintf("%s. A %s\n", d.Name, old)
	case TwoMX:
		return mx(10, oldHost+".") + mx(20, oldAlias+".")
	case Other:
		return mx(10, elsewhere+".")
	case Null:
		return mx(0, ".")
	case Both:
		return mx(10, gateway1+".") + mx(20, oldHost+".")
	}
	return mx(10, oldHost+".")
}

// enclosing is the closest zone around another; "" if that is the parent's.
func enclosing(name string, texts map[string]*strings.Builder) string {
	for up := strings.TrimSuffix(parent(name+"."), "."); up != "test" && up != ""; up = strings.TrimSuffix(parent(up+"."), ".") {
		if texts[up] != nil {
			return up
		}
	}
	return ""
}

// parentTexts are the root, the zone test with its delegations, and the reverse
// zone, all at one server.
func parentTexts(o Options, texts map[string]*strings.Builder, b *block, ttl uint32) map[string]*strings.Builder {
	soa := fmt.Sprintf("@ IN SOA a.nic.test. hostmaster.nic.test. 1 3600 600 86400 %d\n@ IN NS a.nic.test.\n", ttl)
	a := b.prefix.Addr().As4()
	reverse := fmt.Sprintf("%d.%d.127.in-addr.arpa", a[2], a[1])
	out := map[string]*strings.Builder{".": {}, "test": {}, reverse: {}}
	for _, text := range out {
		text.WriteString(soa)
	}
	fmt.Fprintf(out["."], "test. NS a.nic.test.\n%s. NS a.nic.test.\n", reverse)
	fmt.Fprintf(out["test"], "a.nic A %s\nns1.nic A %s\nns2.nic A %s\n", b.addr(octetParent), b.addr(octetNS1), b.addr(octetNS2))
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if enclosing(name, texts) == "" {
			fmt.Fprintf(out["test"], "%[1]s. NS ns1.nic.test.\n%[1]s. NS ns2.nic.test.\n", name)
		}
	}
	for octet, host := range map[byte]string{
		octetOld: oldHost, octetGateway1: gateway1, octetGateway2: gateway2, octetElsewhere: elsewhere, octetSender: senderHost,
		octetVantage: "mail." + probeZone, octetParent: "a.nic.test", octetNS1: "ns1.nic.test", octetNS2: "ns2.nic.test",
	} {
		if !o.Gateway.NoPTR || octet != octetGateway1 && octet != octetGateway2 {
			fmt.Fprintf(out[reverse], "%d PTR %s.\n", octet, host)
		}
	}
	return out
}

func parseZones(texts map[string]*strings.Builder, ttl uint32) (map[string]*zone, error) {
	out := map[string]*zone{}
	for name, text := range texts {
		z, err := parseZone(dns.Fqdn(name), text.String(), ttl)
		if err != nil {
			return nil, err
		}
		out[z.origin] = z
	}
	return out, nil
}

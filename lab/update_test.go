package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestUpdate(t *testing.T) {
	t.Parallel()
	const (
		name    = "bakery.test."
		present = name + " 5 IN MX 10 mail.old.test."
	)
	for _, c := range []struct {
		name   string
		change func(t *testing.T, m *dns.Msg)
		rcode  int
		want   string // the MX afterwards
	}{
		{"replace with the old value as condition", func(t *testing.T, m *dns.Msg) {
			m.Used([]dns.RR{rr(t, present)})
			m.RemoveRRset([]dns.RR{rr(t, present)})
			m.Insert([]dns.RR{rr(t, name+" 1 IN MX 10 gw1.gw.test."), rr(t, name+" 1 IN MX 20 gw2.gw.test.")})
		}, dns.RcodeSuccess, "1 10 gw1.gw.test., 1 20 gw2.gw.test."},
		{"the condition ignores TTL and case", func(t *testing.T, m *dns.Msg) {
			m.Used([]dns.RR{rr(t, "BAKERY.test. 99 IN MX 10 MAIL.old.test.")})
			m.Insert([]dns.RR{rr(t, name+" 5 IN MX 20 gw2.gw.test.")})
		}, dns.RcodeSuccess, "5 10 mail.old.test., 5 20 gw2.gw.test."},
		{"a wrong value", func(t *testing.T, m *dns.Msg) {
			m.Used([]dns.RR{rr(t, name+" 5 IN MX 11 mail.old.test.")})
			m.RemoveRRset([]dns.RR{rr(t, present)})
		}, dns.RcodeNXRrset, "5 10 mail.old.test."},
		{"a value too few", func(t *testing.T, m *dns.Msg) {
			m.Used([]dns.RR{rr(t, present), rr(t, name+" 5 IN MX 20 mx2.old.test.")})
			m.RemoveRRset([]dns.RR{rr(t, present)})
		}, dns.RcodeNXRrset, "5 10 mail.old.test."},
		{"a wrong serial", func(t *testing.T, m *dns.Msg) {
			m.Used([]dns.RR{rr(t, name+" 5 IN SOA ns1.nic.test. hostmaster.nic.test. 9 3600 600 86400 5")})
			m.RemoveRRset([]dns.RR{rr(t, present)})
		}, dns.RcodeNXRrset, "5 10 mail.old.test."},
		{"the right serial", func(t *testing.T, m *dns.Msg) {
			m.Used([]dns.RR{rr(t, name+" 5 IN SOA ns1.nic.test. hostmaster.nic.test. 1 3600 600 86400 5")})
			m.RemoveRRset([]dns.RR{rr(t, present)})
		}, dns.RcodeSuccess, ""},
		{"exists, and it does", func(t *testing.T, m *dns.Msg) {
			m.RRsetUsed([]dns.RR{rr(t, present)})
			m.Remove([]dns.RR{rr(t, present)})
		}, dns.RcodeSuccess, ""},
		{"exists, but it does not", func(t *testing.T, m *dns.Msg) {
			m.RRsetUsed([]dns.RR{rr(t, name+" 5 IN A 192.0.2.1")})
			m.Remove([]dns.RR{rr(t, present)})
		}, dns.RcodeNXRrset, "5 10 mail.old.test."},
		{"does not exist, but it does", func(t *testing.T, m *dns.Msg) {
			m.RRsetNotUsed([]dns.RR{rr(t, present)})
			m.Remove([]dns.RR{rr(t, present)})
		}, dns.RcodeYXRrset, "5 10 mail.old.test."},
		{"name in use, but it is not", func(t *testing.T, m *dns.Msg) {
			m.NameUsed([]dns.RR{rr(t, "x."+present)})
			m.Remove([]dns.RR{rr(t, present)})
		}, dns.RcodeNameError, "5 10 mail.old.test."},
		{"name not in use, but it is", func(t *testing.T, m *dns.Msg) {
			m.NameNotUsed([]dns.RR{rr(t, present)})
			m.Remove([]dns.RR{rr(t, present)})
		}, dns.RcodeYXDomain, "5 10 mail.old.test."},
		{"one record outside undoes the rest", func(t *testing.T, m *dns.Msg) {
			m.Remove([]dns.RR{rr(t, present)})
			m.Insert([]dns.RR{rr(t, "choir.test. 5 IN A 192.0.2.1")})
		}, dns.RcodeNotZone, "5 10 mail.old.test."},
		{"a condition with a TTL", func(t *testing.T, m *dns.Msg) {
			m.Answer = []dns.RR{rr(t, present)}
			m.Remove([]dns.RR{rr(t, present)})
		}, dns.RcodeFormatError, "5 10 mail.old.test."},
		{"an insert of a question type", func(t *testing.T, m *dns.Msg) {
			m.Ns = []dns.RR{&dns.ANY{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeANY, Class: dns.ClassINET, Ttl: 5}}}
		}, dns.RcodeFormatError, "5 10 mail.old.test."},
		{"a CNAME beside other data is ignored", func(t *testing.T, m *dns.Msg) {
			m.Insert([]dns.RR{rr(t, name+" 5 IN CNAME choir.test.")})
		}, dns.RcodeSuccess, "5 10 mail.old.test."},
		{"another member's TTL becomes that of all", func(t *testing.T, m *dns.Msg) {
			m.Insert([]dns.RR{rr(t, name+" 77 IN MX 20 gw2.gw.test.")})
		}, dns.RcodeSuccess, "77 10 mail.old.test., 77 20 gw2.gw.test."},
		{"deleting the name spares SOA and NS", func(t *testing.T, m *dns.Msg) {
			m.RemoveName([]dns.RR{rr(t, present)})
		}, dns.RcodeSuccess, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := start(t, Options{Domains: []Domain{{Name: "bakery.test"}, {Name: "choir.test"}}})
			f := w.Facts()
			m := new(dns.Msg)
			m.SetUpdate(name)
			c.change(t, m)
			in, err := signed(w, f.NS1, m, f.Key)
			if err != nil {
				t.Fatal(err)
			}
			if in.Rcode != c.rcode {
				t.Errorf("got %s, want %s", dns.RcodeToString[in.Rcode], dns.RcodeToString[c.rcode])
			}
			now := w.primary.zones[name].now.Load()
			var got []string
			for _, r := range now.nodes[name][dns.TypeMX] {
				mx := r.(*dns.MX)
				got = append(got, fmt.Sprintf("%d %d %s", mx.Hdr.Ttl, mx.Preference, mx.Mx))
			}
			slices.Sort(got)
			if s := strings.Join(got, ", "); s != c.want {
				t.Errorf("now %q, want %q", s, c.want)
			}
			if changed, bumped := c.want != "5 10 mail.old.test.", now.soa().Serial == 2; changed != bumped {
				t.Errorf("changed %v, but the serial is %d", changed, now.soa().Serial)
			}
			if len(now.nodes[name][dns.TypeNS]) != 2 {
				t.Error("NS records are gone")
			}
		})
	}
}

func TestUpdateSparesTheApex(t *testing.T) {
	t.Parallel()
	const soa = "a.test. 5 IN SOA ns1.nic.test. hostmaster.nic.test. %d 1 1 1 1"
	z, err := parseZone("a.test.", fmt.Sprintf(header, 5)+"www CNAME x\n", 5)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name   string
		change func(*dns.Msg)
		serial uint32
		ns     int
		www    string
	}{
		{"an older SOA is ignored", func(m *dns.Msg) { m.Insert([]dns.RR{rr(t, fmt.Sprintf(soa, 0))}) }, 1, 2, "x.a.test."},
		{"a newer SOA is taken as it is", func(m *dns.Msg) { m.Insert([]dns.RR{rr(t, fmt.Sprintf(soa, 9))}) }, 9, 2, "x.a.test."},
		{"the SOA cannot be removed", func(m *dns.Msg) { m.Remove([]dns.RR{rr(t, fmt.Sprintf(soa, 9))}) }, 9, 2, "x.a.test."},
		{"a name server can", func(m *dns.Msg) { m.Remove([]dns.RR{rr(t, "a.test. 0 IN NS ns1.nic.test.")}) }, 10, 1, "x.a.test."},
		{"but not the last", func(m *dns.Msg) { m.Remove([]dns.RR{rr(t, "a.test. 0 IN NS ns2.nic.test.")}) }, 10, 1, "x.a.test."},
		{"nor all of them", func(m *dns.Msg) { m.RemoveRRset([]dns.RR{rr(t, "a.test. 0 IN NS ns2.nic.test.")}) }, 10, 1, "x.a.test."},
		{"a CNAME takes the place of another", func(m *dns.Msg) { m.Insert([]dns.RR{rr(t, "www.a.test. 5 IN CNAME y.a.test.")}) }, 11, 1, "y.a.test."},
		{"other data beside it is ignored", func(m *dns.Msg) { m.Insert([]dns.RR{rr(t, "www.a.test. 5 IN A 192.0.2.1")}) }, 11, 1, "y.a.test."},
	} {
		m := new(dns.Msg)
		m.SetUpdate("a.test.")
		step.change(m)
		wire, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Unpack(wire); err != nil {
			t.Fatal(err)
		}
		if code := z.update(m); code != dns.RcodeSuccess {
			t.Errorf("%s: %s", step.name, dns.RcodeToString[code])
		}
		c := z.now.Load()
		www := c.nodes["www.a.test."]
		if c.soa().Serial != step.serial || len(c.nodes["a.test."][dns.TypeNS]) != step.ns || len(www) != 1 || www[dns.TypeCNAME][0].(*dns.CNAME).Target != step.www {
			t.Errorf("%s: %v", step.name, c.records())
		}
	}
}

func TestUpdateRefused(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	f := w.Facts()
	update := func(zone string) *dns.Msg {
		m := new(dns.Msg)
		m.SetUpdate(zone)
		m.Insert([]dns.RR{rr(t, "new."+zone+" 5 IN A 192.0.2.1")})
		return m
	}
	wrong := f.Key
	wrong.Secret = "d3Jvbmc="
	unknown := f.Key
	unknown.Name = "somebody"
	for _, c := range []struct {
		name   string
		server netip.Addr
		zone   string
		key    Key
		rcode  int
		tsig   uint16
	}{
		{"wrong secret", f.NS1, "bakery.test.", wrong, dns.RcodeNotAuth, dns.RcodeBadSig},
		{"unknown key", f.NS1, "bakery.test.", unknown, dns.RcodeNotAuth, dns.RcodeBadKey},
		{"not a zone", f.NS1, "www.bakery.test.", f.Key, dns.RcodeNotAuth, 0},
		{"foreign zone", f.NS1, "example.org.", f.Key, dns.RcodeNotAuth, 0},
		{"the secondary", f.NS2, "bakery.test.", f.Key, dns.RcodeRefused, 0},
		{"the parent", f.Parent, "test.", f.Key, dns.RcodeRefused, 0},
	} {
		in, err := signed(w, c.server, update(c.zone), c.key)
		if in == nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if in.Rcode != c.rcode || in.IsTsig() == nil || in.IsTsig().Error != c.tsig {
			t.Errorf("%s: got %s", c.name, in)
		}
	}
	c := dns.Client{Timeout: 5 * time.Second}
	if in, _, err := c.Exchange(update("bakery.test."), hostPort(f.NS1, f.DNSPort)); err != nil || in.Rcode != dns.RcodeRefused {
		t.Errorf("without a key: %v, %v", in, err)
	}
	if got := short(mustAsk(t, w, f.NS1, "new.bakery.test", "A")); !strings.HasPrefix(got, "NXDOMAIN") {
		t.Errorf("something was written: %s", got)
	}
}

func FuzzUpdateMessage(f *testing.F) {
	m := new(dns.Msg)
	m.SetUpdate("a.test.")
	m.Insert([]dns.RR{&dns.MX{Hdr: dns.RR_Header{Name: "a.test.", Rrtype: dns.TypeMX, Class: dns.ClassINET, Ttl: 5}, Preference: 10, Mx: "b.test."}})
	m.RemoveName([]dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "x.a.test."}}})
	m.RRsetUsed([]dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: "a.test.", Rrtype: dns.TypeNS}}})
	seed, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, wire []byte) {
		req := new(dns.Msg)
		if req.Unpack(wire) != nil {
			return
		}
		z, err := parseZone("a.test.", fmt.Sprintf(header, 5)+"x A 192.0.2.1\n*.w MX 10 x\n", 5)
		if err != nil {
			t.Fatal(err)
		}
		z.update(req)
		c := z.now.Load()
		if c.soa() == nil || len(c.nodes["a.test."][dns.TypeNS]) == 0 {
			t.Fatal("the apex lost its SOA or NS records")
		}
		for name := range c.nodes {
			if !dns.IsSubDomain("a.test.", name) {
				t.Fatalf("%q got into the zone", name)
			}
			c.lookup(name, dns.TypeMX)
			c.lookup("q."+name, dns.TypeANY)
		}
	})
}

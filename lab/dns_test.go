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

// mustAsk asks a server one question over UDP.
func mustAsk(t *testing.T, w *World, server netip.Addr, name, typ string) *dns.Msg {
	t.Helper()
	m, err := askBy(w, "udp", server, name, typ)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func askBy(w *World, network string, server netip.Addr, name, typ string) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), dns.StringToType[typ])
	c := dns.Client{Net: network, Timeout: 5 * time.Second}
	in, _, err := c.Exchange(m, hostPort(server, w.block.dns))
	return in, err
}

// short is an answer in one line: code, flags, and the data of its records.
func short(m *dns.Msg) string {
	out := dns.RcodeToString[m.Rcode]
	if m.Authoritative {
		out += " aa"
	}
	for _, section := range []struct {
		name string
		rrs  []dns.RR
	}{{"", m.Answer}, {" auth:", m.Ns}, {" add:", m.Extra}} {
		var lines []string
		for _, rr := range section.rrs {
			h := rr.Header()
			data := strings.TrimPrefix(rr.String(), h.String())
			if h.Rrtype == dns.TypeSOA {
				data = "SOA"
			}
			if rr.Header().Rrtype != dns.TypeOPT {
				lines = append(lines, h.Name+" "+dns.TypeToString[h.Rrtype]+" "+data)
			}
		}
		slices.Sort(lines)
		if len(lines) > 0 {
			out += section.name + " " + strings.Join(lines, ", ")
		}
	}
	return strings.ReplaceAll(out, " SOA SOA", " SOA")
}

func TestAuthoritativeAnswers(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	f := w.Facts()
	edit(t, w, "estates.test", "a.b.c.estates.test", "TXT", `"deep"`)
	edit(t, w, "estates.test", "*.d.estates.test", "CNAME", "bakery.test.")
	edit(t, w, "estates.test", "www.estates.test", "CNAME", "host.estates.test.")
	edit(t, w, "estates.test", "host.estates.test", "A", "192.0.2.1")
	edit(t, w, "estates.test", "taken.tenants.estates.test", "TXT", `"here"`)
	edit(t, w, "estates.test", "x.ent.tenants.estates.test", "TXT", `"here"`)
	const delegation = " auth: pilots.harbour.test. NS ns1.nic.test., pilots.harbour.test. NS ns2.nic.test."
	for _, c := range []struct{ name, typ, want string }{
		{"bakery.test", "MX", "NOERROR aa bakery.test. MX 10 mail.old.test."},
		{"BAKERY.Test", "MX", "NOERROR aa bakery.test. MX 10 mail.old.test."},
		{"harbour.test", "MX", "NOERROR aa harbour.test. MX 10 mail.old.test., harbour.test. MX 20 mx2.old.test."},
		{"bakery.test", "A", "NOERROR aa auth: bakery.test. SOA"},
		{"nothing.bakery.test", "MX", "NXDOMAIN aa auth: bakery.test. SOA"},
		{"bakery.test", "NS", "NOERROR aa bakery.test. NS ns1.nic.test., bakery.test. NS ns2.nic.test."},
		{"bakery.test", "SOA", "NOERROR aa bakery.test. SOA"},
		{"parked.test", "MX", "NOERROR aa parked.test. MX 0 ."},
		{"garden.test", "MX", "NOERROR aa auth: garden.test. SOA"},
		{"garden.test", "A", "NOERROR aa garden.test. A " + f.Old.Addr.String()},
		// an empty non-terminal exists
		{"b.c.estates.test", "MX", "NOERROR aa auth: estates.test. SOA"},
		{"z.b.c.estates.test", "MX", "NXDOMAIN aa auth: estates.test. SOA"},
		// wildcards (RFC 4592)
		{"one.tenants.estates.test", "MX", "NOERROR aa one.tenants.estates.test. MX 10 mail.old.test."},
		{"two.one.tenants.estates.test", "MX", "NOERROR aa two.one.tenants.estates.test. MX 10 mail.old.test."},
		{"one.tenants.estates.test", "A", "NOERROR aa auth: estates.test. SOA"},
		{"*.tenants.estates.test", "MX", "NOERROR aa *.tenants.estates.test. MX 10 mail.old.test."},
		{"tenants.estates.test", "MX", "NOERROR aa auth: estates.test. SOA"},
		{"taken.tenants.estates.test", "MX", "NOERROR aa auth: estates.test. SOA"},
		{"below.taken.tenants.estates.test", "MX", "NXDOMAIN aa auth: estates.test. SOA"},
		{"ent.tenants.estates.test", "MX", "NOERROR aa auth: estates.test. SOA"},
		{"below.ent.tenants.estates.test", "MX", "NXDOMAIN aa auth: estates.test. SOA"},
		{"any.d.estates.test", "MX", "NOERROR aa any.d.estates.test. CNAME bakery.test."},
		{"www.estates.test", "A", "NOERROR aa host.estates.test. A 192.0.2.1, www.estates.test. CNAME host.estates.test."},
		{"www.estates.test", "CNAME", "NOERROR aa www.estates.test. CNAME host.estates.test."},
		{"www.estates.test", "MX", "NOERROR aa www.estates.test. CNAME host.estates.test. auth: estates.test. SOA"},
		// a zone below another at the same server answers itself; its DS is the other's
		{"pilots.harbour.test", "MX", "NOERROR aa pilots.harbour.test. MX 10 mail.old.test."},
		{"pilots.harbour.test", "DS", "NOERROR aa auth: harbour.test. SOA"},
		{"example.org", "MX", "REFUSED"},
		{"test", "NS", "REFUSED"},
	} {
		if got := short(mustAsk(t, w, f.NS1, c.name, c.typ)); got != c.want {
			t.Errorf("%s %s:\n got %s\nwant %s", c.name, c.typ, got, c.want)
		}
	}
	// without the zone below, its place is a zone cut
	alone := *w.primary.zones["harbour.test."].now.Load()
	r := alone.lookup("deep.pilots.harbour.test.", dns.TypeMX)
	m := &dns.Msg{MsgHdr: dns.MsgHdr{Rcode: r.rcode, Authoritative: r.authoritative}, Answer: r.answer, Ns: r.authority}
	if got := short(m); got != "NOERROR"+delegation {
		t.Errorf("below a cut: %s", got)
	}
	parent := short(mustAsk(t, w, f.Parent, "www.bakery.test", "A"))
	if want := fmt.Sprintf("NOERROR auth: bakery.test. NS ns1.nic.test., bakery.test. NS ns2.nic.test. add: ns1.nic.test. A %s, ns2.nic.test. A %s", f.NS1, f.NS2); parent != want {
		t.Errorf("the parent says %s, want %s", parent, want)
	}
	if got := short(mustAsk(t, w, f.Parent, "pilots.harbour.test", "NS")); !strings.Contains(got, "auth: harbour.test. NS") {
		t.Errorf("the parent delegates a zone below another: %s", got)
	}
	reverse, err := dns.ReverseAddr(f.Old.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	if got := short(mustAsk(t, w, f.Resolver, reverse, "PTR")); !strings.HasSuffix(got, "PTR mail.old.test.") {
		t.Errorf("reverse: %s", got)
	}
}

// edit replaces an RRset of both servers and waits for the second.
func edit(t *testing.T, w *World, zone, name, typ string, data ...string) {
	t.Helper()
	if err := w.Edit(zone, name, typ, 5, data...); err != nil {
		t.Fatal(err)
	}
}

func TestNegativeTTL(t *testing.T) {
	t.Parallel()
	w := start(t, Options{TTL: 7 * time.Second})
	m := mustAsk(t, w, w.Facts().NS1, "nothing.bakery.test", "MX")
	if len(m.Ns) != 1 || m.Ns[0].Header().Ttl != 7 || m.Ns[0].(*dns.SOA).Minttl != 7 {
		t.Errorf("got %v", m.Ns)
	}
}

func TestTruncation(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	var data []string
	for i := range 60 {
		data = append(data, fmt.Sprintf(`"%03d%s"`, i, strings.Repeat("x", 60)))
	}
	edit(t, w, "bakery.test", "bakery.test", "TXT", data...)
	ns1 := w.Facts().NS1
	m := mustAsk(t, w, ns1, "bakery.test", "TXT")
	if m.Compress = true; !m.Truncated || m.Len() > 512 {
		t.Errorf("over UDP: truncated %v, %d octets", m.Truncated, m.Len())
	}
	if m, err := askBy(w, "tcp", ns1, "bakery.test", "TXT"); err != nil || len(m.Answer) != 60 {
		t.Errorf("over TCP: %v, %v", m, err)
	}
	if m, err := askBy(w, "tcp", w.Facts().Resolver, "bakery.test", "TXT"); err != nil || len(m.Answer) != 60 && len(m.Answer) != 0 {
		t.Errorf("resolver: %v, %v", m, err) // 0 if it asked the secondary
	}
}

// signed sends a message with a key.
func signed(w *World, server netip.Addr, m *dns.Msg, key Key) (*dns.Msg, error) {
	name := dns.Fqdn(key.Name)
	m.SetTsig(name, dns.Fqdn(key.Algorithm), 300, time.Now().Unix())
	c := dns.Client{Timeout: 5 * time.Second, TsigSecret: map[string]string{name: key.Secret}}
	in, _, err := c.Exchange(m, hostPort(server, w.block.dns))
	return in, err
}

func rr(t *testing.T, s string) dns.RR {
	t.Helper()
	r, err := dns.NewRR(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTransfer(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	f := w.Facts()
	for i := range 350 {
		edit(t, w, "bakery.test", fmt.Sprintf("h%d.bakery.test", i), "A", "192.0.2.1")
	}
	pull := func(key *Key) (rrs []dns.RR, envelopes int, err error) {
		m := new(dns.Msg)
		m.SetAxfr("bakery.test.")
		tr := &dns.Transfer{DialTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second}
		if key != nil {
			name := dns.Fqdn(key.Name)
			tr.TsigSecret = map[string]string{name: key.Secret}
			m.SetTsig(name, dns.Fqdn(key.Algorithm), 300, time.Now().Unix())
		}
		ch, err := tr.In(m, hostPort(f.NS1, f.DNSPort))
		if err != nil {
			return nil, 0, err
		}
		defer tr.Close()
		for e := range ch {
			if e.Error != nil {
				err = e.Error
			}
			envelopes++
			rrs = append(rrs, e.RR...)
		}
		return rrs, envelopes, err
	}
	rrs, envelopes, err := pull(&f.Key)
	if err != nil {
		t.Fatal(err)
	}
	// SOA, 2 NS, MX, the hosts, SOA
	if len(rrs) != 350+5 || envelopes < 2 || rrs[0].Header().Rrtype != dns.TypeSOA || rrs[len(rrs)-1].Header().Rrtype != dns.TypeSOA {
		t.Errorf("%d records in %d messages", len(rrs), envelopes)
	}
	if _, _, err := pull(nil); err == nil {
		t.Error("a transfer without a key was given")
	}
	bad := f.Key
	bad.Secret = "d3Jvbmc="
	if _, _, err := pull(&bad); err == nil {
		t.Error("a transfer with a wrong key was given")
	}
}

func TestLag(t *testing.T) {
	t.Parallel()
	w := start(t, Options{Lag: time.Millisecond})
	f := w.Facts()
	mx := func(server netip.Addr) string { return short(mustAsk(t, w, server, "bakery.test", "MX")) }
	before := mx(f.NS2)
	w.Freeze()
	edit(t, w, "bakery.test", "bakery.test", "MX", "10 gw1.gw.test.")
	after := mx(f.NS1)
	if after == before {
		t.Fatal("the primary did not change")
	}
	if got := mx(f.NS2); got != before {
		t.Errorf("frozen, the secondary says %s", got)
	}
	w.Thaw()
	await(t, "the secondary follows", func() bool { return mx(f.NS2) == after })
	if got := short(mustAsk(t, w, f.NS2, "bakery.test", "SOA")); got != short(mustAsk(t, w, f.NS1, "bakery.test", "SOA")) {
		t.Error(got)
	}
}

func TestSecondaryTakesOverInTime(t *testing.T) {
	t.Parallel()
	z, err := parseZone("a.test.", fmt.Sprintf(header, 5), 5)
	if err != nil {
		t.Fatal(err)
	}
	s := &secondary{zones: map[string]*zone{"a.test.": {origin: "a.test."}}, lag: time.Hour, kick: make(chan struct{}, 1)}
	s.zones["a.test."].now.Store(z.now.Load())
	z.changed = s.follow
	for i := range 3 * maxWaiting {
		if err := z.edit(func(c *contents) error {
			c.add(rr(t, fmt.Sprintf("h%d.a.test. 5 IN A 192.0.2.1", i)))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	serial := func() uint32 { return s.zones["a.test."].now.Load().soa().Serial }
	if next, ok := s.takeOver(time.Now().Add(30 * time.Minute)); !ok || next > 31*time.Minute || serial() != 1 {
		t.Errorf("too early: next %s, serial %d", next, serial())
	}
	if len(s.waiting) > maxWaiting {
		t.Errorf("%d versions are kept", len(s.waiting))
	}
	s.freeze(true)
	if s.takeOver(time.Now().Add(2 * time.Hour)); serial() != 1 {
		t.Errorf("frozen, it took over serial %d", serial())
	}
	s.freeze(false)
	s.takeOver(time.Now().Add(2 * time.Hour))
	if serial() != z.now.Load().soa().Serial {
		t.Errorf("serial %d", serial())
	}
}

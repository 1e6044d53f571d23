package resolve

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

// server answers by a function, over UDP and TCP on one port.
func server(t *testing.T, answer func(*dns.Msg, bool) *dns.Msg) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{Listener: l}, {PacketConn: p}} {
		tcp := s.Listener != nil
		s.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			if r := answer(q, tcp); r != nil {
				_ = w.WriteMsg(r)
			}
		})
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		go func() { _ = s.ActivateAndServe() }()
		<-ready
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return netip.MustParseAddrPort(l.Addr().String())
}

func reply(q *dns.Msg, rrs ...string) *dns.Msg {
	r := new(dns.Msg)
	r.SetReply(q)
	r.Authoritative = true
	for _, s := range rrs {
		rr, err := dns.NewRR(s)
		if err != nil {
			panic(err)
		}
		r.Answer = append(r.Answer, rr)
	}
	return r
}

func TestAsk(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	for name, c := range map[string]struct {
		answer func(*dns.Msg, bool) *dns.Msg
		data   int
		err    bool
	}{
		"an answer": {func(q *dns.Msg, _ bool) *dns.Msg {
			return reply(q, "A.example. 60 IN MX 10 M.example.", "b.example. 60 IN MX 10 evil.example.")
		}, 1, false},
		"truncated, then by TCP": {func(q *dns.Msg, tcp bool) *dns.Msg {
			r := reply(q, "a.example. 60 IN MX 10 m.example.")
			if r.Truncated = !tcp; !tcp {
				r.Answer = nil
			}
			return r
		}, 1, false},
		"lost once": {func(q *dns.Msg, _ bool) *dns.Msg {
			if asked.Add(1) == 1 {
				return nil
			}
			return reply(q, "a.example. 60 IN MX 10 m.example.")
		}, 1, false},
		"truncated by TCP too": {func(q *dns.Msg, _ bool) *dns.Msg {
			r := reply(q, "a.example. 60 IN MX 10 m.example.")
			r.Truncated = true
			return r
		}, 0, true},
		"BADVERS": {func(q *dns.Msg, _ bool) *dns.Msg {
			r := reply(q)
			r.SetEdns0(1232, false)
			r.Rcode = dns.RcodeBadVers
			return r
		}, 0, true},
		"another question": {func(q *dns.Msg, _ bool) *dns.Msg {
			r := reply(q, "a.example. 60 IN MX 10 m.example.")
			r.Question[0].Name = "other.example."
			return r
		}, 0, true},
		"another ID": {func(q *dns.Msg, _ bool) *dns.Msg {
			r := reply(q, "a.example. 60 IN MX 10 m.example.")
			r.Id++
			return r
		}, 0, true},
		"SERVFAIL": {func(q *dns.Msg, _ bool) *dns.Msg {
			r := reply(q)
			r.Rcode = dns.RcodeServerFailure
			return r
		}, 0, true},
		"a CNAME": {func(q *dns.Msg, _ bool) *dns.Msg {
			return reply(q, "a.example. 60 IN CNAME c.example.", "c.example. 60 IN MX 10 m.example.")
		}, 1, false},
		"a loop of CNAMEs": {func(q *dns.Msg, _ bool) *dns.Msg {
			return reply(q, "a.example. 60 IN CNAME b.example.", "b.example. 60 IN CNAME a.example.")
		}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			at := server(t, c.answer)
			a, err := client(t, Settings{Timeout: 2 * time.Second}).Ask(t.Context(), at, "a.example.", "MX", false)
			if (err != nil) != c.err || len(a.Set.Data) != c.data {
				t.Errorf("%+v, %v", a, err)
			}
			if err != nil && !errors.Is(err, ErrNoAnswer) {
				t.Errorf("%v is no ErrNoAnswer", err)
			}
		})
	}
}

// A resolver's chain of aliases without an end tells nothing of what is there; that a
// name is an alias, its own server tells all the same.
func TestAliasesWithoutEnd(t *testing.T) {
	t.Parallel()
	for _, authority := range []bool{true, false} {
		at := server(t, func(q *dns.Msg, _ bool) *dns.Msg {
			r := reply(q, "a.example. 60 IN CNAME b.example.", "b.example. 60 IN CNAME a.example.")
			r.Authoritative = authority
			return r
		})
		c := client(t, Settings{Resolvers: []netip.AddrPort{at}})
		addrs, err := c.Addresses(t.Context(), "a.example.")
		if (err == nil) != authority || len(addrs) > 0 {
			t.Errorf("authority %v: %v, %v", authority, addrs, err)
		}
	}
}

// A zone that names servers without end, or with addresses without end, costs a
// bounded number of questions, and is told of.
func TestNameServersWithoutEnd(t *testing.T) {
	t.Parallel()
	for what, n := range map[string]struct{ names, addrs int }{"has 65 name servers": {maxNames + 1, 1}, "have more than 256 addresses": {1, maxServers + 1}} {
		at := server(t, func(q *dns.Msg, tcp bool) *dns.Msg {
			r := reply(q)
			if r.Truncated = !tcp; !tcp {
				return r
			}
			rrs, form := 0, ""
			switch q.Question[0].Qtype {
			case dns.TypeNS:
				rrs, form = n.names, "%s 60 IN NS ns%d-%d.example."
			case dns.TypeA:
				rrs, form = n.addrs, "%s 60 IN A 127.9.%d.%d"
			}
			for i := range rrs {
				r.Answer = append(r.Answer, reply(q, fmt.Sprintf(form, q.Question[0].Name, i/250, i%250)).Answer...)
			}
			return r
		})
		c := client(t, Settings{Resolvers: []netip.AddrPort{at}, Rate: -1, Timeout: 2 * time.Second, Port: 9})
		if d, err := c.Delegation(t.Context(), "example."); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %d servers, %v", what, len(d.Servers), err)
		}
	}
}

// A resolver that fails is not said to find signatures wrong where it names another
// reason, or answers when it is asked again.
func TestFailuresThatAreNotOfSignatures(t *testing.T) {
	t.Parallel()
	for what, k := range map[string]struct {
		code  uint16 // extended error; 0 = none is told
		times int32  // that it fails at
		bogus bool
		says  string
	}{
		"always, without a reason": {0, 9, true, ""},
		"once":                     {0, 1, false, ""},
		"always, by signatures":    {dns.ExtendedErrorCodeDNSBogus, 9, true, ""},
		"no server answered it":    {dns.ExtendedErrorCodeNoReachableAuthority, 9, false, "No Reachable Authority"},
	} {
		var failed atomic.Int32
		at := server(t, func(q *dns.Msg, _ bool) *dns.Msg {
			r := reply(q, "a.example. 60 IN MX 10 m.example.")
			r.AuthenticatedData = true
			if q.CheckingDisabled || failed.Add(1) > k.times {
				return r
			}
			r.Answer, r.Rcode = nil, dns.RcodeServerFailure
			r.SetEdns0(1232, true)
			if k.code > 0 {
				r.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: k.code}}
			}
			return r
		})
		v, err := client(t, Settings{}).Validates(t.Context(), at, "a.example.", "MX")
		if v.Bogus != k.bogus || v.AD == k.bogus && k.says == "" || (err != nil) != (k.says != "") || err != nil && !strings.Contains(err.Error(), k.says) {
			t.Errorf("%s: %+v, %v", what, v, err)
		}
	}
}

// A resolver says that it has validated only to who asks so (RFC 6840 section 5.7);
// an authoritative server is not asked.
func TestAsksWhetherItIsValidated(t *testing.T) {
	t.Parallel()
	at := server(t, func(q *dns.Msg, _ bool) *dns.Msg {
		r := reply(q, "a.example. 60 IN MX 10 m.example.")
		r.AuthenticatedData = q.AuthenticatedData
		return r
	})
	for _, recurse := range []bool{true, false} {
		if a, err := client(t, Settings{}).Ask(t.Context(), at, "a.example.", "MX", recurse); err != nil || a.AD != recurse {
			t.Errorf("recursive %v: %+v, %v", recurse, a, err)
		}
	}
}

func TestNegativeTTLIsTheLower(t *testing.T) {
	t.Parallel()
	at := server(t, func(q *dns.Msg, _ bool) *dns.Msg {
		r := reply(q)
		r.Rcode = dns.RcodeNameError
		r.Ns = reply(q, "example. 300 IN SOA ns. h. 7 1 1 1 60").Answer
		return r
	})
	a, err := client(t, Settings{}).Ask(t.Context(), at, "a.example.", "MX", false)
	if err != nil || a.Negative != 60 || a.Serial != 7 || a.RCode != "NXDOMAIN" || !a.Set.Absent() {
		t.Errorf("%+v, %v", a, err)
	}
}

// FuzzRead compares what is read of a reply with what a full parse says.
func FuzzRead(f *testing.F) {
	for _, rrs := range [][]string{
		{"a.example. 60 IN MX 10 m.example.", "a.example. 1 IN CNAME x."},
		{"a.example. 60 IN MX 10 m.example.", "A.example. 70 IN MX 5 \\046.example.", "a.example. 1 IN TXT x"},
		{"a.example. 60 IN CNAME b.example.", "b.example. 5 IN MX 1 ."},
		{"example. 300 IN SOA ns. h. 7 1 1 1 60", "example. 300 IN NS ns."},
	} {
		q := new(dns.Msg)
		q.SetQuestion("a.example.", dns.TypeMX)
		m := reply(q, rrs...)
		m.Compress = true
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	asked, err := pack("a.example.", dns.TypeMX, flags{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if ok, err := asked.answers(b); !ok || err != nil {
			return
		}
		a, err := read(b, "a.example.", dns.TypeMX)
		if err != nil {
			return
		}
		if a.Set.Name != "a.example." || a.Set.Type != "MX" {
			t.Errorf("read as %v", a.Set)
		}
		m := new(dns.Msg)
		if m.Unpack(b) != nil || len(m.Answer)+len(m.Ns) > maxRecords {
			return // it may be broken behind what was read
		}
		var want []string
		owner, ttl := "a.example.", uint32(0)
		for range maxChain {
			alias := ""
			for _, rr := range m.Answer {
				if rr.Header().Class != dns.ClassINET || dns.CanonicalName(rr.Header().Name) != owner {
					continue
				}
				switch v := rr.(type) {
				case *dns.MX:
					ttl = max(ttl, min(v.Hdr.Ttl, rrset.MaxTTL))
					want = append(want, fmt.Sprint(v.Preference, " ", v.Mx))
				case *dns.CNAME:
					alias = dns.CanonicalName(v.Target)
				}
			}
			if alias == "" {
				break
			}
			owner, want, ttl = alias, nil, 0
		}
		set, err := rrset.New("a.example.", "MX", ttl, want...)
		if err != nil {
			return
		}
		if again, err := rrset.New(a.Set.Name, "MX", a.Set.TTL, a.Set.Data...); err != nil || !again.Equal(a.Set) {
			t.Errorf("%v is not canonical: %v, %v", a.Set, again, err)
		}
		if a.CNAME == "" && !a.Set.Equal(set) {
			t.Errorf("read %v, parsed %v", a.Set, set)
		}
	})
}

func client(t *testing.T, s Settings) *Client {
	t.Helper()
	c := New(s)
	t.Cleanup(c.Close)
	return c
}

package resolve

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
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
			a, err := New(Settings{Timeout: 2 * time.Second}).Ask(t.Context(), at, "a.example.", "MX", false)
			if (err != nil) != c.err || len(a.Set.Data) != c.data {
				t.Errorf("%+v, %v", a, err)
			}
			if err != nil && !errors.Is(err, ErrNoAnswer) {
				t.Errorf("%v is no ErrNoAnswer", err)
			}
		})
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
	a, err := New(Settings{}).Ask(t.Context(), at, "a.example.", "MX", false)
	if err != nil || a.Negative != 60 || a.Serial != 7 || a.RCode != "NXDOMAIN" || !a.Set.Absent() {
		t.Errorf("%+v, %v", a, err)
	}
}

func FuzzRead(f *testing.F) {
	q := new(dns.Msg)
	q.SetQuestion("a.example.", dns.TypeMX)
	b, err := reply(q, "a.example. 60 IN MX 10 m.example.", "a.example. 1 IN CNAME x.").Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m := new(dns.Msg)
		if m.Unpack(b) != nil {
			return
		}
		a, err := read(m, "a.example.", "MX")
		if err == nil && (a.Set.Name != "a.example." || a.Set.Type != "MX") {
			t.Errorf("read as %v", a.Set)
		}
	})
}

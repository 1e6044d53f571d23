package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// liar is a UDP server that answers a packet with packets of its choice.
func liar(t *testing.T, answer func(q *dns.Msg) []*dns.Msg) (netip.AddrPort, net.PacketConn) {
	t.Helper()
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b := make([]byte, 4096)
		for {
			n, from, err := p.ReadFrom(b)
			if err != nil {
				return
			}
			q := new(dns.Msg)
			if q.Unpack(b[:n]) != nil {
				continue
			}
			for _, m := range answer(q) {
				if out, err := m.Pack(); err == nil {
					_, _ = p.WriteTo(out, from)
				}
			}
		}
	}()
	t.Cleanup(func() { p.Close(); <-ended })
	return netip.MustParseAddrPort(p.LocalAddr().String()), p
}

// What does not repeat the question, the ID or the source is passed over, and the
// true answer behind it is taken.
func TestForgedRepliesAreDropped(t *testing.T) {
	t.Parallel()
	at, _ := liar(t, func(q *dns.Msg) []*dns.Msg {
		forged := func(change func(*dns.Msg)) *dns.Msg {
			m := reply(q, q.Question[0].Name+" 60 IN MX 10 evil.example.")
			change(m)
			return m
		}
		return []*dns.Msg{
			forged(func(m *dns.Msg) { m.Id++ }),
			forged(func(m *dns.Msg) { m.Question[0].Name = "other.example." }),
			forged(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA }),
			forged(func(m *dns.Msg) { m.Question = nil }),
			forged(func(m *dns.Msg) { m.Response = false }),
			forged(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }),
			reply(q, q.Question[0].Name+" 60 IN MX 10 true.example."),
		}
	})
	a, err := client(t, Settings{}).Ask(t.Context(), at, "a.example.", "MX", false)
	if err != nil || len(a.Set.Data) != 1 || a.Set.Data[0] != "10 true.example." {
		t.Errorf("%+v, %v", a, err)
	}
}

// An answer from another source than was asked is dropped, whatever it says.
func TestAnotherSourceIsDropped(t *testing.T) {
	t.Parallel()
	stranger, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b := make([]byte, 4096)
		for {
			n, from, err := p.ReadFrom(b)
			if err != nil {
				return
			}
			q := new(dns.Msg)
			if q.Unpack(b[:n]) == nil {
				out, _ := reply(q, q.Question[0].Name+" 60 IN MX 10 evil.example.").Pack()
				_, _ = stranger.WriteTo(out, from)
			}
		}
	}()
	t.Cleanup(func() { p.Close(); <-ended })
	a, err := client(t, Settings{Timeout: time.Second}).Ask(t.Context(), netip.MustParseAddrPort(p.LocalAddr().String()), "a.example.", "MX", false)
	if !errors.Is(err, ErrNoAnswer) {
		t.Errorf("%+v, %v", a, err)
	}
}

// A server that spells the name in its own way is asked by TCP.
func TestOtherCapitalsAreAskedByTCP(t *testing.T) {
	t.Parallel()
	var tcps atomic.Int32
	at := server(t, func(q *dns.Msg, tcp bool) *dns.Msg {
		r := reply(q, "a.long.name.of.many.letters.example. 60 IN MX 10 m.example.")
		r.Question[0].Name = "a.long.name.of.many.letters.example." // the chance that this was asked: one in 2^29
		if tcp {
			tcps.Add(1)
		}
		return r
	})
	a, err := client(t, Settings{}).Ask(t.Context(), at, "a.long.name.of.many.letters.example.", "MX", false)
	if err != nil || len(a.Set.Data) != 1 || tcps.Load() != 1 {
		t.Errorf("%+v, %v, %d times by TCP", a, err, tcps.Load())
	}
}

// A server older than EDNS says FORMERR, without the question even.
func TestServersWithoutEDNS(t *testing.T) {
	t.Parallel()
	at, _ := liar(t, func(q *dns.Msg) []*dns.Msg {
		if q.IsEdns0() == nil {
			return []*dns.Msg{reply(q, q.Question[0].Name+" 60 IN MX 10 m.example.")}
		}
		m := new(dns.Msg)
		m.SetRcodeFormatError(q)
		m.Question = nil
		return []*dns.Msg{m}
	})
	a, err := client(t, Settings{}).Ask(t.Context(), at, "a.example.", "MX", false)
	if err != nil || len(a.Set.Data) != 1 {
		t.Errorf("%+v, %v", a, err)
	}
}

// A port where nobody listens is known at once, and whoever waits may give up.
func TestNobodyListensAndGivingUp(t *testing.T) {
	t.Parallel()
	c := client(t, Settings{Timeout: time.Minute})
	closed, p := liar(t, func(*dns.Msg) []*dns.Msg { return nil })
	p.Close()
	if _, err := c.Ask(t.Context(), closed, "a.example.", "MX", false); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody listens: %v", err)
	}
	mute, _ := liar(t, func(*dns.Msg) []*dns.Msg { return nil })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := c.Ask(ctx, mute, "a.example.", "MX", false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("given up: %v", err)
	}
	c.Close()
	if _, err := c.Ask(t.Context(), mute, "a.example.", "MX", false); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// stubborn is a connection that knows no deadlines, as those through SSH.
type stubborn struct{ net.Conn }

func (stubborn) SetDeadline(time.Time) error      { return errors.New("not supported") }
func (stubborn) SetReadDeadline(time.Time) error  { return errors.New("not supported") }
func (stubborn) SetWriteDeadline(time.Time) error { return errors.New("not supported") }

// Through another host all goes by TCP, many questions on one connection; one that
// the server has closed is opened anew.
func TestThroughAnotherHost(t *testing.T) {
	t.Parallel()
	at := server(t, func(q *dns.Msg, tcp bool) *dns.Msg {
		if !tcp {
			t.Error("asked by UDP")
		}
		return reply(q, q.Question[0].Name+" 60 IN MX 10 m.example.")
	})
	var mu sync.Mutex
	var conns []net.Conn
	c := client(t, Settings{Rate: -1, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, conn)
		return stubborn{conn}, err
	}})
	ask := func(n int) {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				name := fmt.Sprintf("n%d.example.", i)
				if a, err := c.Ask(t.Context(), at, name, "MX", false); err != nil || a.Set.Name != name || len(a.Set.Data) != 1 {
					t.Errorf("%s: %+v, %v", name, a, err)
				}
			})
		}
		wg.Wait()
	}
	ask(1)
	ask(200)
	if n := len(conns); n > 20 {
		t.Errorf("%d connections for 200 questions", n)
	}
	for _, conn := range conns {
		conn.Close()
	}
	ask(1)
}

// Thousands of questions at once, some of whose packets are lost, are all answered,
// each with its own answer; no socket is asked for more than it takes.
func TestManyQuestionsAtOnce(t *testing.T) {
	t.Parallel()
	var seen atomic.Int32
	at, _ := liar(t, func(q *dns.Msg) []*dns.Msg {
		if seen.Add(1)%50 == 0 {
			return nil
		}
		return []*dns.Msg{reply(q, q.Question[0].Name+" 60 IN MX 10 "+q.Question[0].Name)}
	})
	c := client(t, Settings{Rate: -1, Timeout: 10 * time.Second})
	var wg sync.WaitGroup
	for i := range 3000 {
		wg.Go(func() {
			name := fmt.Sprintf("n%d.example.", i)
			if a, err := c.Ask(t.Context(), at, name, "MX", false); err != nil || len(a.Set.Data) != 1 || a.Set.Data[0] != "10 "+name {
				t.Errorf("%s: %+v, %v", name, a, err)
			}
		})
	}
	wg.Wait()
	if p := c.paceOf(at.Addr()); p.open != 0 || p.window < 1 || p.window > maxWindow {
		t.Errorf("window %v, %d still open", p.window, p.open)
	}
}

// The window grows with answers, and is halved once for all that was lost together.
func TestWindow(t *testing.T) {
	t.Parallel()
	p := &pace{window: firstWindow, steady: maxWindow}
	for range 100 {
		if err := p.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.leave(true)
	}
	if p.window != firstWindow+100 {
		t.Errorf("window %v", p.window)
	}
	p.lost()
	p.lost()
	if p.window != (firstWindow+100)/2 {
		t.Errorf("window %v after a loss", p.window)
	}
	before := p.window
	if err := p.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.leave(true)
	if p.window <= before || p.window >= before+1 {
		t.Errorf("window %v grows too fast where it was too large", p.window)
	}
	p.window = 1
	if err := p.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.enter(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("one too many: %v", err)
	}
	p.leave(true)
	if p.open != 0 || len(p.waiting) != 0 {
		t.Errorf("%d open, %d waiting", p.open, len(p.waiting))
	}
}

// A server is asked gently unless that is switched off.
func TestRate(t *testing.T) {
	t.Parallel()
	at := server(t, func(q *dns.Msg, _ bool) *dns.Msg { return reply(q) })
	c := client(t, Settings{Rate: 100})
	start := time.Now()
	for range burst + 20 {
		if _, err := c.Ask(t.Context(), at, "a.example.", "MX", false); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took < 150*time.Millisecond {
		t.Errorf("%d questions in %s at 100 a second", burst+20, took)
	}
}

// IPv6 has sockets of its own.
func TestIPv6(t *testing.T) {
	t.Parallel()
	p, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Logf("no IPv6 here: %v; nothing is shown", err)
		return
	}
	s := &dns.Server{PacketConn: p, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		_ = w.WriteMsg(reply(q, q.Question[0].Name+" 60 IN AAAA 2001:db8::1"))
	})}
	ready := make(chan struct{})
	s.NotifyStartedFunc = func() { close(ready) }
	go func() { _ = s.ActivateAndServe() }()
	<-ready
	t.Cleanup(func() { _ = s.Shutdown() })
	at := netip.MustParseAddrPort(p.LocalAddr().String())
	c := client(t, Settings{Source: netip.MustParseAddr("127.0.0.1")}) // of the other family, so not used
	if a, err := c.Ask(t.Context(), at, "a.example.", "AAAA", false); err != nil || len(a.Set.Data) != 1 || a.Set.Data[0] != "2001:db8::1" {
		t.Errorf("%+v, %v", a, err)
	}
}

func FuzzAnswers(f *testing.F) {
	q, err := pack("a.example.", dns.TypeMX, flags{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(q.packet)
	f.Add(append([]byte{0, 0, 0x80, 0}, q.packet[4:]...))
	f.Fuzz(func(t *testing.T, p []byte) {
		ok, err := q.answers(p)
		if !ok || err != nil {
			return
		}
		m := new(dns.Msg)
		if m.Unpack(p) == nil && len(m.Question) == 1 && m.Question[0] != (dns.Question{Name: "a.example.", Qtype: dns.TypeMX, Qclass: dns.ClassINET}) {
			t.Errorf("taken for an answer to another question: %v", m.Question[0])
		}
	})
}

// FuzzRCode compares the response code that is read with that of a full parse.
func FuzzRCode(f *testing.F) {
	for _, rcode := range []int{dns.RcodeSuccess, dns.RcodeNameError, dns.RcodeBadVers, dns.RcodeBadCookie} {
		m := new(dns.Msg).SetQuestion("a.example.", dns.TypeMX)
		m.SetEdns0(1232, true)
		m.Response, m.Rcode = true, rcode
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) < headerSize {
			return
		}
		got := rcodeOf(p)
		m := new(dns.Msg)
		if m.Unpack(p) != nil || len(m.Answer) > 0 || len(m.Question) != 1 {
			return
		}
		opts := 0
		for _, rr := range slices.Concat(m.Ns, m.Extra) {
			if rr.Header().Rrtype == dns.TypeOPT {
				opts++
			}
		}
		if o := m.IsEdns0(); o != nil && opts == 1 && got != m.Rcode || opts == 0 && got != m.Rcode {
			t.Errorf("%d, and a full parse says %d", got, m.Rcode)
		}
	})
}

// FuzzReferred: a referral is believed of names of its zone alone, and of addresses of
// its own name servers.
func FuzzReferred(f *testing.F) {
	for _, rr := range []string{"ns.z. 60 IN A 192.0.2.1", "ns.other. 60 IN AAAA 2001:db8::1", "ns.z. 60 IN TXT x"} {
		m := new(dns.Msg).SetQuestion("z.", dns.TypeNS)
		m.Response, m.Ns = true, rrs("z. 60 IN NS ns.z.", "z. 60 IN NS ns.other.", "other. 60 IN NS x.")
		m.Extra = rrs(rr)
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		m := new(dns.Msg)
		if m.Unpack(p) != nil {
			return
		}
		names, glue := referred(m, "z.")
		for n, addrs := range glue {
			if !slices.Contains(names, n) || n != "z." && !strictlyBelow(n, "z.") || len(addrs) == 0 {
				t.Errorf("glue %s %v of %v", n, addrs, names)
			}
		}
	})
}

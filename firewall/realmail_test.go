//go:build integration

package firewall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mxcutover/lab/site"
)

// mailbox is what the old server's Postfix has delivered for an address.
func mailbox(t *testing.T, p *site.Postfix, addr string) (texts []string) {
	t.Helper()
	local, domain, _ := strings.Cut(addr, "@")
	files, err := filepath.Glob(filepath.Join(p.Mail, domain, local, "new", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(b))
	}
	return texts
}

// arrives waits for a message with a word in it, and counts how often it is there.
func arrives(t *testing.T, p *site.Postfix, addr, word string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		n := 0
		for _, text := range mailbox(t, p, addr) {
			n += strings.Count(text, word)
		}
		if n == 1 {
			return
		}
		if n > 1 || ctx.Err() != nil {
			t.Fatalf("%s is there %d times, wanted once", word, n)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// A session is an SMTP conversation from a namespace.
type session struct {
	*textproto.Conn
	raw  net.Conn
	from string
}

func dialSMTP(t *testing.T, at *site.Space, addr string) (*session, error) {
	t.Helper()
	var c net.Conn
	var err error
	in(t, at, func() { c, err = net.DialTimeout("tcp", addr, 5*time.Second) })
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	s := &session{textproto.NewConn(c), c, "a@probe.test"}
	_, _, err = s.ReadResponse(220)
	return s, err
}

// say sends a line and wants a reply.
func (s *session) say(want int, format string, args ...any) error {
	if err := s.PrintfLine(format, args...); err != nil {
		return err
	}
	_, _, err := s.ReadResponse(want)
	return err
}

// begin says all up to the data's last dot.
func (s *session) begin(to, word string) error {
	for _, l := range []struct {
		want int
		line string
	}{{250, "EHLO probe.test"}, {250, "MAIL FROM:<" + s.from + ">"}, {250, "RCPT TO:<" + to + ">"}, {354, "DATA"}} {
		if err := s.say(l.want, "%s", l.line); err != nil {
			return fmt.Errorf("%s: %w", l.line, err)
		}
	}
	return s.PrintfLine("Subject: %s\r\n\r\n%s", "a", word)
}

// hand hands a message over.
func hand(t *testing.T, at *site.Space, addr, to, word string) error {
	t.Helper()
	s, err := dialSMTP(t, at, addr)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.begin(to, word); err != nil {
		return err
	}
	return s.say(250, ".")
}

// TestIntegrationRealMail has a real Postfix as the old server: while it is armed, and
// when it is closed for good, its own mail, the gateway's and what it sends go on; what
// a stranger had begun is not lost; and SSH lets in who comes anew.
func TestIntegrationRealMail(t *testing.T) {
	t.Parallel()
	h := wired(t)
	const to = "info@choir.test"
	var p *site.Postfix
	var err error
	in(t, h.old, func() {
		p, err = site.StartPostfix(t.Context(), site.PostfixOptions{
			Addr: netip.MustParseAddrPort("0.0.0.0:25"), Name: "mail.old.test", Domains: []string{"choir.test"}, Recipients: []string{to},
			Trusted: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
			Main: "inet_interfaces = all\nsmtp_bind_address =\nrelayhost = [192.0.2.2]:25\n" +
				"smtpd_end_of_data_restrictions = check_sender_access inline:{{slow@probe.test = sleep 5}}\n",
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	sink := h.sink(t, "192.0.2.2:25")
	d := h.bySSH(t, nil)
	outside, gateway, own := "192.0.2.1:25", "192.0.2.11:25", "127.0.0.1:25"
	if err := hand(t, h.outside, outside, to, "word-open"); err != nil {
		t.Fatal(err)
	}
	arrives(t, p, to, "word-open")
	pending, err := dialSMTP(t, h.outside, outside)
	if err != nil {
		t.Fatal(err)
	}
	if err := pending.begin(to, "word-pending"); err != nil {
		t.Fatal(err)
	}
	late := h.slowly(t, outside, to, "word-late")
	works := func(when string) {
		t.Helper()
		if err := hand(t, h.outside, outside, to, "word-stranger-"+when); !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: a stranger: %v", when, err)
		}
		for who, from := range map[string]struct {
			at   *site.Space
			addr string
		}{"gateway": {h.gateway, gateway}, "other-node": {h.second, "192.0.2.21:25"}, "own": {h.old, own}} {
			word := "word-" + who + "-" + when
			if err := hand(t, from.at, from.addr, to, word); err != nil {
				t.Errorf("%s: mail of the %s: %v", when, who, err)
				continue
			}
			arrives(t, p, to, word)
		}
		if err := hand(t, h.old, own, "friend@elsewhere.test", "word-out-"+when); err != nil {
			t.Errorf("%s: what the old server sends: %v", when, err)
		}
		sink.gets(t, "word-out-"+when)
		if at, err := d.OwnMail(t.Context(), nil, 25); err != nil || at != own {
			t.Errorf("%s: its own mail: %q, %v", when, at, err)
		}
		if _, err := d.NewLogin(t.Context()); err != nil {
			t.Errorf("%s: a new login: %v", when, err)
		}
	}
	r := Rules{Ports: []uint16{25}, Trust: rulesFor().Trust}
	if err := d.Apply(t.Context(), r, until(time.Minute)); err != nil {
		t.Fatal(err)
	}
	late.after(t, "it was armed")
	works("armed")
	arrives(t, p, to, "word-late")
	if err := pending.say(250, "."); err != nil {
		t.Errorf("what was begun before arming: %v", err)
	}
	arrives(t, p, to, "word-pending")
	if err := d.Apply(t.Context(), r, time.Time{}); err != nil {
		t.Fatal(err)
	}
	works("confirmed")
	if err := d.Apply(t.Context(), Rules{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := hand(t, h.outside, outside, to, "word-lifted"); err != nil {
		t.Errorf("lifted: %v", err)
	}
	arrives(t, p, to, "word-lifted")
}

// A lateReply is the 250 of a message that the old server has, and is slow to answer.
type lateReply struct{ came chan error }

// slowly hands over all of a message to a server that takes seconds to answer it.
func (h *hosts) slowly(t *testing.T, addr, to, word string) *lateReply {
	t.Helper()
	s, err := dialSMTP(t, h.outside, addr)
	if err != nil {
		t.Fatal(err)
	}
	s.from = "slow@probe.test"
	if err := s.begin(to, word); err != nil {
		t.Fatal(err)
	}
	if err := s.PrintfLine("."); err != nil {
		t.Fatal(err)
	}
	l := &lateReply{came: make(chan error, 1)}
	go func() {
		_, _, err := s.ReadResponse(250)
		l.came <- err
	}()
	return l
}

// after wants the 250 to come, and not to have come before now.
func (l *lateReply) after(t *testing.T, what string) {
	t.Helper()
	select {
	case err := <-l.came:
		t.Fatalf("it was answered before %s: %v", what, err)
	default:
	}
	if err := <-l.came; err != nil {
		t.Errorf("the 250 did not come after %s: %v", what, err)
	}
}

// A sink takes all mail.
type sink struct{ got chan string }

func (h *hosts) sink(t *testing.T, addr string) *sink {
	t.Helper()
	var l net.Listener
	var err error
	in(t, h.outside, func() { l, err = net.Listen("tcp", addr) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &sink{make(chan string, 100)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.take(c)
		}
	}()
	return s
}

func (s *sink) take(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	x := textproto.NewConn(c)
	_ = x.PrintfLine("220 sink")
	for {
		l, err := x.ReadLine()
		if err != nil {
			return
		}
		switch verb := strings.ToUpper(l); {
		case strings.HasPrefix(verb, "DATA"):
			_ = x.PrintfLine("354 go on")
			text, err := x.ReadDotBytes()
			if err != nil {
				return
			}
			s.got <- string(text)
		case strings.HasPrefix(verb, "QUIT"):
			_ = x.PrintfLine("221 bye")
			return
		}
		_ = x.PrintfLine("250 ok")
	}
}

func (s *sink) gets(t *testing.T, word string) {
	t.Helper()
	for late := time.After(20 * time.Second); ; {
		select {
		case text := <-s.got:
			if strings.Contains(text, word) {
				return
			}
		case <-late:
			t.Errorf("%s did not come", word)
			return
		}
	}
}

// TestIntegrationOthersFlush lets another tool flush all rules, and the machine be
// booted: then it is open unless it was confirmed and written down, and what is gone
// is seen.
func TestIntegrationOthersFlush(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	ctx := t.Context()
	flush := func() {
		t.Helper()
		if out, err := exec.Command("ip", "netns", "exec", h.old.Name, "nft", "flush", "ruleset").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	r := Rules{Ports: []uint16{25}, Trust: rulesFor().Trust}
	arm := func() {
		t.Helper()
		if err := h.driver.Apply(ctx, r, until(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	arm()
	flush()
	h.open(t, h.outside, "192.0.2.1:25")
	if have, _, err := h.driver.Loaded(ctx); err != nil || len(have.Ports) > 0 {
		t.Errorf("loaded %v, %v", have, err)
	}
	if err := h.driver.Apply(ctx, r, time.Time{}); !errors.Is(err, ErrRules) {
		t.Errorf("what was flushed was confirmed: %v", err)
	}
	arm()
	if err := h.driver.Apply(ctx, r, time.Time{}); err != nil {
		t.Fatal(err)
	}
	flush() // a boot before it was written down
	h.open(t, h.outside, "192.0.2.1:25")
	arm()
	for _, f := range []func() error{
		func() error { return h.driver.Apply(ctx, r, time.Time{}) },
		func() error { return h.driver.Keep(ctx, r) },
	} {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
	flush() // and after it: the unit's own command
	unit, err := os.ReadFile(filepath.Join(filepath.Dir(h.boot), "isolate.service"))
	if err != nil {
		t.Fatal(err)
	}
	_, command, _ := strings.Cut(string(unit), "ExecStart=")
	command, _, _ = strings.Cut(command, "\n")
	if out, err := exec.Command("ip", append([]string{"netns", "exec", h.old.Name}, strings.Fields(command)...)...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
	h.closed(t, h.outside, "192.0.2.1:25")
	if have, at, err := h.driver.Loaded(ctx); err != nil || !at.IsZero() || !slices.Equal(have.Lasting, r.Ports) {
		t.Errorf("after a boot %+v until %v, %v", have, at, err)
	}
	if kept, err := h.driver.Kept(ctx, r); err != nil || !kept {
		t.Errorf("kept: %v, %v", kept, err)
	}
}

// TestIntegrationManySources has a thousand sources of each family refused, and each is
// counted.
func TestIntegrationManySources(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	const many = 1000
	v4 := func(i int) net.IP { return net.IPv4(10, 9, byte(i/250), byte(i%250+1)) }
	v6 := func(i int) net.IP { return net.ParseIP(fmt.Sprintf("2001:db8:9::%x", i+1)) }
	var batch strings.Builder
	for i := range many {
		fmt.Fprintf(&batch, "addr add %s/32 dev out\naddr add %s/128 dev out nodad\n", v4(i), v6(i))
	}
	c := exec.Command("ip", "-n", h.outside.Name, "-batch", "-")
	c.Stdin = strings.NewReader(batch.String())
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ip(t, "-n", h.old.Name, "route", "add", "10.9.0.0/16", "via", "192.0.2.2", "dev", "to0")
	ip(t, "-n", h.old.Name, "-6", "route", "add", "2001:db8:9::/64", "via", "2001:db8:0::2", "dev", "to0")
	h.open(t, h.outside, "192.0.2.1:25")
	h.open(t, h.outside, "[2001:db8:0::1]:25")
	if err := h.driver.Apply(t.Context(), rulesFor(), until(5*time.Minute)); err != nil {
		t.Fatal(err)
	}
	in(t, h.outside, func() {
		for i := range many {
			for to, from := range map[string]net.IP{"192.0.2.1:25": v4(i), "[2001:db8:0::1]:25": v6(i)} {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: 3 * time.Second}
				if c, err := d.Dial("tcp", to); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("%s: %v, want to be refused", from, err)
					if err == nil {
						c.Close()
					}
				}
			}
		}
	})
	seen, err := h.driver.Seen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range many {
		for _, from := range []net.IP{v4(i), v6(i)} {
			a, _ := netip.AddrFromSlice(from)
			if seen[netip.AddrPortFrom(a.Unmap(), 25)] == 0 {
				t.Fatalf("%s was not counted", a)
			}
		}
	}
}

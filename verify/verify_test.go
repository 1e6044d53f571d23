package verify_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"mxcutover/lab"
	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/verify"
	"mxcutover/verify/resolve"
)

// bench is a world with a checker in it.
type bench struct {
	world *lab.World
	facts lab.Facts
	set   verify.Settings
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenchWith(t, nil)
}

// newBenchWith is a bench in a world of other options.
func newBenchWith(t *testing.T, adjust func(*lab.Options)) *bench {
	t.Helper()
	o := lab.Options{
		Domains: []lab.Domain{
			{Name: "choir.test"},
			{Name: "*.wild.test", Kind: lab.Wildcard, Zone: "wild.test"},
			{Name: "grey.test", Kind: lab.Greylisted},
			{Name: "bare.test", Kind: lab.Implicit},
			{Name: "other.test", Kind: lab.Other},
			{Name: "signed.test", Signed: true},
		},
		SenderRate: -1, SpamRate: -1, Lag: -1,
	}
	if adjust != nil {
		adjust(&o)
	}
	w, err := lab.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	f := w.Facts()
	anchors, err := resolve.ParseAnchors(f.Anchor)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(f.CA))
	return &bench{world: w, facts: f, set: verify.Settings{
		Anchors: anchors, OldHosts: []string{"mail.old.test."}, OldAddresses: []netip.Addr{f.Old.Addr},
		DNSPort: f.DNSPort, SMTPPort: f.SMTPPort, DNSRate: -1,
		Resolvers: []verify.Resolver{{View: "public", Addr: netip.AddrPortFrom(f.Resolver, f.DNSPort)}},
		Vantages:  []verify.Vantage{{Name: "outside", Source: f.Vantage}},
		Roots:     roots,
		From:      f.ProbeFrom, Recipients: verify.Recipients{Rewrite: f.User},
		IMAP:    verify.IMAP{Address: f.IMAP.String(), User: f.User, Password: func() (string, error) { return f.Password, nil }, TLS: "none"},
		Arrival: 6 * time.Second, Connect: time.Second, GreylistRetry: 600 * time.Millisecond,
	}}
}

func (b *bench) checker(t *testing.T, adjust func(*verify.Settings)) *verify.Checker {
	t.Helper()
	s := b.set
	if adjust != nil {
		adjust(&s)
	}
	c, err := verify.New(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// cut is a cutover of a domain to the given MX hosts.
func cut(t *testing.T, domain string, before, after []string) plan.Cutover {
	t.Helper()
	set := func(ttl uint32, data []string) rrset.Set {
		s, err := rrset.New(domain, "MX", ttl, data...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	zone := strings.TrimPrefix(domain, "*.")
	return plan.Cutover{Domain: domain, Zone: zone, Steps: []plan.Step{{
		ID: "publish", Kind: plan.Publish, Change: &rrset.Change{Zone: zone, Before: set(5, before), After: set(5, after)},
	}}}
}

var (
	old = []string{"10 mail.old.test."}
	gws = []string{"10 gw1.gw.test.", "20 gw2.gw.test."}
)

func (b *bench) publish(t *testing.T, zone, name string, data ...string) {
	t.Helper()
	if err := b.world.Edit(zone, name, "MX", 5, data...); err != nil {
		t.Fatal(err)
	}
}

func judge(t *testing.T, what string, found []plan.Finding, want plan.Severity, detail string) {
	t.Helper()
	got := plan.Judge(found)
	text := ""
	for _, f := range found {
		text += fmt.Sprintf("\n  %s %s %s: %s %s", f.Severity, f.Check, f.Target, f.Detail, f.Evidence)
		if f.Check == "" || f.At.IsZero() {
			t.Errorf("%s: a finding lacks its check or time: %+v", what, f)
		}
	}
	if got != want || !strings.Contains(text, detail) {
		t.Errorf("%s: %s, want %s with %q%s", what, got, want, detail, text)
	}
}

func nobody(s *verify.Settings) {
	s.Resolvers = []verify.Resolver{{View: "dead", Addr: netip.MustParseAddrPort("127.0.0.1:1")}}
}

// TestChecksPassFailAndDoNotKnow holds each check to its three answers.
func TestChecksPassFailAndDoNotKnow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	c, deaf := b.checker(t, nil), b.checker(t, nobody)
	choir := cut(t, "choir.test.", old, gws)
	good := []string{"mx.target", "gw.connect", "gw.recipient", "gw.unknown"}
	for _, id := range good {
		judge(t, id+" in a good world", c.Only(ctx, choir, id), plan.Pass, "")
		judge(t, id+" without a resolver", deaf.Only(ctx, choir, id), plan.Unknown, "could not check")
	}
	judge(t, "mx.target: the old server", c.Only(ctx, cut(t, "choir.test.", old, []string{"10 gw1.gw.test.", "90 mail.old.test."}), "mx.target"), plan.Fail, "old server")
	judge(t, "mx.target: by its address", c.Only(ctx, cut(t, "choir.test.", old, []string{"10 bare.test."}), "mx.target"), plan.Fail, "old server")
	judge(t, "mx.target: no address", c.Only(ctx, cut(t, "choir.test.", old, []string{"10 nowhere.gw.test."}), "mx.target"), plan.Fail, "no address")

	if err := b.world.Edit("choir.test", "dead.choir.test", "A", 5, host(b.facts, 250)); err != nil {
		t.Fatal(err)
	}
	dead := cut(t, "choir.test.", old, []string{"10 dead.choir.test."})
	for _, id := range []string{"gw.connect", "gw.recipient", "gw.unknown", "probe.arrival"} {
		judge(t, id+": nobody listens", c.Run(ctx, verify.Before, dead), plan.Fail, id)
	}
	b.world.Forget("choir.test")
	judge(t, "gw.recipient: refused", c.Only(ctx, choir, "gw.recipient"), plan.Fail, "550")
	b.world.Remember("choir.test")
}

func host(f lab.Facts, last byte) string {
	a := f.Block.Addr().As4()
	a[3] = last
	return netip.AddrFrom4(a).String()
}

func TestNameServers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, c := t.Context(), b.checker(t, nil)
	choir := cut(t, "choir.test.", old, gws)
	judge(t, "before", c.Run(ctx, verify.Before, choir), plan.Pass, "")
	served, found := c.Served(ctx, "choir.test.", "choir.test.", "MX")
	if len(served) != 2 || len(found) != 0 {
		t.Errorf("served %v, found %v", served, found)
	}
	judge(t, "not yet published", c.Only(ctx, choir, "ns.sync"), plan.Fail, "was expected")
	b.world.Freeze()
	b.publish(t, "choir.test", "choir.test", gws...)
	judge(t, "the secondary lags", c.Only(ctx, choir, "ns.sync"), plan.Fail, "mail.old.test")
	b.world.Thaw()
	eventually(t, "both serve the new MX", func() bool { return plan.Judge(c.Only(ctx, choir, "ns.sync")) == plan.Pass })
	judge(t, "without a resolver", b.checker(t, nobody).Only(ctx, choir, "ns.sync"), plan.Unknown, "")
	judge(t, "ns.ttl without a resolver", b.checker(t, nobody).Only(ctx, choir, "ns.ttl"), plan.Unknown, "")
	judge(t, "ns.ttl", c.Only(ctx, choir, "ns.ttl"), plan.Pass, "TTL 5 seconds")
	if n, err := c.NegativeTTL(ctx, "choir.test."); err != nil || n == 0 || n > 60 {
		t.Errorf("negative TTL %d, %v", n, err)
	}
}

func TestCachesCountDown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, c := t.Context(), b.checker(t, nil)
	choir := cut(t, "choir.test.", old, gws)
	judge(t, "before", c.Run(ctx, verify.Before, choir), plan.Pass, "mail.old.test")
	b.publish(t, "choir.test", "choir.test", gws...)
	judge(t, "cached", c.Only(ctx, choir, "cache.resolver"), plan.Warn, "it still answers 10 mail.old.test.; it must ask again in")
	judge(t, "our resolver is old", c.Routed(ctx, choir), plan.Unknown, "our resolver still answers")
	eventually(t, "the cache lets go", func() bool { return plan.Judge(c.Only(ctx, choir, "cache.resolver")) == plan.Pass })
	judge(t, "no resolver", b.checker(t, nobody).Only(ctx, choir, "cache.resolver"), plan.Unknown, "")
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !ok() {
		if ctx.Err() != nil {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func TestProbesArrive(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, c := t.Context(), b.checker(t, nil)
	for _, name := range []string{"choir.test.", "grey.test."} {
		b.publish(t, strings.TrimSuffix(name, "."), strings.TrimSuffix(name, "."), gws...)
		judge(t, name, c.Routed(ctx, cut(t, name, old, gws)), plan.Pass, "arrived via gw1.gw.test")
	}
	wild := cut(t, "*.wild.test.", old, gws)
	judge(t, "straight, below a wildcard", c.Run(ctx, verify.Before, wild), plan.Pass, "two labels below")
	b.publish(t, "wild.test", "*.wild.test", gws...)
	judge(t, "by a wildcard", c.Routed(ctx, wild), plan.Pass, "arrived")

	choir := cut(t, "choir.test.", old, gws)
	wrong := b.checker(t, func(s *verify.Settings) { s.IMAP.Password = func() (string, error) { return "wrong", nil } })
	judge(t, "a mailbox that cannot be asked", wrong.Routed(ctx, choir), plan.Unknown, "mailbox could not be asked")
	b.world.Forget("choir.test")
	judge(t, "refused", c.Routed(ctx, choir), plan.Fail, "550 5.7.1")
	b.world.Remember("choir.test")
}

// TestArrivalPastTheGateway shows that a message which reaches the mailbox
// without the gateway proves nothing.
func TestArrivalPastTheGateway(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := b.checker(t, nil)
	around := cut(t, "choir.test.", gws, old)
	judge(t, "straight to the old server", c.Only(t.Context(), around, "mx.target"), plan.Fail, "old server")
	judge(t, "past the gateway", c.Routed(t.Context(), around), plan.Fail, "it arrived, but")
}

// sink is a gateway that takes everything and passes nothing on.
type sink struct{}

func (sink) NewSession(*smtp.Conn) (smtp.Session, error) { return sink{}, nil }
func (sink) Mail(string, *smtp.MailOptions) error        { return nil }
func (sink) Rcpt(string, *smtp.RcptOptions) error        { return nil }
func (sink) Data(r io.Reader) error                      { _, err := io.Copy(io.Discard, r); return err }
func (sink) Reset()                                      {}
func (sink) Logout() error                               { return nil }

func TestCatchAllAndBlackHole(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	l, err := net.Listen("tcp", net.JoinHostPort(host(b.facts, 240), fmt.Sprint(b.facts.SMTPPort)))
	if err != nil {
		t.Fatal(err)
	}
	s := smtp.NewServer(sink{})
	s.Domain = "hole.test"
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	if err := b.world.Edit("choir.test", "hole.choir.test", "A", 5, host(b.facts, 240)); err != nil {
		t.Fatal(err)
	}
	hole := []string{"10 hole.choir.test."}
	b.publish(t, "choir.test", "choir.test", hole...)
	c := b.checker(t, nil)
	into := cut(t, "choir.test.", old, hole)
	judge(t, "a catch-all", c.Only(t.Context(), into, "gw.unknown"), plan.Fail, "which the old server refuses")
	known := b.checker(t, func(s *verify.Settings) { s.CatchAll = true })
	judge(t, "a declared catch-all", known.Only(t.Context(), into, "gw.unknown"), plan.Pass, "")
	judge(t, "a black hole", c.Routed(t.Context(), into), plan.Fail, "not in the mailbox")
}

func TestOldServer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, c := t.Context(), b.checker(t, nil)
	judge(t, "open", c.OldOpen(ctx), plan.Pass, "")
	judge(t, "not closed", c.OldClosed(ctx, b.facts.SMTPPort), plan.Fail, "still answers")
	judge(t, "closed", c.OldClosed(ctx, 9), plan.Pass, "refused")
	elsewhere := b.checker(t, func(s *verify.Settings) { s.OldAddresses = []netip.Addr{netip.MustParseAddr(host(b.facts, 251))} })
	judge(t, "not open", elsewhere.OldOpen(ctx), plan.Fail, "")
	lost := b.checker(t, func(s *verify.Settings) { s.Vantages = []verify.Vantage{{Source: netip.MustParseAddr("192.0.2.1")}} })
	judge(t, "no way to ask", lost.OldClosed(ctx, b.facts.SMTPPort), plan.Unknown, "")
	mute, err := net.Listen("tcp", net.JoinHostPort(host(b.facts, 10), "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mute.Close() })
	judge(t, "a server that says nothing is not closed", c.OldClosed(ctx, netip.MustParseAddrPort(mute.Addr().String()).Port()), plan.Unknown, "says nothing")
	for name, want := range map[string]bool{"choir.test.": true, "bare.test.": true, "other.test.": false, "*.wild.test.": true} {
		leads, why, err := c.LeadsToOld(ctx, strings.TrimPrefix(name, "*."), name)
		if err != nil || leads != want {
			t.Errorf("%s leads to the old server: %v (%s), %v", name, leads, why, err)
		}
	}
	if _, _, err := b.checker(t, nobody).LeadsToOld(ctx, "choir.test.", "choir.test."); err == nil {
		t.Error("without a resolver it is known where a name leads")
	}
}

func TestEachCheckHasItsPage(t *testing.T) {
	t.Parallel()
	for _, c := range verify.Checks() {
		text, err := os.ReadFile("../docs/checks/" + c.ID + ".md")
		if err != nil || !strings.HasPrefix(string(text), "# "+c.ID) {
			t.Errorf("%s: %v", c.ID, errors.Join(err))
		}
	}
}

package verify_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mxcutover/lab"
	"mxcutover/plan"
	"mxcutover/verify"
)

// worldOf is in, of a world of other options.
func worldOf(adjust func(*lab.Options), spoil func(*bench, *verify.Settings)) func(*testing.T) (*verify.Checker, plan.Cutover) {
	return func(t *testing.T) (*verify.Checker, plan.Cutover) {
		t.Helper()
		b := newBenchWith(t, adjust)
		set := b.set
		if spoil != nil {
			spoil(b, &set)
		}
		c, err := verify.New(set)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c, cut(t, "choir.test.", old, gws)
	}
}

// gateway is a world whose gateway has bad habits.
func gateway(h lab.Habits) func(*testing.T) (*verify.Checker, plan.Cutover) {
	return worldOf(func(o *lab.Options) { o.Gateway = h }, nil)
}

// matrixGateway are the rows of the gateway.
func matrixGateway() []row {
	forgets := in(func(_ *testing.T, b *bench, _ *verify.Settings, _ *plan.Cutover) { b.world.Forget("choir.test") })
	dead := in(func(t *testing.T, b *bench, _ *verify.Settings, c *plan.Cutover) {
		if err := b.world.Edit("choir.test", "dead.choir.test", "A", 5, host(b.facts, 250)); err != nil {
			t.Fatal(err)
		}
		*c = cut(t, "choir.test.", old, []string{"10 dead.choir.test."})
	})
	inside := in(func(_ *testing.T, _ *bench, s *verify.Settings, _ *plan.Cutover) { s.Vantages[0].Inside = true })
	noOld := in(func(_ *testing.T, _ *bench, s *verify.Settings, _ *plan.Cutover) { s.OldAddresses = nil })
	spent := func(t *testing.T) (*verify.Checker, plan.Cutover) {
		c, choir := worldOf(nil, func(_ *bench, s *verify.Settings) { s.RandomPerHour = 1 })(t)
		judge(t, "the first", c.Only(t.Context(), choir, "gw.unknown"), plan.Pass, "")
		return c, choir
	}
	anyAddress := func(gateway, old bool) world {
		return worldOf(func(o *lab.Options) { o.Gateway.CatchAll, o.OldServer.CatchAll = gateway, old }, func(_ *bench, s *verify.Settings) { s.CatchAlls = []string{"choir.test."} })
	}
	// eight is a gateway, or an old server, that offers some extensions.
	eight := func(offers string, isOld bool) world {
		return furnished(func(t *testing.T, b *bench) plan.Cutover {
			k := &clerk{says: saysAlways("250 OK"), offers: offers}
			at := k.serve(t, b, 242).Addr
			if isOld {
				b.set.OldAddresses = []netip.Addr{at}
				return cut(t, "choir.test.", old, gws)
			}
			b.put(t, "eight.choir.test", "A", at.String())
			return cut(t, "choir.test.", old, []string{"10 eight.choir.test."})
		})
	}
	// hosted is a gateway that takes mail for the probes' sender, whose domain has an MX.
	hosted := func(mx string, more func(*verify.Settings)) world {
		return furnishedWith(func(o *lab.Options) { o.Gateway.Relays = lab.Anybody }, func(t *testing.T, b *bench) plan.Cutover {
			b.put(t, "probe.test", "MX", mx)
			b.put(t, "mx.choir.test", "A", b.facts.Gateways[0].Addr.String())
			if more != nil {
				more(&b.set)
			}
			return cut(t, "choir.test.", old, gws)
		})
	}
	rows := []row{
		{check: "gw.connect", breaks: "nobody listens", broken: dead},
		{check: "gw.connect", breaks: "it greets with 554", broken: gateway(lab.Habits{Greeting: "554 5.7.1 Not you"}), says: "554 5.7.1 Not you"},
		{check: "gw.connect", breaks: "it greets with 421", broken: gateway(lab.Habits{Greeting: "421 4.3.2 Too many connections"}), want: plan.Unknown, says: "421 4.3.2"},
		{check: "gw.connect", breaks: "only from inside", broken: inside, want: plan.Unknown, says: "inside: "},
		{check: "gw.starttls", breaks: "none offered", broken: gateway(lab.Habits{NoTLS: true}), want: plan.Warn, says: "does not offer"},
		{check: "gw.starttls", breaks: "the handshake fails", broken: gateway(lab.Habits{BrokenTLS: true}), says: "TLS does not come about"},
		{check: "gw.cert", breaks: "of another host", broken: gateway(lab.Habits{Certificate: lab.OtherName}), want: plan.Warn, says: "none of gw1.gw.test"},
		{check: "gw.cert", breaks: "ended", broken: gateway(lab.Habits{Certificate: lab.EndedCert}), want: plan.Warn, says: "it ended at"},
		{check: "gw.cert", breaks: "ends soon", broken: gateway(lab.Habits{Certificate: lab.Expiring}), want: plan.Warn, says: "ends in 4 days"},
		{check: "gw.cert", breaks: "signed by itself", broken: gateway(lab.Habits{Certificate: lab.SelfSigned}), want: plan.Warn, says: "no authority vouches"},
		{check: "gw.ptr", breaks: "no PTR", broken: gateway(lab.Habits{NoPTR: true}), want: plan.Warn, says: "no PTR record"},
		{check: "gw.helo", breaks: "no full name", broken: gateway(lab.Habits{Name: "localhost"}), want: plan.Warn, says: "no full name"},
		{check: "gw.helo", breaks: "a name without address", broken: gateway(lab.Habits{Name: "nowhere.gw.test"}), want: plan.Warn, says: "has no address"},
		{check: "gw.helo", breaks: "another host's name", broken: gateway(lab.Habits{Name: "mx.elsewhere.test"}), want: plan.Warn, says: "mx.elsewhere.test, which is"},
		{check: "gw.relay", breaks: "for everybody", broken: gateway(lab.Habits{Relays: lab.Anybody}), says: "a stranger's mail for a stranger"},
		{check: "gw.relay", breaks: "the stranger's mail goes to the gateway", broken: hosted("10 gw2.gw.test.", nil), want: plan.Unknown, says: "probe.test has the MX gw2.gw.test. Name a sender"},
		{check: "gw.relay", breaks: "the stranger's mail goes to the gateway by another name", broken: hosted("10 mx.choir.test.", nil), want: plan.Unknown, says: "delivery at the gateway, and no relaying"},
		{check: "gw.relay", breaks: "the stranger is another customer's", broken: hosted("10 tenant7.gw.test.", nil), want: plan.Unknown, says: "may be the same operator's as gw"},
		{check: "gw.relay", breaks: "the stranger's MX is akin, and the gateway is ours", broken: hosted("10 tenant7.gw.test.", func(s *verify.Settings) {
			s.Holder = func(name string) (string, string, bool) {
				return "gw.test.", "campus", name == "gw1.gw.test." || name == "gw2.gw.test."
			}
		}), says: "a domain of others"},
		{check: "gw.relay", breaks: "one of two strangers is another customer's", broken: hosted("10 gw1.gw.test.", func(s *verify.Settings) { s.StrictSender = "a@other.test" }), says: "for a@other.test, a domain of others"},
		{check: "gw.relay", breaks: "by the percent sign", broken: gateway(lab.Habits{Relays: lab.Percent}), says: "the percent sign"},
		{check: "gw.relay", breaks: "for forged senders of ours", broken: gateway(lab.Habits{Relays: lab.OwnSender}), says: "from an address of our domain"},
		{check: "gw.relay", breaks: "for bounces", broken: gateway(lab.Habits{Relays: lab.BounceOut}), says: "a bounce for a stranger"},
		{check: "gw.relay", breaks: "a catch-all hides it", broken: gateway(lab.Habits{CatchAll: true}), want: plan.Warn, says: "cannot be told"},
		{check: "gw.relay", breaks: "only from inside", broken: inside, want: plan.Unknown, says: "inside: "},
		{check: "gw.relay", breaks: "it hangs up at once", broken: gateway(lab.Habits{HangsUpAfter: 3}), want: plan.Unknown, says: "could not be asked yet"},
		{check: "gw.recipient", breaks: "the domain is unknown there", broken: forgets, says: "550"},
		{check: "gw.recipient", breaks: "only from inside", broken: inside, want: plan.Unknown, says: "inside: "},
		{check: "gw.recipient", breaks: "senders are refused by policy", broken: gateway(lab.Habits{RefusesSenders: true}), says: "550 5.7.1"},
		{check: "gw.unknown", breaks: "nobody listens", broken: dead},
		{check: "gw.unknown", breaks: "any recipient is accepted", broken: gateway(lab.Habits{CatchAll: true}), says: "which the old server refuses"},
		{check: "gw.unknown", breaks: "it is a catch-all", broken: worldOf(func(o *lab.Options) { o.Gateway.CatchAll, o.OldServer.CatchAll = true, true }, nil), want: plan.Unknown, says: "say so: probe.catch_all: [choir.test]"},
		{check: "gw.unknown", breaks: "it is a catch-all, and that is known", broken: anyAddress(true, true), want: plan.Warn, says: "as the old server does and probe.catch_all says"},
		{check: "gw.unknown", breaks: "a catch-all that the old server knows nothing of", broken: anyAddress(true, false), says: "the old server refuses one that the gateway accepts"},
		{check: "gw.unknown", breaks: "a catch-all that the gateway knows nothing of", broken: anyAddress(false, true), says: "that mail would be lost"},
		{check: "gw.unknown", breaks: "no catch-all, and that it is one is said", broken: anyAddress(false, false), want: plan.Warn, says: "take it out of probe.catch_all"},
		{check: "gw.unknown", breaks: "a catch-all whose old server cannot be asked", want: plan.Unknown, says: "could not be asked", broken: worldOf(func(o *lab.Options) { o.Gateway.CatchAll = true }, func(_ *bench, s *verify.Settings) {
			s.CatchAlls, s.OldAddresses = []string{"choir.test."}, nil
		})},
		{check: "gw.unknown", breaks: "another domain is a catch-all", want: plan.Unknown, says: "is choir.test a catch-all?", broken: worldOf(func(o *lab.Options) { o.Gateway.CatchAll, o.OldServer.CatchAll = true, true }, func(_ *bench, s *verify.Settings) {
			s.CatchAlls = []string{"grey.test."}
		})},
		{check: "gw.unknown", breaks: "the hour's addresses are used up", broken: spent, want: plan.Unknown, says: "probe.random_per_hour"},
		{check: "gw.postmaster", breaks: "refused", broken: gateway(lab.Habits{NoPostmaster: true}), says: "which the old server accepts"},
		{check: "gw.postmaster", breaks: "refused, and the old server refuses us", broken: worldOf(func(o *lab.Options) { o.Gateway.NoPostmaster, o.OldServer.RefusesSenders = true, true }, nil), want: plan.Unknown, says: "could not be asked"},
		{check: "gw.postmaster", breaks: "refused by both", broken: worldOf(func(o *lab.Options) { o.Gateway.NoPostmaster, o.OldServer.NoPostmaster = true, true }, nil), want: plan.Warn, says: "as the old server does"},
		{check: "gw.null", breaks: "refused", broken: gateway(lab.Habits{NoBounces: true}), says: "MAIL FROM:<>"},
		{check: "gw.limits", breaks: "smaller than the old server's", broken: gateway(lab.Habits{Size: 1 << 19}), says: "takes messages of 524288 bytes"},
		{check: "gw.limits", breaks: "smaller than what is needed", broken: worldOf(nil, func(_ *bench, s *verify.Settings) { s.Largest = 1 << 30 }), says: "probe.largest"},
		{check: "gw.limits", breaks: "larger than the old server's", broken: gateway(lab.Habits{Size: 1 << 21}), want: plan.Warn, says: "what is between bounces"},
		{check: "gw.limits", breaks: "only the gateway has SMTPUTF8", broken: worldOf(func(o *lab.Options) { o.OldServer.NoSMTPUTF8 = true }, nil), want: plan.Warn, says: "bounces at the old server"},
		{check: "gw.limits", breaks: "only the old server has SMTPUTF8", broken: gateway(lab.Habits{NoSMTPUTF8: true}), want: plan.Warn, says: "is refused"},
		{check: "gw.limits", breaks: "only the old server has 8BITMIME", good: eight("-SIZE 1048576\r\n250-SMTPUTF8\r\n250 8BITMIME", false), broken: eight("-SIZE 1048576\r\n250 SMTPUTF8", false), want: plan.Warn, says: "senders must convert 8-bit mail"},
		{check: "gw.limits", breaks: "only the gateway has 8BITMIME", good: eight("-SIZE 1048576\r\n250-SMTPUTF8\r\n250 8BITMIME", true), broken: eight("-SIZE 1048576\r\n250 SMTPUTF8", true), want: plan.Warn, says: "must convert 8-bit mail for the old server"},
		{check: "gw.limits", breaks: "the old server cannot be asked", broken: noOld, want: plan.Unknown, says: "what the old server takes"},
		{check: "mx.loop", breaks: "the next hop refuses", broken: in(func(_ *testing.T, b *bench, _ *verify.Settings, _ *plan.Cutover) { b.world.Old.Forget("choir.test") }), says: "the next hop refuses"},
		{check: "mx.loop", breaks: "both have one name", broken: gateway(lab.Habits{Name: "mail.old.test"}), says: "takes that for a loop"},
		{check: "mx.loop", breaks: "the next hop refuses us, and not the domain", broken: worldOf(func(o *lab.Options) { o.OldServer.RefusesSenders = true }, nil), want: plan.Unknown, says: "MAIL FROM"},
		{check: "mx.loop", breaks: "both hide their names", broken: worldOf(func(o *lab.Options) { o.Gateway.Name, o.OldServer.Name = "mail", "mail" }, nil), want: plan.Unknown, says: "does not tell them apart"},
		{check: "mx.loop", breaks: "the next hop cannot be asked", broken: noOld, want: plan.Unknown, says: "no address of it"},
	}
	for i := range rows {
		if rows[i].when = verify.Before; rows[i].good == nil {
			rows[i].good = in(nil)
		}
	}
	return rows
}

// A gateway may well let strangers wait for its greeting.
func TestTarpit(t *testing.T) {
	t.Parallel()
	c, choir := gateway(lab.Habits{GreetAfter: 1500 * time.Millisecond})(t)
	judge(t, "slow to greet", c.Only(t.Context(), choir, "gw.connect", "gw.recipient"), plan.Pass, "and greets after 2s")
}

// What one vantage cannot see, another may.
func TestVantages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	choir := cut(t, "choir.test.", old, gws)
	with := func(more ...verify.Vantage) *verify.Checker {
		return b.checker(t, func(s *verify.Settings) { s.Vantages = append([]verify.Vantage{}, append(s.Vantages, more...)...) })
	}
	down := verify.Vantage{Name: "down", Dial: lost}
	judge(t, "one is down", with(down).Only(t.Context(), choir, "gw.connect", "gw.relay"), plan.Warn, "not asked from here, but from outside")
	six := verify.Vantage{Name: "six", Source: netip.MustParseAddr("2001:db8::7")}
	judge(t, "one is of the other family", with(six).Only(t.Context(), choir, "gw.connect"), plan.Warn, "an address of the other family")
	b.set.Vantages = nil
	judge(t, "all are down", with(down).Only(t.Context(), choir, "gw.connect", "gw.relay", "gw.recipient", "gw.starttls", "gw.cert"), plan.Unknown, "the line is down")
	for _, f := range with(down).OldClosed(t.Context(), b.facts.SMTPPort) {
		if f.Severity != plan.Unknown || f.Vantage != "down" {
			t.Errorf("closed, from a vantage that is down: %+v", f)
		}
	}
	refused := verify.Vantage{Name: "far", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasSuffix(address, fmt.Sprintf(":%d", b.facts.DNSPort)) {
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		return refusing(ctx, network, address)
	}}
	for _, f := range with(refused).OldClosed(t.Context(), b.facts.SMTPPort) {
		if f.Severity != plan.Pass {
			t.Errorf("refused at a far vantage: %+v", f)
		}
	}
	judge(t, "refused there", with(refused).Only(t.Context(), choir, "gw.connect"), plan.Fail, "no SMTP there")
}

// A vantage that the gateway trusts is told from an open relay by another one.
func TestTrustedVantageIsNoOpenRelay(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	open := newBenchWith(t, func(o *lab.Options) { o.Gateway.Relays = lab.Anybody })
	var d net.Dialer
	trusted := verify.Vantage{Name: "trusted", Dial: through(&d, b.facts, open.facts)}
	c := b.checker(t, func(s *verify.Settings) { s.Vantages = append(s.Vantages, trusted) })
	judge(t, "trusted", c.Only(t.Context(), cut(t, "choir.test.", old, gws), "gw.relay"), plan.Warn, "inside: it relays for this vantage")
}

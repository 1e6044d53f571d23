package verify_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"mxcutover/lab"
	"mxcutover/plan"
	"mxcutover/verify"
)

// lost is the Dial of a vantage that cannot be reached.
func lost(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("the line is down")
}

// refusing is the Dial of a vantage where every connection is refused.
func refusing(_ context.Context, network, _ string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

// through is the Dial of a vantage that sees another world's servers at the
// addresses of this one.
func through(d *net.Dialer, here, there lab.Facts) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return nil, err
		}
		a, b := ap.Addr().As4(), there.Block.Addr().As4()
		b[3] = a[3]
		port := ap.Port()
		if port == here.SMTPPort {
			port = there.SMTPPort
		}
		return d.DialContext(ctx, network, netip.AddrPortFrom(netip.AddrFrom4(b), port).String())
	}
}

// An address is asked from a vantage from which a way leads there.
func TestVantageForAnAddress(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := b.checker(t, func(s *verify.Settings) {
		s.Vantages = []verify.Vantage{{Name: "six", Source: netip.MustParseAddr("2001:db8::25")}, {Name: "four", Source: b.facts.Vantage}}
	})
	found := c.Some(t.Context(), verify.Before, cut(t, "choir.test.", old, gws), func(id string) bool {
		return id == "gw.recipient" || id == "gw.starttls" || id == "probe.arrival"
	})
	judge(t, "the first has no way to IPv4", found, plan.Pass, "")
	for _, f := range found {
		if f.Vantage != "four" {
			t.Errorf("%s is told of vantage %q", f.Check, f.Vantage)
		}
	}
}

// What a gateway does for one vantage only is found from there, and told with its name.
func TestEveryVantageIsAsked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		check  string
		habits lab.Habits // as the second vantage sees the gateway
		forget bool       // it does not know the domain there
		want   plan.Severity
		says   string
	}{
		"refused":                 {check: "gw.connect", habits: lab.Habits{Greeting: "554 5.7.1 Not you"}, want: plan.Fail, says: "Not you"},
		"TLS fails":               {check: "gw.starttls", habits: lab.Habits{BrokenTLS: true}, want: plan.Fail, says: "TLS does not come about"},
		"no TLS":                  {check: "gw.starttls", habits: lab.Habits{NoTLS: true}, want: plan.Warn, says: "does not offer"},
		"another certificate":     {check: "gw.cert", habits: lab.Habits{Certificate: lab.OtherName}, want: plan.Warn, says: "none of gw1.gw.test"},
		"smaller":                 {check: "gw.limits", habits: lab.Habits{Size: 1 << 19}, want: plan.Fail, says: "takes messages of 524288 bytes"},
		"senders are refused":     {check: "gw.recipient", habits: lab.Habits{RefusesSenders: true}, want: plan.Fail, says: "550 5.7.1"},
		"the domain is not there": {check: "gw.recipient", forget: true, want: plan.Fail, says: "550"},
		"takes everything":        {check: "gw.unknown", habits: lab.Habits{CatchAll: true}, want: plan.Fail, says: "which the old server refuses"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			other := newBenchWith(t, func(o *lab.Options) { o.Gateway = c.habits })
			if c.forget {
				other.world.Forget("choir.test")
			}
			checker := b.checker(t, func(s *verify.Settings) {
				s.Roots.AppendCertsFromPEM([]byte(other.facts.CA))
				s.Vantages = append(s.Vantages, verify.Vantage{Name: "far", Dial: through(&net.Dialer{}, b.facts, other.facts)})
			})
			found := checker.Some(t.Context(), verify.Before, cut(t, "choir.test.", old, gws), func(id string) bool { return id == c.check })
			judge(t, name, found, c.want, c.says)
			for _, f := range found {
				if (f.Severity == plan.Pass) != (f.Vantage == "outside") {
					t.Errorf("%s from %q", f.Severity, f.Vantage)
				}
			}
		})
	}
}

// One made-up address is asked for, by all vantages and checks alike, and each asks
// once; a valid one is asked for by each vantage.
func TestManyVantagesArePolite(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := &clerk{says: saysAlways("250 OK")}
	k.serve(t, b, 240)
	b.put(t, "all.choir.test", "A", host(b.facts, 240))
	b.settle(t)
	var d net.Dialer
	c := b.checker(t, func(s *verify.Settings) {
		s.RandomPerHour, s.StrictSender = 1, ""
		s.Vantages = append(s.Vantages, verify.Vantage{Name: "far", Dial: d.DialContext}, verify.Vantage{Name: "down", Dial: lost})
	})
	found := c.Some(t.Context(), verify.Before, cut(t, "choir.test.", old, []string{"10 all.choir.test."}), func(id string) bool {
		return id == "gw.unknown" || id == "gw.recipient"
	})
	judge(t, "accepted by both", found, plan.Fail, "which the old server refuses")
	from := map[string]int{}
	for _, f := range found {
		from[f.Check+" "+f.Vantage]++
	}
	if len(from) != 4 || from["gw.unknown far"] != 1 || from["gw.unknown outside"] != 1 || from["gw.recipient far"] != 1 {
		t.Errorf("told: %v; want both checks from both vantages that are there", from)
	}
	random := map[string]int{}
	for _, a := range k.asked {
		if !strings.HasPrefix(a, b.facts.User+"@") {
			random[a]++
		}
	}
	if len(random) != 1 || len(k.asked) != 4 {
		t.Errorf("asked for %q", k.asked)
	}
}

package verify_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/verify"
)

// A clerk is an SMTP server that says to RCPT what a test wants, and notes what it is
// asked.
type clerk struct {
	says func(n int, address string) string // of the n-th RCPT, from 1; "" = it hangs up

	greets string // "" = 220
	offers string // after the code in reply to EHLO; "" = " ENHANCEDSTATUSCODES"
	mu     sync.Mutex
	asked  []string
	verbs  []string
	talks  int
}

// serve listens on an address of the world.
func (k *clerk) serve(t *testing.T, b *bench, last byte) verify.Server {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host(b.facts, last), fmt.Sprint(b.facts.SMTPPort)))
	if err != nil {
		t.Fatal(err)
	}
	var under sync.WaitGroup
	under.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			under.Go(func() { k.talk(c) })
		}
	})
	t.Cleanup(func() { l.Close(); under.Wait() })
	return verify.Server{Name: fmt.Sprintf("clerk%d.test", last), Addr: netip.MustParseAddr(host(b.facts, last)), Old: last == 230}
}

func (k *clerk) talk(c net.Conn) {
	defer c.Close()
	k.mu.Lock()
	k.talks++
	k.mu.Unlock()
	greets := "220 clerk"
	if k.greets != "" {
		greets = k.greets
	}
	fmt.Fprintf(c, "%s\r\n", greets)
	for lines := bufio.NewScanner(c); lines.Scan(); {
		says := "250 OK"
		switch verb, rest, _ := strings.Cut(lines.Text(), " "); verb {
		case "EHLO":
			says = "250-clerk\r\n250" + cmp.Or(k.offers, " ENHANCEDSTATUSCODES")
		case "QUIT":
			fmt.Fprint(c, "221 bye\r\n")
			return
		case "RCPT":
			k.mu.Lock()
			k.asked = append(k.asked, strings.Trim(rest, "TO:<>"))
			says = k.says(len(k.asked), strings.Trim(rest, "TO:<>"))
			k.mu.Unlock()
			if says == "" {
				return
			}
		default:
			k.mu.Lock()
			k.verbs = append(k.verbs, verb)
			k.mu.Unlock()
		}
		fmt.Fprintf(c, "%s\r\n", says)
	}
}

func saysAlways(says string) func(int, string) string {
	return func(int, string) string { return says }
}

const unknownUser = "550 5.1.1 User unknown"

// many are addresses, the first first.
func many(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("user%02d@choir.test", i))
	}
	return out
}

func TestParityOfTwoServers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	before := &clerk{says: func(_ int, a string) string {
		return map[string]string{"user01@choir.test": unknownUser, "user02@choir.test": unknownUser, "user05@choir.test": "550 5.1.1 no"}[a]
	}}
	says := before.says
	before.says = func(n int, a string) string {
		if s := says(n, a); s != "" {
			return s
		}
		return "250 2.1.5 OK"
	}
	tried := map[string]int{}
	now := &clerk{says: func(_ int, a string) string {
		tried[a]++
		switch {
		case a == "user00@choir.test" || a == "user01@choir.test":
			return unknownUser
		case a == "user03@choir.test" && tried[a] == 1, a == "user04@choir.test":
			return "451 4.7.1 Greylisted"
		case a == "user05@choir.test":
			return "554 5.7.1 Relay access denied"
		}
		return "250 OK"
	}}
	var kept []verify.Answer
	p := verify.Parity{Servers: []verify.Server{before.serve(t, b, 230), now.serve(t, b, 231)}, Addresses: many(7), Keep: func(a verify.Answer) error {
		kept = append(kept, a)
		return nil
	}}
	c := b.checker(t, func(s *verify.Settings) { s.GreylistRetry = 50 * time.Millisecond })
	got, err := c.Parity(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	diffs, alike := p.Compare(got)
	var told []string
	for _, d := range diffs {
		told = append(told, string(d.Cause)+" "+d.Address[:6])
	}
	if want := []string{"lost user00", "backscatter user02", "deferred user04", "reply user05"}; !slices.Equal(told, want) || alike != 3 || len(kept) != 14 {
		t.Errorf("%q alike %d, kept %d; want %q", told, alike, len(kept), want)
	}
	if n := tried["user04@choir.test"]; n != 3 {
		t.Errorf("what is put off was asked %d times", n)
	}
	for _, k := range []*clerk{before, now} {
		if slices.Contains(k.verbs, "DATA") || !slices.Contains(k.verbs, "RSET") {
			t.Errorf("said %q", k.verbs)
		}
	}
	// Known answers are not asked for again, but for what was put off.
	now.asked, p.Known = nil, got
	if _, err := c.Parity(t.Context(), p); err != nil || !slices.Equal(now.asked, slices.Repeat([]string{"user04@choir.test"}, 3)) {
		t.Errorf("asked again: %q, %v", now.asked, err)
	}
}

// TestParityIsPolite shows when it hangs up, begins anew, and stops.
func TestParityIsPolite(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := b.checker(t, nil)
	ask := func(k *clerk, last byte, n int) (verify.Asked, error) {
		return c.Parity(t.Context(), verify.Parity{Servers: []verify.Server{k.serve(t, b, last)}, Addresses: many(n)})
	}
	var stop *verify.StopError
	for i, says := range []string{"421 4.7.0 Error: too many errors", "554 5.7.1 Service unavailable; client blocked", "550 5.7.1 blocked by policy"} {
		k := &clerk{says: func(n int, _ string) string {
			if n == 3 {
				return says
			}
			return "250 OK"
		}}
		if got, err := ask(k, byte(232+i), 9); !errors.As(err, &stop) || len(k.asked) != 3 || len(got) != 3 || !strings.Contains(err.Error(), "wants no more") {
			t.Errorf("%s: asked %d, %d answers, %v", says, len(k.asked), len(got), err)
		}
	}
	k := &clerk{greets: "554 5.7.1 no", says: saysAlways("250 OK")}
	if _, err := ask(k, 235, 3); !errors.As(err, &stop) || k.talks != 1 {
		t.Errorf("a greeting that refuses: %v after %d talks", err, k.talks)
	}
	k = &clerk{says: saysAlways(unknownUser)}
	if got, err := ask(k, 236, 20); err != nil || len(got) != 20 || k.talks != 3 {
		t.Errorf("%d answers over %d talks, %v; want a new one after 8 that are refused", len(got), k.talks, err)
	}
	limited := 0
	k = &clerk{says: func(int, string) string {
		if limited++; limited%4 == 0 {
			return "452 4.5.3 Too many recipients"
		}
		return "250 OK"
	}}
	if got, err := ask(k, 237, 9); err != nil || len(got) != 9 || k.talks != 1 || slices.ContainsFunc(many(9), func(a string) bool {
		return !got[[2]string{"clerk237.test " + host(b.facts, 237), a}].Accepted()
	}) {
		t.Errorf("%v, %v over %d talks", got, err, k.talks)
	}
	k = &clerk{says: func(n int, _ string) string {
		if n%3 == 0 {
			return "" // it hangs up
		}
		return "250 OK"
	}}
	if got, err := ask(k, 238, 9); err != nil || len(got) != 9 {
		t.Errorf("a line that breaks: %d answers, %v", len(got), err)
	}
	if got, err := ask(&clerk{says: saysAlways("")}, 239, 9); err == nil || errors.As(err, &stop) || len(got) != 0 {
		t.Errorf("one that always hangs up: %v, %v", got, err)
	}
}

// One that cannot be asked keeps nobody else from being asked; the rate holds, and an
// end comes at once.
func TestParityGoesOnAndEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := b.checker(t, nil)
	well := &clerk{says: saysAlways("250 OK")}
	servers := []verify.Server{well.serve(t, b, 230), {Name: "dead.test", Addr: netip.MustParseAddr(host(b.facts, 250))}}
	p := verify.Parity{Servers: servers, Addresses: append(many(3), "jörg@choir.test")}
	got, err := c.Parity(t.Context(), p)
	if err == nil || !strings.Contains(err.Error(), "dead.test") || len(got) != 4 || got[[2]string{servers[0].String(), "jörg@choir.test"}].Code != 553 {
		t.Errorf("%v, %v", got, err)
	}
	if diffs, _ := p.Compare(got); len(diffs) != 4 || diffs[0].Cause != verify.NotAsked {
		t.Errorf("%v", diffs)
	}
	p = verify.Parity{Servers: servers[:1], Addresses: many(4), Rate: 20}
	begun := time.Now()
	if _, err := c.Parity(t.Context(), p); err != nil || time.Since(begun) < 140*time.Millisecond {
		t.Errorf("4 at 20 a second took %s, %v", time.Since(begun), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p.Rate, p.Keep = 0.001, func(verify.Answer) error { cancel(); return nil }
	if got, err := c.Parity(ctx, p); !errors.Is(err, context.Canceled) || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	p.Rate, p.Keep = 0, func(verify.Answer) error { return errors.New("disk full") }
	if got, err := c.Parity(t.Context(), p); err == nil || !strings.Contains(err.Error(), "disk full") || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

// matrixParity are the rows of what old server and gateway say to the same addresses.
func matrixParity() []row {
	valid := func(addresses ...string) func(*testing.T, *bench, *verify.Settings, *plan.Cutover) {
		return func(_ *testing.T, _ *bench, s *verify.Settings, _ *plan.Cutover) {
			s.Valid = func(string) []string { return addresses }
		}
	}
	both := in(valid("info@choir.test", "office@choir.test", "nobody@choir.test"))
	return []row{
		{check: "parity", breaks: "the gateway does not know the domain", when: verify.Before, good: both, broken: in(func(t *testing.T, b *bench, s *verify.Settings, c *plan.Cutover) {
			valid("info@choir.test")(t, b, s, c)
			b.world.Forget("choir.test")
		}), says: "mail would be lost"},
		{check: "parity", breaks: "the gateway takes everything", when: verify.Before, good: both, broken: in(func(t *testing.T, b *bench, s *verify.Settings, c *plan.Cutover) {
			valid("info@choir.test", "nobody@choir.test")(t, b, s, c)
			(&clerk{says: saysAlways("250 OK")}).serve(t, b, 240)
			if err := b.world.Edit("choir.test", "all.choir.test", "A", 5, host(b.facts, 240)); err != nil {
				t.Fatal(err)
			}
			*c = cut(t, "choir.test.", old, []string{"10 all.choir.test."})
		}), says: "mail would be bounced"},
		{check: "parity", breaks: "no address is known", when: verify.Before, good: both, broken: in(valid()), want: plan.Unknown, says: "no address of it"},
	}
}

package traffic

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func signedIn(peer, user string, port uint16) Record {
	r := tried(time.Hour, peer, "a@moved.example", "x@elsewhere.example", true)
	r.Event, r.Origin, r.User, r.Port = Accepted, Submitted, []byte(user), port
	return r
}

// shownCuts are cuts as the tests have them.
func shownCuts(cuts []Cut) string {
	var out []string
	for _, c := range cuts {
		out = append(out, fmt.Sprintf("%s %q %s/%d:%d x%d", c.Use, c.Name, c.Source, c.Sources, c.Port, c.Count))
	}
	return strings.Join(out, "\n")
}

func TestReplay(t *testing.T) {
	t.Parallel()
	to := func(peer, rcpt string, taken bool) Record { return tried(time.Hour, peer, "a@s.example", rcpt, taken) }
	local := signedIn("127.0.0.1", "web", 25)
	smtp := Closed{Ports: []uint16{25}, Trust: prefixes("10.0.0.0/8", "2001:db8:1::/48")}
	for name, w := range map[string]struct {
		records []Record
		rules   Closed
		since   time.Time
		want    string
	}{
		"a user at a closed port":        {[]Record{signedIn(src, "ann", 25), signedIn("192.0.2.8", "ann", 25), signedIn(src, "bob", 587)}, smtp, time.Time{}, `authenticated "ann" 192.0.2.7/2:25 x2`},
		"a user at a port not told":      {[]Record{signedIn(src, "ann", 0)}, smtp, time.Time{}, `authenticated "ann" 192.0.2.7/1:0 x1`},
		"a user whose name is not told":  {[]Record{signedIn(src, "", 25)}, smtp, time.Time{}, `authenticated "" 192.0.2.7/1:25 x1`},
		"a user of a trusted network":    {[]Record{signedIn("10.1.2.3", "ann", 25), signedIn("2001:db8:1::5", "bob", 25), signedIn("::ffff:10.0.0.1", "c", 25)}, smtp, time.Time{}, ""},
		"an IPv4 network in IPv6 form":   {[]Record{signedIn("10.1.2.3", "ann", 25)}, Closed{Ports: []uint16{25}, Trust: prefixes("::ffff:10.0.0.0/104")}, time.Time{}, ""},
		"a local program":                {[]Record{local}, smtp, time.Time{}, ""},
		"too long ago":                   {[]Record{signedIn(src, "ann", 25)}, smtp, moved.Add(time.Hour + 1), ""},
		"just in time":                   {[]Record{signedIn(src, "ann", 25)}, smtp, moved.Add(time.Hour), `authenticated "ann" 192.0.2.7/1:25 x1`},
		"no port is closed":              {[]Record{signedIn(src, "ann", 25), to(src, "x@waits.example", true), to(src, "x@moved.example", true)}, Closed{}, time.Time{}, ""},
		"a relay":                        {[]Record{to(src, "x@elsewhere.example", true), to(src, "y@afar.example", true), to("10.0.0.2", "y@afar.example", true), to(src, "z@afar.example", false)}, smtp, time.Time{}, `relay "afar.example" 192.0.2.7/1:0 x2`},
		"a name without a plan":          {[]Record{to(src, "x@forgotten.example", true), to("192.0.2.8", "x@Forgotten.example", true), to("10.0.0.2", "x@forgotten.example", true)}, smtp, time.Time{}, `no-plan "forgotten.example" 192.0.2.7/2:0 x2`},
		"a name that waits":              {[]Record{to(src, "x@waits.example", true), to("192.0.2.8", "x@waits.example", true)}, smtp, time.Time{}, `not-moved "waits.example" invalid IP/0:0 x2`},
		"a straggler":                    {[]Record{to(src, "x@moved.example", true)}, smtp, time.Time{}, `sender "moved.example" 192.0.2.7/1:25 x1`},
		"a straggler, submission closed": {[]Record{to(src, "x@moved.example", true)}, Closed{Ports: []uint16{587}}, time.Time{}, ""},
		"the order": {
			[]Record{to(src, "x@moved.example", true), to(src, "x@elsewhere.example", true), to(src, "x@forgotten.example", true), signedIn(src, "ann", 25)},
			smtp,
			time.Time{},
			"authenticated \"ann\" 192.0.2.7/1:25 x1\nno-plan \"forgotten.example\" 192.0.2.7/1:0 x1\nrelay \"elsewhere.example\" 192.0.2.7/1:0 x1\nsender \"moved.example\" 192.0.2.7/1:25 x1",
		},
		"a spammer": {[]Record{to(src, "a@moved.example", false), to(src, "b@moved.example", false), to(src, "c@moved.example", false), to(src, "d@moved.example", false), to(src, "e@moved.example", false)}, smtp, time.Time{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Replay{Stragglers: Stragglers{Look: look}}
			for _, x := range w.records {
				r.Add(&x)
			}
			if got := shownCuts(r.Cuts(w.rules, w.since, r.List(Call{}))); got != w.want {
				t.Errorf("got\n%s\nwant\n%s", got, w.want)
			}
		})
	}
}

func TestReplayNames(t *testing.T) {
	t.Parallel()
	r := Replay{Stragglers: Stragglers{Look: look}}
	for _, x := range []Record{
		tried(0, src, "", "x@moved.example", true), tried(time.Hour, src, "", "x@a.example", true), tried(2*time.Hour, src, "", "x@A.example.", true),
		tried(time.Hour, src, "", "x@refused.example", false), tried(-day24, src, "", "x@old.example", true), signedIn(src, "ann", 587),
	} {
		r.Add(&x)
	}
	names, planned, left := r.Names(moved)
	if left != 0 || planned != 1 || len(names) != 1 || names[0] != (HadMail{"a.example", 2, moved.Add(2 * time.Hour)}) {
		t.Errorf("%+v, %d planned, left %d", names, planned, left)
	}
	if _, planned, _ := r.Names(moved.Add(time.Second)); planned != 0 {
		t.Error(planned)
	}
	if !r.First.Equal(moved.Add(-day24)) || r.Unsure() {
		t.Error(r.First, r.Unsure())
	}
}

// Of mail whose source the log does not tell the names count all the same: what a
// filter before the queue hands on, and what came before the log begins.
func TestReplayOfMailWithoutASource(t *testing.T) {
	t.Parallel()
	lines := func(more ...string) string {
		return strings.Join(append([]string{
			"2026-11-02T10:00:00Z old postfix/smtpd[1]: AAAAA1: client=x[192.0.2.7]",
			"2026-11-02T10:00:00Z old postfix/lmtp[2]: AAAAA1: to=<x@a.example>, relay=m, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (250 ok)",
			"2026-11-02T10:00:00Z old postfix/smtpd[1]: AAAAA2: client=x[192.0.2.7]",
			"2026-11-02T10:00:00Z old postfix/lmtp[2]: AAAAA2: to=<x@a.example>, relay=m, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (250 ok)",
		}, more...), "\n")
	}
	const sent = " relay=m, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (250 ok)"
	proxied := []string{
		"2026-11-02T10:00:00Z old postfix/smtpd[3]: BBBBB1: client=localhost[127.0.0.1]",
		"2026-11-02T10:00:00Z old postfix/smtpd[4]: proxy-accept: END-OF-MESSAGE: 250 2.0.0 Ok: queued as BBBBB1; from=<a@s.example> to=<x@filtered.example> proto=ESMTP helo=<x>",
		"2026-11-02T10:00:00Z old postfix/lmtp[2]: BBBBB1: to=<x@filtered.example>," + sent,
	}
	for name, w := range map[string]struct {
		log        string
		since      time.Time
		want       string
		sourceless bool
	}{
		"each is told":                   {lines(), moved, "a.example", false},
		"a filter that says nothing":     {lines(proxied...), moved, "a.example filtered.example", true},
		"one, but long ago":              {lines(proxied...), logEnd, "", false},
		"one from before the log begins": {lines("2026-11-02T10:00:00Z old postfix/lmtp[2]: CCCCC1: to=<x@early.example>," + sent), moved, "a.example early.example", false},
		"no line of a client at all":     {"2026-11-02T10:00:00Z old postfix/lmtp[2]: CCCCC1: to=<x@early.example>," + sent, moved, "early.example", true},
		"the server's own alone":         {"2026-11-02T10:00:00Z old postfix/smtpd[1]: DDDDD1: client=localhost[127.0.0.1]\n2026-11-02T10:00:00Z old postfix/lmtp[2]: DDDDD1: to=<x@own.example>," + sent, moved, "", true},
	} {
		r := Replay{Stragglers: Stragglers{Look: look}}
		l, err := NewLog(Options{Now: logEnd}, r.Add)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Read(strings.NewReader(w.log)); err != nil {
			t.Fatal(err)
		}
		list, _, _ := r.Names(w.since)
		var names []string
		for _, h := range list {
			names = append(names, h.Name)
		}
		if got := strings.Join(names, " "); got != w.want || r.Sourceless(w.since) != w.sourceless {
			t.Errorf("%s: %q, %v; want %q, %v", name, got, r.Sourceless(w.since), w.want, w.sourceless)
		}
	}
}

// What was known when a record came may be known better when somebody asks.
func TestReplayLooksAgain(t *testing.T) {
	t.Parallel()
	known := Known{Names: map[string]Name{"waits.example": {"waits.example", Waiting, time.Time{}}}}
	r := Replay{Stragglers: Stragglers{Look: known.Look}}
	for _, to := range []string{"x@waits.example", "x@elsewhere.example"} {
		x := tried(time.Hour, src, "", to, true)
		r.Add(&x)
	}
	rules := Closed{Ports: []uint16{25}}
	if n := len(r.Cuts(rules, time.Time{}, nil)); n != 2 {
		t.Error(n)
	}
	known.Names["waits.example"] = Name{"waits.example", HasMoved, moved.Add(2 * time.Hour)}
	known.Zones = map[string]bool{"elsewhere.example": true}
	r.Look = known.Look
	if got := shownCuts(r.Cuts(rules, time.Time{}, nil)); got != "" {
		t.Error(got)
	}
}

func TestKnown(t *testing.T) {
	t.Parallel()
	k := Known{Names: map[string]Name{"a.example": {"a.example.", HasMoved, moved}, "*.wild.example": {"*.wild.example.", Waiting, time.Time{}}}, Zones: map[string]bool{"wild.example": true, "zone.example": true}}
	for name, want := range map[string]string{
		"a.example": "a.example. 3", "x.wild.example": "*.wild.example. 2", "x.y.wild.example": "*.wild.example. 2", "wild.example": "wild.example 1",
		"x.a.example": "x.a.example 0", "x.zone.example": "x.zone.example 1", "": " 0", "zone.example.evil": "zone.example.evil 0",
	} {
		if n := k.Look(name); fmt.Sprint(n.Domain, " ", n.Standing) != want {
			t.Errorf("%q: %+v, want %s", name, n, want)
		}
	}
}

func TestReplayIsBounded(t *testing.T) {
	t.Parallel()
	r := Replay{Stragglers: Stragglers{Look: look}}
	for i := range maxUses + 10 {
		x := tried(0, src, "", fmt.Sprintf("x@n%d.example", i), true)
		r.Add(&x)
	}
	names, _, left := r.Names(time.Time{})
	if len(names) != maxNames || left != 10 || len(r.uses) != maxUses || r.LeftUses != 10 || !r.Unsure() {
		t.Errorf("%d names, left %d; %d uses, left %d", len(names), left, len(r.uses), r.LeftUses)
	}
}

// Whoever has more domains than there is room, all in the plan, and all their mail from
// the gateway, is told all the same that nobody is cut off.
func TestReplayOfManyDomains(t *testing.T) {
	t.Parallel()
	gate := netip.MustParseAddr("10.0.0.2")
	r := Replay{Stragglers: Stragglers{
		Trusted: func(a netip.Addr) bool { return a == gate },
		Look:    func(name string) Name { return Name{name + ".", []Standing{Waiting, HasMoved}[len(name)%2], moved} },
	}}
	const many = 3 * maxNames
	for i := range many {
		x := tried(time.Hour, gate.String(), "", fmt.Sprintf("x@n%06d.example", i), true)
		r.Add(&x)
		x.Recipient = []byte(fmt.Sprintf("x@waits-%06d.example", i))
		r.Add(&x)
	}
	for _, x := range []Record{signedIn(gate.String(), "ann", 25), tried(time.Hour, src, "a@s.example", "x@n000001.example", true)} {
		r.Add(&x)
	}
	names, planned, left := r.Names(moved)
	if len(names) != 0 || planned != 2*many || left != 0 || r.Unsure() {
		t.Errorf("%d names, %d planned, left %d, unsure %v, %d uses left, %+v", len(names), planned, left, r.Unsure(), r.LeftUses, r.Left)
	}
	if got := len(r.Cuts(Closed{Ports: []uint16{25}, Trust: prefixes("10.0.0.0/8")}, time.Time{}, r.List(Call{}))); got != many+1 {
		t.Errorf("%d cuts, want each that waits, and one sender", got)
	}
}

// More trust never cuts off more, more ports never fewer; and what is trusted is
// never cut.
func TestReplayIsMonotonous(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // a test
	for range 100 {
		r := Replay{Stragglers: Stragglers{Look: look}}
		for range 40 {
			peer := fmt.Sprintf("192.0.2.%d", rnd.IntN(8))
			x := tried(time.Hour, peer, "a@s.example", "x@"+[]string{"moved", "waits", "forgotten", "else"}[rnd.IntN(4)]+".example", rnd.IntN(3) > 0)
			if rnd.IntN(3) == 0 {
				x = signedIn(peer, "ann", []uint16{0, 25, 587}[rnd.IntN(3)])
			}
			r.Add(&x)
		}
		sum := func(c Closed) (n uint64) {
			for _, x := range r.Cuts(c, time.Time{}, r.List(Call{})) {
				if x.Use != NotMoved {
					n += x.Count
				}
				if slices.ContainsFunc(c.Trust, func(p netip.Prefix) bool { return x.Source.IsValid() && p.Contains(x.Source) }) {
					t.Fatalf("%+v is trusted", x)
				}
			}
			return n
		}
		few, more := prefixes("192.0.2.0/31"), prefixes("192.0.2.0/30")
		if a, b, c := sum(Closed{Ports: []uint16{25, 587}, Trust: few}), sum(Closed{Ports: []uint16{25}, Trust: few}), sum(Closed{Ports: []uint16{25}, Trust: more}); a < b || b < c {
			t.Fatal(a, b, c)
		}
	}
}

// The logs of real servers tell of users and ports.
func TestUsersAndPorts(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"2026-11-25 18:42:57 1xWH1F-00066u-1L <= a@s.example H=(c.example) [192.0.2.68]:4711 I=[192.0.2.10]:587 P=esmtpsa X=TLS A=plain_server:ann@moved.example S=445 for b@far.example\n":                                                "submitted ann@moved.example 587",
		"2026-11-25 18:42:57 1xWH1F-00066u-1L <= a@s.example H=(c.example) [192.0.2.68] P=esmtpa A=login S=445 id=1 A=x:evil I=[1.2.3.4]:9\n":                                                                                              "submitted  0",
		"2026-11-25 18:42:57 1xWH1F-00066u-1L <= a@s.example H=(c.example) [192.0.2.68] P=esmtp S=445\n":                                                                                                                                   "outside  0",
		"Nov 25 17:41:00 old postfix/submission/smtpd[1]: 336379D28CC: client=c[192.0.2.68], sasl_method=PLAIN, sasl_username=ann\nNov 25 17:41:00 old postfix/qmgr[1]: 336379D28CC: from=<a@s.example>, size=1, nrcpt=1 (queue active)\n": "submitted ann 587",
		"Nov 25 17:41:00 old postfix/smtps/smtpd[1]: 336379D28CC: client=c[192.0.2.68], sasl_username=ann\nNov 25 17:41:00 old postfix/qmgr[1]: 336379D28CC: from=<a@s.example>, size=1, nrcpt=1 (queue active)\n":                         "submitted ann 465",
		"Nov 25 17:41:00 old postfix/smtpd[1]: 336379D28CC: client=c[192.0.2.68], sasl_username=ann, sasl_sender=x\nNov 25 17:41:00 old postfix/qmgr[1]: 336379D28CC: from=<a@s.example>, size=1, nrcpt=1 (queue active)\n":                "submitted ann 0",
	} {
		var got string
		l, err := NewLog(Options{Now: now}, func(r *Record) { got = fmt.Sprint(r.Origin, " ", string(r.User), " ", r.Port) })
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Read(strings.NewReader(line)); err != nil || got != want {
			t.Errorf("%q, want %q: %s %v", got, want, line, err)
		}
	}
}

// FuzzReplay reads any log, and lists whatever came of it.
func FuzzReplay(f *testing.F) {
	for _, name := range []string{"exim-16", "exim-odd", "postfix-short", "postfix-odd"} {
		f.Add(samples(f, name)[0])
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r := Replay{Stragglers: Stragglers{Look: func(name string) Name {
			return Name{name, Standing(len(name) % 4), time.Unix(0, 0)} //nolint:gosec // small
		}}}
		l, err := NewLog(Options{Now: now}, r.Add)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Read(bytes.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		list := r.List(Call{Reverse: func(netip.Addr) Reverse { return Reverse{Asked: true} }})
		for i := range list {
			if x := &list[i]; x.Guess == "" || len(x.Evidence()) > 300 || x.Count() == 0 || len(x.Senders) > maxSenders {
				t.Fatalf("%+v", x)
			}
		}
		for _, c := range r.Cuts(Closed{Ports: []uint16{25}}, time.Time{}, list) {
			if c.Count == 0 || rank(c.Use) < 0 {
				t.Fatalf("%+v", c)
			}
		}
	})
}

package traffic

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	moved  = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	logEnd = moved.Add(10 * 24 * time.Hour)
)

// look knows one domain that moved, one that waits, and one that nobody planned.
func look(name string) Name {
	switch {
	case name == "moved.example", strings.HasSuffix(name, ".moved.example"):
		return Name{"moved.example", HasMoved, moved}
	case name == "waits.example":
		return Name{name, Waiting, time.Time{}}
	case name == "forgotten.example":
		return Name{name, Unplanned, time.Time{}}
	}
	return Name{Domain: name}
}

// tried is a recipient at a time after the move: accepted, or refused as nobody's.
func tried(after time.Duration, peer, sender, to string, taken bool) Record {
	r := Record{At: moved.Add(after), Event: Delivered, Origin: Outside, Queue: []byte("q"), First: true, Sender: []byte(sender), Recipient: []byte(to), Peer: netip.MustParseAddr(peer)}
	if !taken {
		r.Event, r.Queue, r.First, r.Status = Rejected, nil, false, []byte("550 5.1.1 User unknown")
	}
	return r
}

// every makes records at times with an interval, from one to another.
func every(from, to, gap time.Duration, make func(i int, at time.Duration) Record) (out []Record) {
	for at := from; at <= to; at += gap {
		out = append(out, make(len(out), at))
	}
	return out
}

func listed(t *testing.T, records []Record, q Call) []Straggler {
	t.Helper()
	s := Stragglers{Look: look}
	for _, r := range slices.Concat(records, []Record{{At: logEnd}}) {
		s.Add(&r)
	}
	return s.List(q)
}

const src, day24 = "192.0.2.7", 24 * time.Hour

func TestGuesses(t *testing.T) {
	t.Parallel()
	mail := func(i int, at time.Duration) Record {
		return tried(at+time.Duration(i*i%977)*2*time.Second, src, "news@shop.example", "info@moved.example", true)
	}
	unknown := func(n, taken int) (out []Record) {
		for i := range n + taken {
			out = append(out, tried(time.Duration(i*i+1)*time.Hour/4, src, fmt.Sprintf("x%d@spam%d.example", i, i), fmt.Sprintf("guess%d@moved.example", i), i >= n))
		}
		return out
	}
	none, named := Reverse{Asked: true}, Reverse{true, "mail.shop.example"}
	for name, w := range map[string]struct {
		records  []Record
		reverse  Reverse
		want     Guess
		evidence string
	}{
		"a stale resolver":             {every(time.Hour, 20*time.Hour, time.Hour, mail), Reverse{}, StaleResolver, "and falling: 20 and 0 in the halves of 10d"},
		"stale until the border":       {[]Record{mail(0, time.Hour), mail(0, 2*time.Hour), mail(0, staleSoon)}, Reverse{}, StaleResolver, "last 3d after the move"},
		"once after the border":        {[]Record{mail(0, time.Hour), mail(0, 2*time.Hour), mail(0, staleSoon+time.Second)}, Reverse{}, Undetermined, "3 taken"},
		"a hard-coded route":           {every(time.Hour, 9*day24, 7*time.Hour, mail), Reverse{}, HardRoute, "steady"},
		"a route that falls":           {every(time.Hour, 4*day24, 7*time.Hour, mail), Reverse{}, Undetermined, "14 taken"},
		"a route with too little mail": {every(2*day24, 9*day24, 2*day24, mail), Reverse{}, Undetermined, "4 taken"},
		"mail of many domains, as of a relay": {every(time.Hour, 9*day24, 7*time.Hour, func(i int, at time.Duration) Record {
			r := mail(i, at)
			r.Sender = fmt.Appendf(nil, "a@s%d.example", i)
			return r
		}), Reverse{}, Undetermined, "domain(s) of senders"},
		"monitoring":                        {every(0, 9*day24, 5*time.Minute, func(_ int, at time.Duration) Record { return tried(at, src, "", "postmaster@moved.example", true) }), Reverse{}, Monitoring, "one recipient, every 5m within 0%"},
		"monitoring that is refused":        {every(0, 9*day24, 5*time.Minute, func(_ int, at time.Duration) Record { return tried(at, src, "", "postmaster@moved.example", false) }), none, Monitoring, "every 5m"},
		"as often as monitoring's least":    {every(0, regularTimes*time.Minute, time.Minute, func(_ int, at time.Duration) Record { return tried(at, src, "", "p@moved.example", true) }), Reverse{}, Monitoring, "7 times"},
		"once less than monitoring's least": {every(0, (regularTimes-1)*time.Minute, time.Minute, func(_ int, at time.Duration) Record { return tried(at, src, "", "p@moved.example", true) }), Reverse{}, StaleResolver, "halves"},
		"a nightly report":                  {every(0, 9*day24, day24, func(_ int, at time.Duration) Record { return tried(at, src, "cron@s.example", "p@moved.example", true) }), Reverse{}, HardRoute, "steady"},
		"regular mail for many": {every(0, 9*day24, time.Hour, func(i int, at time.Duration) Record {
			return tried(at, src, "a@s.example", fmt.Sprintf("u%d@moved.example", i%3), true)
		}), Reverse{}, HardRoute, "steady"},
		"a spammer":                    {unknown(spamUnknown, 0), Reverse{}, Spammer, "5 of 5 refused, for 5 unknown"},
		"too few for a spammer":        {unknown(spamUnknown-1, 0), Reverse{}, Undetermined, "4 refused"},
		"the same few without a name":  {unknown(noNameUnkn, 0), none, Spammer, "no name"},
		"with a name":                  {unknown(noNameUnkn, 0), named, Undetermined, "2 refused"},
		"half taken, without a name":   {unknown(4, 4), none, Spammer, "4 of 8 refused"},
		"half taken, with one":         {unknown(8, 8), named, StaleResolver, "16 and 0"},
		"a tenth taken":                {unknown(36, 4), named, Spammer, "36 of 40 refused, for 32 or more"},
		"more than a tenth":            {unknown(35, 4), named, Undetermined, "35 refused"},
		"a list with one dead address": {slices.Repeat(unknown(1, 0), 40), none, Undetermined, "40 refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := listed(t, w.records, Call{Reverse: func(netip.Addr) Reverse { return w.reverse }})
			if len(got) != 1 || got[0].Guess != w.want || !strings.Contains(got[0].Evidence(), w.evidence) {
				t.Fatalf("want %s, %q: %+v", w.want, w.evidence, got)
			}
			if (w.want == Spammer) == got[0].Legitimate() {
				t.Error("legitimate:", got[0].Legitimate())
			}
		})
	}
}

func TestStragglersCount(t *testing.T) {
	t.Parallel()
	put := tried(time.Hour, src, "a@s.example", "x@moved.example", true)
	put.Event, put.First, put.Queue = Deferred, false, nil
	own := tried(time.Hour, src, "a@s.example", "x@moved.example", true)
	own.Origin = Submitted
	again := tried(time.Hour, src, "a@s.example", "x@moved.example", true)
	again.First = false
	got := listed(t, []Record{
		tried(-time.Second, src, "a@s.example", "x@moved.example", true), // before it moved
		tried(0, src, "a@s.example", "X@Moved.Example", true),            // at that moment
		tried(2*time.Hour, "::ffff:"+src, "a@s.example", "x@sub.moved.example", true),
		tried(time.Hour, src, "", "nobody@moved.example", false),
		tried(time.Hour, "127.0.0.1", "", "x@moved.example", true),
		tried(time.Hour, src, "a@s.example", "x@waits.example", true),
		tried(time.Hour, src, "a@s.example", "x@elsewhere.example", true),
		put, own, again,
	}, Call{})
	if len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	x := got[0]
	if x.Accepted != 2 || x.Deferred != 1 || x.Refused != 1 || x.Nobody != 1 || !x.First.Equal(moved) || !x.Last.Equal(moved.Add(2*time.Hour)) || !slices.Equal(x.Senders, []string{"a@s.example", "<>"}) {
		t.Errorf("%+v", x)
	}
}

// A list leaves out who is trusted, another domain, and who came too early; the
// firewall adds whom the log does not know.
func TestStragglersChosen(t *testing.T) {
	t.Parallel()
	records := []Record{tried(time.Hour, src, "a@s.example", "x@moved.example", true), tried(2*time.Hour, "2001:db8::1", "a@s.example", "x@moved.example", true)}
	blocked := map[netip.AddrPort]uint64{netip.MustParseAddrPort("192.0.2.7:25"): 3, netip.MustParseAddrPort("[::ffff:192.0.2.7]:587"): 4, netip.MustParseAddrPort("192.0.2.9:25"): 5}
	for name, w := range map[string]struct {
		q    Call
		want string
	}{
		"all":            {Call{}, "192.0.2.7 0, 2001:db8::1 0"},
		"another domain": {Call{Domain: "other.example"}, ""},
		"late":           {Call{From: moved.Add(2 * time.Hour)}, "2001:db8::1 0"},
		"trusted":        {Call{Trusted: func(_ string, a netip.Addr) bool { return a.Is4() }, Blocked: blocked}, "2001:db8::1 0"},
		"refused":        {Call{Blocked: blocked}, "192.0.2.7 7, 2001:db8::1 0, 192.0.2.9 5 only-connects"},
	} {
		var got []string
		for _, x := range listed(t, records, w.q) {
			text := fmt.Sprint(x.Source, " ", x.Blocked)
			if x.Guess == OnlyConnects {
				text += " " + string(x.Guess)
			}
			got = append(got, text)
		}
		if strings.Join(got, ", ") != w.want {
			t.Errorf("%s: %s, want %s", name, strings.Join(got, ", "), w.want)
		}
	}
}

func TestGone(t *testing.T) {
	t.Parallel()
	for _, w := range []struct {
		guess  Guess
		silent time.Duration
		want   bool
	}{
		{StaleResolver, StaleGone, true},
		{StaleResolver, StaleGone - 1, false},
		{HardRoute, 7 * day24, true},
		{HardRoute, 7*day24 - 1, false},
		{Undetermined, StaleGone, false},
	} {
		x := Straggler{Guess: w.guess, Last: moved}
		if x.Gone(moved.Add(w.silent), 7*day24) != w.want {
			t.Error(w)
		}
	}
}

// Many sources that are refused do not push those out whose mail was taken, and what
// finds no room is counted.
func TestStragglersAreBounded(t *testing.T) {
	t.Parallel()
	s := Stragglers{Look: look}
	add := func(i int, taken bool) {
		r := tried(time.Hour, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String(), "a@s.example", "x@moved.example", taken)
		s.Add(&r)
	}
	for i := range 100 {
		add(i, true)
	}
	for i := 100; i < 2*maxPairs; i++ {
		add(i, false)
	}
	if len(s.pairs) > maxPairs {
		t.Errorf("%d pairs", len(s.pairs))
	}
	var taken, refused uint64
	for _, x := range s.List(Call{}) {
		taken, refused = taken+x.Accepted, refused+x.Refused
	}
	if taken != 100 || s.Left.Accepted != 0 || refused+s.Left.Refused != 2*maxPairs-100 {
		t.Errorf("%d taken, %d refused, left %+v", taken, refused, s.Left)
	}
	for i := range 2 * maxPairs {
		add(1<<20+i, true)
	}
	if len(s.pairs) > maxPairs || s.Left.Accepted == 0 {
		t.Errorf("%d pairs, left %+v", len(s.pairs), s.Left)
	}
}

// Who is silent for long makes room for others, and none is left out; who still comes
// is kept.
func TestSilentStragglersMakeRoom(t *testing.T) {
	t.Parallel()
	s := Stragglers{Look: look, Quiet: 7 * day24}
	add := func(i int, after time.Duration) {
		r := tried(after, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String(), "a@s.example", "x@moved.example", true)
		s.Add(&r)
	}
	for i := range maxPairs {
		add(i, time.Hour)
	}
	add(0, 6*day24)
	for i := maxPairs; i < maxPairs+1000; i++ {
		add(i, 9*day24)
	}
	if s.Left != (Left{}) || len(s.pairs) != 1001 || s.refused != 0 {
		t.Errorf("%d pairs, %d refused, left %+v", len(s.pairs), s.refused, s.Left)
	}
	s = Stragglers{Look: look}
	for i := range maxPairs + 10 {
		add(i, time.Duration(i)*time.Minute)
	}
	if s.Left.Accepted != 10 {
		t.Errorf("without Quiet nobody who came goes: left %+v", s.Left)
	}
}

// A line with a wrong time does not make a log reach to now.
func TestLatest(t *testing.T) {
	t.Parallel()
	s := Stragglers{Look: look, Latest: logEnd}
	for _, after := range []time.Duration{time.Hour, 500 * day24, 2 * time.Hour, 11 * day24} {
		r := tried(after, src, "a@s.example", "x@moved.example", true)
		s.Add(&r)
	}
	if !s.Last.Equal(moved.Add(2*time.Hour)) || len(s.List(Call{})) != 1 || s.List(Call{})[0].Accepted != 4 {
		t.Errorf("%s: %+v", s.Last, s.List(Call{}))
	}
}

// Whatever comes in whatever order: nothing is counted twice or lost, and the
// halves hold all.
func TestStragglersAnyOrder(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	for range 200 {
		var records []Record
		n := 1 + rnd.IntN(60)
		for range n {
			peer := fmt.Sprintf("192.0.2.%d", rnd.IntN(4))
			records = append(records, tried(time.Duration(rnd.Int64N(int64(400*day24))), peer, "a@s.example", fmt.Sprintf("u%d@moved.example", rnd.IntN(50)), rnd.IntN(2) == 0))
		}
		var total uint64
		for _, x := range listed(t, records, Call{}) {
			total += x.Count()
			if x.Numbers.Early+x.Numbers.Late != x.Count() || x.First.After(x.Last) || x.Guess == "" || x.Evidence() == "" {
				t.Fatalf("%+v", x)
			}
		}
		if total != uint64(n) { //nolint:gosec // small
			t.Fatalf("%d of %d", total, n)
		}
	}
}

package providers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"mxcutover/rrset"
	"mxcutover/secret"
)

// testZones is what every server that the cases run against serves.
func testZones() map[string]string {
	head := "$TTL 3600\n@ SOA ns.example.test. hostmaster.example.test. 1 3600 600 86400 300\n@ NS ns.example.test.\n"
	var crowd strings.Builder
	for i := range 50 {
		fmt.Fprintf(&crowd, "crowd%d 60 MX 10 old.example.net.\n", i)
	}
	return map[string]string{
		siteZone: head + `
ns A 127.0.0.1
@ 300 MX 10 old.example.net.
two 300 MX 10 old.example.net.
two 300 MX 20 old2.example.net.
gone 300 MX 10 old.example.net.
ttl 86400 MX 10 old.example.net.
there 300 MX 10 gw.example.net.
drift 300 MX 10 old.example.net.
driftttl 300 MX 10 old.example.net.
driftgone 300 MX 10 old.example.net.
prefs 300 MX 0 old.example.net.
prefs 300 MX 65535 old2.example.net.
null 300 MX 0 .
UPPER 300 MX 10 OLD.Example.NET.
*.wild 300 MX 10 wild.example.net.
own.wild 300 MX 10 wild.example.net.
*.star 300 MX 10 wild.example.net.
under.star 300 MX 10 old.example.net.
*.under.star 300 MX 10 old.example.net.
*.aliased CNAME ns
alias CNAME ns
text 300 TXT "v=spf1 -all"
a.b.empty A 127.0.0.1
dname DNAME example.net.
dname MX 10 old.example.net.
sp\032ace.dot\.ted 300 MX 10 we\032ird.example.net.
sub NS ns
` + crowd.String(),
		"sub.example.test.": head + "host MX 10 old.example.net.\n*.w MX 10 old.example.net.\n",
	}
}

// A bed is a server that the cases run against.
type bed struct{ server, keyName, secret string }

// open opens the provider for the bed's server.
func (b bed) open(t testing.TB, change ...func(*rfc2136Settings)) Provider {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(b.secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Open("rfc2136", func(into any) error {
		s := into.(*rfc2136Settings)
		s.Server, s.KeyName, s.Key = b.server, b.keyName, secret.Ref{File: file}
		for _, f := range change {
			f(s)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (b bed) keys() map[string]string { return map[string]string{dns.Fqdn(b.keyName): b.secret} }

// edit is somebody else: an update without prerequisites, by another client.
func (b bed) edit(t *testing.T, s rrset.Set) {
	t.Helper()
	if err := b.tryEdit(context.Background(), s); err != nil {
		t.Fatal(err)
	}
}

// tryEdit takes names and hosts in any spelling.
func (b bed) tryEdit(ctx context.Context, sets ...rrset.Set) error {
	m := new(dns.Msg)
	m.SetUpdate(siteZone)
	for _, s := range sets {
		m.RemoveRRset([]dns.RR{&dns.ANY{Hdr: dns.RR_Header{Name: dns.Fqdn(s.Name), Rrtype: dns.StringToType[s.Type]}}})
		for _, d := range s.Data {
			rr, err := dns.NewRR(fmt.Sprintf("%s %d IN %s %s", dns.Fqdn(s.Name), s.TTL, s.Type, d))
			if err != nil {
				return err
			}
			m.Insert([]dns.RR{rr})
		}
	}
	m.SetTsig(dns.Fqdn(b.keyName), dns.HmacSHA256, 300, time.Now().Unix())
	r, _, err := (&dns.Client{Net: "tcp", TsigSecret: b.keys(), Timeout: time.Minute}).ExchangeContext(ctx, m, b.server)
	switch {
	case err != nil:
		return fmt.Errorf("edit: %w", err)
	case r.Rcode != dns.RcodeSuccess:
		return fmt.Errorf("edit: %s", dns.RcodeToString[r.Rcode])
	}
	return nil
}

// truth is what the zone holds at a name, read by another client's transfer.
func (b bed) truth(t *testing.T, name, typ string) rrset.Set {
	t.Helper()
	s, err := b.tryTruth(name, typ)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (b bed) tryTruth(name, typ string) (rrset.Set, error) {
	m := new(dns.Msg)
	m.SetAxfr(siteZone)
	m.SetTsig(dns.Fqdn(b.keyName), dns.HmacSHA256, 300, time.Now().Unix())
	in, err := (&dns.Transfer{TsigSecret: b.keys()}).In(m, b.server)
	if err != nil {
		return rrset.Set{}, err
	}
	var data []string
	var ttl uint32
	for e := range in {
		if err = cmp.Or(err, e.Error); err != nil {
			continue
		}
		for _, rr := range e.RR {
			h := rr.Header()
			if owner, err := rrset.CanonicalName(h.Name); err != nil || owner != name || dns.TypeToString[h.Rrtype] != typ {
				continue
			}
			d := strings.TrimPrefix(rr.String(), h.String())
			if mx, ok := rr.(*dns.MX); ok {
				d = fmt.Sprintf("%d %s", mx.Preference, must(rrset.CanonicalName(mx.Mx)))
			}
			data, ttl = append(data, d), h.Ttl
		}
	}
	if err != nil {
		return rrset.Set{}, err
	}
	return rrset.New(name, typ, ttl, data...)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// mx is an MX RRset at a name of the test zone; without data it is absent.
func mx(name string, ttl uint32, data ...string) rrset.Set { return set(name, "MX", ttl, data...) }

func set(name, typ string, ttl uint32, data ...string) rrset.Set {
	if name == "@" {
		return must(rrset.New(siteZone, typ, ttl, data...))
	}
	return must(rrset.New(name+"."+siteZone, typ, ttl, data...))
}

const oldMX, gwMX = "10 old.example.net.", "10 gw.example.net."

// cases are what DNS itself adds to the conformance suite. Each has a name of its
// own in the zone.
var cases = []struct {
	name          string
	before, after rrset.Set
	err           error
}{
	{name: "absent to mx at an empty non-terminal", before: mx("b.empty", 0), after: mx("b.empty", 300, gwMX)},
	{name: "to null mx", before: mx("tonull", 0), after: mx("tonull", 300, "0 .")},
	{
		name: "escapes", before: mx(`sp\032ace.dot\.ted`, 300, `10 we\032ird.example.net.`),
		after: mx(`sp\032ace.dot\.ted`, 300, `10 we\.ird.example.net.`),
	},
	{name: "synthesised is not before", before: mx("y.wild", 300, "10 wild.example.net."), after: mx("y.wild", 300, gwMX), err: ErrDrifted},
	{name: "synthesised is not after", before: mx("z.deep.wild", 0), after: mx("z.deep.wild", 300, "10 wild.example.net.")},
	{name: "beside a wildcard with its data", before: mx("own.wild", 300, "10 wild.example.net."), after: mx("own.wild", 300, gwMX)},
	{name: "above a wildcard and below one", before: mx("under.star", 300, oldMX), after: mx("under.star", 300, gwMX)},
	{name: "owner of a DNAME", before: mx("dname", 3600, oldMX), after: mx("dname", 300, gwMX)},
	{name: "alias by a wildcard", before: mx("x.aliased", 0), after: mx("x.aliased", 300, gwMX)},
}

// runCases runs the table against a server, all cases at once.
func runCases(t *testing.T, b bed) {
	p := b.open(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			was := b.truth(t, c.before.Name, c.before.Type)
			r, err := Replace(t.Context(), p, rrset.Change{Zone: siteZone, Before: c.before, After: c.after})
			is := b.truth(t, c.before.Name, c.before.Type)
			switch {
			case c.err != nil:
				if !errors.Is(err, c.err) || !is.Equal(was) {
					t.Errorf("error %v, want %v; the zone had %v, has %v", err, c.err, was, is)
				}
				checkDrift(t, err, c.before, was)
			case err != nil || !r.Got.Equal(c.after) || r.Mode != Swap || r.Clamped || !r.Written:
				t.Errorf("Replace: %+v, %v; want %v", r, err, c.after)
			case !is.Equal(c.after):
				t.Errorf("the zone has %v, want %v", is, c.after)
			}
		})
	}
}

func checkDrift(t *testing.T, err error, before, found rrset.Set) {
	t.Helper()
	if d := (*DriftError)(nil); errors.As(err, &d) && (!d.Found.Equal(found) || !d.Expected.Equal(before)) {
		t.Errorf("drift %+v; %v was found", d, found)
	}
}

// runRefusals runs what must fail, and change nothing.
func runRefusals(t *testing.T, b bed) {
	p := b.open(t)
	for name, c := range map[string]rrset.Change{
		"below a zone of the same server": {Zone: siteZone, Before: mx("host.sub", 3600, oldMX), After: mx("host.sub", 300, gwMX)},
		"absent in a zone below":          {Zone: siteZone, Before: mx("none.sub", 0), After: mx("none.sub", 300, gwMX)},
		"synthesised in a zone below":     {Zone: siteZone, Before: mx("x.w.sub", 0), After: mx("x.w.sub", 300, gwMX)},
		"below a DNAME":                   {Zone: siteZone, Before: mx("x.dname", 0), After: mx("x.dname", 300, gwMX)},
		"in another zone":                 {Zone: siteZone, Before: must(rrset.New("x.example.net", "MX", 0)), After: must(rrset.New("x.example.net", "MX", 1, gwMX))},
		"of a zone that is not there":     {Zone: "none.test.", Before: must(rrset.New("none.test", "MX", 0)), After: must(rrset.New("none.test", "MX", 1, gwMX))},
		"the SOA":                         {Zone: siteZone, Before: set("@", "SOA", 0), After: set("@", "SOA", 1, "x. x. 1 1 1 1 1")},
		"text that is read otherwise":     {Zone: siteZone, Before: set("q", "TXT", 0), After: set("q", "TXT", 300, `unquoted text`)},
		"two records in one":              {Zone: siteZone, Before: set("q", "TXT", 0), After: set("q", "TXT", 300, "\"a\"\nevil 1 IN A 127.0.0.1")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := Replace(t.Context(), p, c)
			if err == nil || errors.Is(err, ErrLied) || errors.Is(err, ErrInDoubt) {
				t.Errorf("Replace: %+v, %v; want a refusal before anything is written", r, err)
			}
		})
	}
}

// runCrowd changes many RRsets of one zone at once, through several providers
// that do not know of each other.
func runCrowd(t *testing.T, b bed, providers int) {
	var group sync.WaitGroup
	open := make([]Provider, providers)
	for i := range open {
		open[i] = b.open(t)
	}
	for i := range 50 {
		name := fmt.Sprintf("crowd%d", i)
		group.Go(func() {
			r, err := Replace(t.Context(), open[i%providers], rrset.Change{Zone: siteZone, Before: mx(name, 60, oldMX), After: mx(name, 60, gwMX)})
			if err != nil || !r.Written {
				t.Errorf("%s: %+v, %v", name, r, err)
			}
		})
	}
	group.Wait()
	for i := range 50 {
		if got := b.truth(t, fmt.Sprintf("crowd%d.", i)+siteZone, "MX"); !slices.Equal(got.Data, []string{gwMX}) {
			t.Errorf("crowd%d has %v", i, got)
		}
	}
}

// runInventory compares the whole zone with its master file.
func runInventory(t *testing.T, b bed) {
	sets, err := Zone(t.Context(), b.open(t), siteZone)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(sets, bySetName) {
		t.Error("the RRsets are not in order")
	}
	for _, want := range []rrset.Set{
		mx("@", 300, oldMX), mx("two", 300, oldMX, "20 old2.example.net."), mx(`sp\032ace.dot\.ted`, 300, `10 we\032ird.example.net.`),
		mx("*.wild", 300, "10 wild.example.net."), mx("null", 300, "0 ."), mx("upper", 300, oldMX), set("alias", "CNAME", 3600, "ns."+siteZone),
		set("sub", "NS", 3600, "ns."+siteZone), set("ns", "A", 3600, "127.0.0.1"), set("text", "TXT", 300, `"v=spf1 -all"`),
	} {
		if !slices.ContainsFunc(sets, want.Equal) {
			t.Errorf("the zone lacks %v", want)
		}
	}
	soas := slices.DeleteFunc(slices.Clone(sets), func(s rrset.Set) bool { return s.Type != "SOA" })
	if len(soas) != 1 || len(soas[0].Data) != 1 {
		t.Errorf("%d SOA RRsets", len(soas))
	}
	if slices.ContainsFunc(sets, func(s rrset.Set) bool { return strings.HasPrefix(s.Name, "host.sub.") }) {
		t.Error("records of the zone below are in it")
	}
}

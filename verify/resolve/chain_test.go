package resolve_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mxcutover/lab"
	"mxcutover/verify/resolve"
)

// signedWorld has a signed zone, one with a wildcard, and one that is unsigned.
func signedWorld(t *testing.T) (*lab.World, *resolve.Client, resolve.Anchors) {
	t.Helper()
	w, err := lab.Start(t.Context(), lab.Options{
		Domains: []lab.Domain{
			{Name: "signed.test", Signed: true},
			{Name: "*.wild.test", Kind: lab.Wildcard, Zone: "wild.test", Signed: true},
			{Name: "deep.below.signed.test", Kind: lab.Below},
			{Name: "plain.test"},
		},
		SenderRate: -1, SpamRate: -1, Lag: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	f := w.Facts()
	c := resolve.New(resolve.Settings{Port: f.DNSPort, Resolvers: []netip.AddrPort{netip.AddrPortFrom(f.Resolver, f.DNSPort)}, Timeout: 2 * time.Second, Rate: -1})
	t.Cleanup(func() {
		c.Close()
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	anchors, err := resolve.ParseAnchors(f.Anchor)
	if err != nil {
		t.Fatal(err)
	}
	return w, c, anchors
}

// worth is what one of the zone's servers says of a name's MX.
func worth(t *testing.T, c *resolve.Client, a resolve.Anchors, zone, name string, now time.Time) (resolve.Verdict, error) {
	t.Helper()
	ch, err := c.Chain(t.Context(), a, zone, now)
	if err != nil {
		return resolve.Verdict{}, err
	}
	servers, err := c.Servers(t.Context(), zone)
	if err != nil {
		t.Fatal(err)
	}
	return c.Validate(t.Context(), ch, servers[0].Addr, name, "MX", now)
}

func TestChainOfTrust(t *testing.T) {
	t.Parallel()
	w, c, anchors := signedWorld(t)
	now := time.Now()
	for _, k := range []struct {
		zone, name       string
		absent, insecure bool
	}{
		{"signed.test.", "signed.test.", false, false},
		{"signed.test.", "deep.below.signed.test.", false, false},
		{"signed.test.", "below.signed.test.", true, false},   // an empty non-terminal
		{"signed.test.", "nowhere.signed.test.", true, false}, // no such name
		{"wild.test.", "x.wild.test.", false, false},
		{"wild.test.", "wild.test.", true, false},
		{"plain.test.", "plain.test.", false, true},
		{"test.", "ns1.nic.test.", true, false},
	} {
		v, err := worth(t, c, anchors, k.zone, k.name, now)
		if err != nil || v.Absent != k.absent || (v.Insecure != "") != k.insecure {
			t.Errorf("%s: %+v, %v", k.name, v, err)
		}
	}
	for f, says := range map[lab.Fault]string{
		lab.Expired: "ended at", lab.Stripped: "no signature", lab.Rekeyed: "none of the keys",
	} {
		if err := w.Break("signed.test", f); err != nil {
			t.Fatal(err)
		}
		if v, err := worth(t, c, anchors, "signed.test.", "signed.test.", now); !errors.Is(err, resolve.ErrBogus) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %+v, %v; want %q", f, v, err, says)
		}
		if err := w.Break("signed.test", lab.Sound); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWrongDenialsAndTimes(t *testing.T) {
	t.Parallel()
	w, c, anchors := signedWorld(t)
	if err := w.Break("signed.test", lab.Unproven); err != nil {
		t.Fatal(err)
	}
	if v, err := worth(t, c, anchors, "signed.test.", "nowhere.signed.test.", time.Now()); !errors.Is(err, resolve.ErrBogus) {
		t.Errorf("a wrong NSEC record: %+v, %v", v, err)
	}
	if v, err := worth(t, c, anchors, "signed.test.", "signed.test.", time.Now().Add(-24*time.Hour)); !errors.Is(err, resolve.ErrBogus) || !strings.Contains(err.Error(), "begins at") {
		t.Errorf("before its signatures begin: %+v, %v", v, err)
	}
	iana, err := resolve.RootAnchors()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Chain(t.Context(), iana, "signed.test.", time.Now()); !errors.Is(err, resolve.ErrBogus) || !strings.Contains(err.Error(), "20326") {
		t.Errorf("another root: %v", err)
	}
	island, err := resolve.ParseAnchors("other. IN DS 1 13 2 " + strings.Repeat("ab", 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Chain(t.Context(), island, "signed.test.", time.Now()); err == nil || errors.Is(err, resolve.ErrBogus) {
		t.Errorf("no anchor above: %v", err)
	}
	deaf := resolve.New(resolve.Settings{Resolvers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}})
	defer deaf.Close()
	if _, err := deaf.Chain(t.Context(), anchors, "signed.test.", time.Now()); !errors.Is(err, resolve.ErrNoAnswer) || errors.Is(err, resolve.ErrBogus) {
		t.Errorf("nobody to ask: %v", err)
	}
}

// Keys that were asked for before are no reason to call new ones wrong, nor to
// believe in old ones.
func TestKeysThatChange(t *testing.T) {
	t.Parallel()
	w, c, anchors := signedWorld(t)
	ch, err := c.Chain(t.Context(), anchors, "signed.test.", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	servers, err := c.Servers(t.Context(), "signed.test.")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []lab.Fault{lab.Sound, lab.Rekeyed, lab.Sound, lab.Expired, lab.Sound, lab.Stripped} {
		if err := w.Break("signed.test", f); err != nil {
			t.Fatal(err)
		}
		v, err := c.Validate(t.Context(), ch, servers[0].Addr, "signed.test.", "MX", time.Now())
		if errors.Is(err, resolve.ErrBogus) != (f != lab.Sound) {
			t.Errorf("%q: %+v, %v", f, v, err)
		}
	}
}

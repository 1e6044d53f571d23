package verify_test

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/verify"
)

// apply makes a companion's change in the world, or takes it back.
func (b *bench) apply(t *testing.T, c plan.Companion) {
	t.Helper()
	if err := c.Change.Check(); err != nil {
		t.Fatal(err)
	}
	if err := b.world.Edit(c.Change.Zone, c.Change.After.Name, c.Change.After.Type, c.Change.After.TTL, c.Change.After.Data...); err != nil {
		t.Fatal(err)
	}
}

// one wants just one companion, and no finding.
func one(t *testing.T, all []plan.Companion, found []plan.Finding) plan.Companion {
	t.Helper()
	if len(all) != 1 || len(found) != 0 {
		t.Fatalf("%d companions, want one: %v%s", len(all), all, words(found))
	}
	c := all[0]
	if c.Why == "" || c.Late || c.Wait == 0 || c.Change.Before.Absent() || c.Change.After.TTL != c.Change.Before.TTL {
		t.Fatalf("%+v", c)
	}
	return c
}

func TestCompanionPinsSPF(t *testing.T) {
	t.Parallel()
	for _, k := range []struct{ name, zone, record, others string }{
		{"choir.test.", "choir.test.", "v=spf1 mx -all", ` "a site's \"own\" word"`},
		{"choir.test.", "choir.test.", "v=spf1 mx:other.test mx:choir.test ?all", ` "w; \255"`},
		{"*.wild.test.", "wild.test.", "v=spf1 mx -all", ""},
		{"choir.test.", "choir.test.", "v=spf1 mx:bare.test mx:x.wild.test -all", ""},
	} {
		t.Run(k.record, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.set.Outbound = []netip.Addr{b.facts.Old.Addr}
			data := []string{quoted(k.record)}
			if k.others != "" {
				data = append(data, k.others)
			}
			if err := b.world.Edit(k.zone, k.name, "TXT", 5, data...); err != nil {
				t.Fatal(err)
			}
			b.settle(t)
			x := cut(t, k.name, old, gws)
			x.Provider = "lab"
			all, found := b.checker(t, nil).Companions(t.Context(), x)
			c := one(t, all, found)
			if c.Check != "spf.future" || c.Wait != plan.Duration(5*time.Second) || c.Provider != "lab" {
				t.Errorf("check %q, wait %s, provider %s", c.Check, c.Wait, c.Provider)
			}
			pinned := fmt.Sprintf(`"v=spf1 ip4:%s %s"`, b.facts.Old.Addr, strings.TrimPrefix(k.record, "v=spf1 "))
			if len(c.Change.After.Data) != len(data) || !slices.Contains(c.Change.After.Data, pinned) {
				t.Errorf("after: %v", c.Change.After.Data)
			}
			for _, d := range c.Change.Before.Data {
				if !strings.Contains(d, "v=spf1") && !slices.Contains(c.Change.After.Data, d) {
					t.Errorf("%s is gone", d)
				}
			}
			b.apply(t, c)
			again := b.checker(t, nil)
			eventually(t, "the pinned record passes", func() bool {
				return plan.Judge(again.Only(t.Context(), x, "spf.future")) == plan.Pass
			})
			if all, found = again.Companions(t.Context(), x); len(all)+len(found) != 0 {
				t.Errorf("then still: %v%s", all, words(found))
			}
		})
	}
}

func TestCompanionChangesPolicyID(t *testing.T) {
	t.Parallel()
	furnish := func(text string, change func(*testing.T, *bench)) (*verify.Checker, plan.Cutover) {
		return sts(serves(text), change)(t)
	}
	listed := policy("enforce", "mail.old.test", "tls.choir.test")
	c, x := furnish(listed, func(t *testing.T, b *bench) {
		b.put(t, "_mta-sts.choir.test", "TXT", `"v=STSv1; id=20260101000000Z; x=y"`, `"other"`)
	})
	all, found := c.Companions(t.Context(), x)
	got := one(t, all, found)
	if got.Wait != plan.Duration(24*time.Hour+5*time.Second) {
		t.Errorf("wait %s", got.Wait)
	}
	id := ""
	for _, d := range got.Change.After.Data {
		if _, err := fmt.Sscanf(d, `"v=STSv1; id=%14s`, &id); err == nil && !strings.HasSuffix(d, `Z; x=y;"`) {
			t.Errorf("after: %s", d)
		}
	}
	if id == "" || id == "20260101000000" || len(got.Change.After.Data) != 2 || !slices.Contains(got.Change.After.Data, `"other"`) {
		t.Errorf("after: %v", got.Change.After.Data)
	}

	for what, k := range map[string]struct {
		text   string
		change func(*testing.T, *bench)
		want   plan.Severity
		says   string
	}{
		"the file does not list the host": {policy("enforce", "mail.old.test"), nil, plan.Fail, "https://mta-sts.choir.test/.well-known/mta-sts.txt"},
		"not in testing either":           {policy("testing", "mail.old.test"), nil, plan.Warn, "does not list"},
		"no file":                         {"hello", nil, plan.Unknown, "then plan anew"},
		"a wildcard answers": {listed, func(t *testing.T, b *bench) {
			b.put(t, "_mta-sts.choir.test", "TXT")
			b.put(t, "*.choir.test", "TXT", `"v=STSv1; id=1;"`)
		}, plan.Fail, "wildcard *.choir.test"},
		"an alias": {listed, func(t *testing.T, b *bench) {
			b.put(t, "_mta-sts.choir.test", "TXT")
			b.put(t, "_mta-sts.choir.test", "CNAME", "sts.choir.test.")
			b.put(t, "sts.choir.test", "TXT", `"v=STSv1; id=1;"`)
		}, plan.Fail, "is an alias"},
	} {
		t.Run(what, func(t *testing.T) {
			c, x := sts(serves(k.text), k.change)(t)
			all, found := c.Companions(t.Context(), x)
			if len(all) != 0 {
				t.Errorf("%+v", all)
			}
			judge(t, what, found, k.want, k.says)
			if k.want == plan.Fail && strings.Contains(what, "file") {
				if want := "the file's new text:\n" + policy("enforce", "mail.old.test", "tls.choir.test"); found[0].Evidence != want {
					t.Errorf("evidence %q, want %q", found[0].Evidence, want)
				}
			}
		})
	}
	c, x = furnish(policy("none"), nil)
	if all, found := c.Companions(t.Context(), x); len(all)+len(found) != 0 {
		t.Errorf("mode none: %v%s", all, words(found))
	}
}

func TestCompanionAddsTLSA(t *testing.T) {
	t.Parallel()
	for what, k := range map[string]struct{ wrong, kind string }{
		"beside SHA2-256": {"3 1 1 " + strings.Repeat("ab", 32), "3 1 1 "},
		"beside SHA2-512": {"3 1 2 " + strings.Repeat("ab", 64), "3 1 2 "}, // senders would pass 3 1 1 over there
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			addsTLSA(t, k.wrong, func(leaf *x509.Certificate) string {
				if k.kind == "3 1 2 " {
					return k.kind + spki512(leaf)
				}
				return k.kind + spki(leaf)
			})
		})
	}
}

func addsTLSA(t *testing.T, wrong string, of func(*x509.Certificate) string) {
	t.Helper()
	var b *bench
	right := ""
	_, x := dane("signed.test", func(t *testing.T, w *bench, _ *authority, leaf *x509.Certificate) {
		w.put(t, w.tlsa("tls.signed.test"), "TLSA", wrong)
		b, right = w, of(leaf)
	})(t)
	all, found := b.checker(t, nil).Companions(t.Context(), x)
	if len(all) != 0 {
		t.Errorf("%+v", all)
	}
	judge(t, "another's zone", found, plan.Fail, right)
	ours := func(s *verify.Settings) {
		s.Holder = func(name string) (string, string, bool) {
			return "signed.test.", "lab", name == b.tlsa("tls.signed.test")
		}
	}
	all, found = b.checker(t, ours).Companions(t.Context(), x)
	c := one(t, all, found)
	if want := []string{right, wrong}; c.Wait != plan.Duration(10*time.Second) || !slices.Equal(c.Change.After.Data, slices.Sorted(slices.Values(want))) {
		t.Errorf("%s: %v", c.Wait, c.Change.After.Data)
	}
	b.apply(t, c)
	again := b.checker(t, func(s *verify.Settings) { s.Shared = time.Nanosecond })
	eventually(t, "a record matches", func() bool {
		return plan.Judge(again.Only(t.Context(), x, "dane.future")) == plan.Pass
	})
}

func TestCompanionsOfAGoodDomain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.set.Outbound = []netip.Addr{b.facts.Old.Addr}
	x := cut(t, "choir.test.", old, gws)
	if all, found := b.checker(t, nil).Companions(t.Context(), x); len(all)+len(found) != 0 {
		t.Errorf("%v%s", all, words(found))
	}
	all, found := b.checker(t, nobody).Companions(t.Context(), x)
	if len(all) != 0 {
		t.Errorf("%v", all)
	}
	judge(t, "without a resolver", found, plan.Unknown, "could not find what must change first")
}

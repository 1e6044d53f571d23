package verify_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/verify"
)

// TestPolicyHostIsAskedOnce has many ask at once.
func TestPolicyHostIsAskedOnce(t *testing.T) {
	t.Parallel()
	var asked *atomic.Int32
	c, x := furnished(func(t *testing.T, b *bench) plan.Cutover {
		ca := newAuthority(t)
		b.set.HTTPSCA, b.set.Roots = ca.path, ca.pool()
		mail := ca.issue(t, "tls.choir.test")
		b.mailHost(t, "tls.choir.test", &mail)
		b.put(t, "_mta-sts.choir.test", "TXT", `"v=STSv1; id=1;"`)
		b.set.Planned = []rrset.MX{{Preference: 10, Host: "tls.choir.test."}}
		asked = b.policyHost(t, ca.issue(t, "mta-sts.choir.test"), serves(policy("enforce", "tls.choir.test")))
		return cut(t, "choir.test.", old, tlsHost)
	})(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { judge(t, "one of many", c.Only(t.Context(), x, "mtasts.future"), plan.Pass, "id is 1") })
	}
	wg.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// TestPolicyIDMustChange has a person add the new host to the file, forget the id,
// and remember it.
func TestPolicyIDMustChange(t *testing.T) {
	t.Parallel()
	var b *bench
	var listed atomic.Bool
	answer := func(w http.ResponseWriter, r *http.Request) {
		if listed.Load() {
			serves(policy("enforce", "mail.old.test", "tls.choir.test"))(w, r)
			return
		}
		serves(policy("enforce", "mail.old.test"))(w, r)
	}
	_, x := sts(answer, func(_ *testing.T, w *bench) { b = w })(t)
	c := b.checker(t, func(s *verify.Settings) { s.Shared = time.Nanosecond })
	ask := func() []plan.Finding { return c.Only(t.Context(), x, "mtasts.future") }
	judge(t, "not listed", ask(), plan.Fail, "does not list")
	listed.Store(true)
	judge(t, "the id is still the same", ask(), plan.Fail, "its id is still 1")
	b.put(t, "_mta-sts.choir.test", "TXT", `"v=STSv1; id=2;"`)
	eventually(t, "the new id is seen", func() bool { return plan.Judge(ask()) == plan.Pass })
	judge(t, "the new id", ask(), plan.Pass, "every sender has looked by")
}

// TestOldHostsLeaveThePolicy warns only when the domain has settled.
func TestOldHostsLeaveThePolicy(t *testing.T) {
	t.Parallel()
	var b *bench
	c, x := sts(serves(policy("enforce", "mail.old.test", "tls.choir.test")), func(_ *testing.T, w *bench) { b = w })(t)
	set := func(ttl uint32) rrset.Set {
		s, err := rrset.New("choir.test", "MX", ttl, tlsHost...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	x.Steps = append(x.Steps, plan.Step{ID: "settle", Kind: plan.Settle, Change: &rrset.Change{Zone: "choir.test.", Before: set(5), After: set(60)}})
	b.publish(t, "choir.test", "choir.test", tlsHost...)
	b.settle(t)
	judge(t, "while it soaks", c.Only(t.Context(), x, "mtasts.future"), plan.Pass, "")
	if err := b.world.Edit("choir.test", "choir.test", "MX", 60, tlsHost...); err != nil {
		t.Fatal(err)
	}
	b.settle(t)
	judge(t, "settled", c.Only(t.Context(), x, "mtasts.future"), plan.Warn, "still lists mail.old.test")
}

// TestNotConfiguredIsNotAsked wants what the configuration lacks said, and nothing passed.
func TestNotConfiguredIsNotAsked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c, x := b.checker(t, nil), cut(t, "choir.test.", old, gws)
	for id, key := range map[string]string{"spf.future": "outbound", "dkim": "dkim.selectors"} {
		if got := c.NotAsked()[id]; got != key {
			t.Errorf("%s lacks %q, want %q", id, got, key)
		}
		judge(t, id+", asked all the same", c.Only(t.Context(), x, id), plan.Unknown, "nothing was found")
	}
}

// TestHostsAreAskedOnce has many domains with the same new MX host.
func TestHostsAreAskedOnce(t *testing.T) {
	t.Parallel()
	var connections *atomic.Int32
	c, _ := furnished(func(t *testing.T, b *bench) plan.Cutover {
		mail := newAuthority(t).issue(t, "tls.signed.test")
		connections = b.mailHost(t, "tls.signed.test", &mail)
		b.put(t, b.tlsa("tls.signed.test"), "TLSA", "3 1 1 "+strings.Repeat("ab", 32))
		return plan.Cutover{}
	})(t)
	for _, name := range []string{"choir.test.", "grey.test.", "other.test.", "*.wild.test."} {
		x := cut(t, name, old, []string{"10 tls.signed.test."})
		judge(t, name, c.Only(t.Context(), x, "dane.future"), plan.Fail, "matches none")
		_, found := c.Companions(t.Context(), x)
		judge(t, name, found, plan.Fail, "none of ours")
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

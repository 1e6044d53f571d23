package rollout

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcutover/firewall"
	"mxcutover/plan"
	"mxcutover/state"
)

// A loadedFirewall is what a driver says: of the kernel, and of the next boot.
type loadedFirewall struct {
	firewall.Driver
	loaded firewall.Rules
	kept   firewall.Rules
	err    error
}

func (f loadedFirewall) Loaded(context.Context) (firewall.Rules, time.Time, error) {
	return f.loaded, time.Time{}, f.err
}

func (f loadedFirewall) Kept(_ context.Context, r firewall.Rules) (bool, error) {
	return len(f.kept.Ports) > 0 && len(firewall.Difference(f.kept, r)) == 0, f.err
}

type closedChecker struct{ Checker }

func (closedChecker) OldClosed(_ context.Context, port uint16) []plan.Finding {
	return []plan.Finding{{Check: "old.closed", Target: "outside", Severity: plan.Pass}}
}

// What was confirmed is looked at where it is loaded: flushed, edited, or gone with the
// next boot, is a failure, and what cannot be read is not passed.
func TestStaysClosed(t *testing.T) {
	t.Parallel()
	p := plan.Plan{Isolate: []plan.Step{
		{ID: "arm", Kind: plan.Arm, Ports: []uint16{25}},
		{ID: "confirm", Kind: plan.Confirm, Ports: []uint16{25}},
		{ID: "arm:2", Kind: plan.Arm, Ports: []uint16{465}},
		{ID: "confirm:2", Kind: plan.Confirm, Ports: []uint16{465}},
	}}
	st := state.NewStatus(p)
	if got := ClosedForGood(&p, st); len(got) > 0 || len(ClosedForGood(&p, nil)) > 0 {
		t.Errorf("nothing was confirmed: %v", got)
	}
	st.Isolation.Steps["confirm"] = state.StepRecord{Done: true}
	ports := ClosedForGood(&p, st)
	if !slices.Equal(ports, []uint16{25}) {
		t.Fatalf("confirmed: %v", ports)
	}
	gateway, stranger := []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}, netip.MustParsePrefix("0.0.0.0/0")
	holds := firewall.Rules{Ports: []uint16{25, 465}, Lasting: []uint16{25}, Trust: gateway}
	kept := firewall.Rules{Ports: []uint16{25}, Trust: gateway}
	edited := holds
	edited.Trust = append(slices.Clone(gateway), stranger)
	for name, c := range map[string]struct {
		f    loadedFirewall
		want plan.Severity
		says string
	}{
		"held":            {loadedFirewall{loaded: holds, kept: kept}, plan.Pass, "now and after the next boot"},
		"flushed":         {loadedFirewall{kept: kept}, plan.Fail, "it holds []"},
		"only armed":      {loadedFirewall{loaded: firewall.Rules{Ports: []uint16{25}, Trust: gateway}, kept: kept}, plan.Fail, "it holds []"},
		"until next boot": {loadedFirewall{loaded: holds}, plan.Fail, "next boot would open it"},
		"edited":          {loadedFirewall{loaded: edited, kept: kept}, plan.Fail, "edited its rules: - trusted network 192.0.2.1/32, + trusted network 0.0.0.0/0"},
		"out of reach":    {loadedFirewall{err: errors.New("ssh")}, plan.Unknown, "ssh"},
	} {
		w := World{Firewall: c.f, Checker: closedChecker{}, Trust: gateway}
		found := w.StaysClosed(t.Context(), Turn{}, ports)
		if len(found) != 2 || found[0].Severity != c.want || !strings.Contains(found[0].Detail, c.says) {
			t.Errorf("%s: %v, want %s: %s", name, found, c.want, c.says)
		}
		if more := w.StaysClosed(t.Context(), Turn{}, nil); len(more) > 0 {
			t.Errorf("%s: nothing was confirmed: %v", name, more)
		}
	}
}

// flushed lets another tool take our rules away.
func (s *scene) flushed() {
	s.world(func(w *sim) { w.closed, w.permanent = false, false })
}

// firewallIs is the last that was found at the old server's firewall.
func firewallIs(st *state.Status) plan.Severity {
	for _, f := range st.Isolation.Findings {
		if f.Check == "old.closed" && f.Target == "firewall" {
			return f.Severity
		}
	}
	return ""
}

// after tells all events of isolation since one.
func (s *scene) after(seq uint64) (out []state.Event) {
	s.Helper()
	for ev, err := range s.e.Journal.Events(s.Context(), seq) {
		if err != nil {
			s.Fatal(err)
		}
		if ev.Domain == "" && ev.Wave == "" && ev.Step != "" {
			out = append(out, ev)
		}
	}
	return out
}

// TestFlushedAfterConfirm lets another tool flush what was confirmed: that is seen and
// journaled once, nothing is loaded by itself, original TTLs do not come back, and a
// person begins anew with fresh proof, or opens it for good.
func TestFlushedAfterConfirm(t *testing.T) {
	t.Parallel()
	drifted := func(st *state.Status) bool { return st.Isolation.State == state.IsDrifted }
	confirmed := func(st *state.Status) bool { return st.Isolation.State == state.IsolationConfirmed }
	keep := state.Decision{Verb: state.Keep, Target: state.Isolate, Confirm: state.Isolate}
	t.Run("told once, and armed anew by a person", func(t *testing.T) {
		t.Parallel()
		play(t, setup{}, func(s *scene) {
			s.isolate()
			quiet := s.e.Journal.Status().Seq
			time.Sleep(3 * time.Hour)
			if more := s.after(quiet); len(more) > 0 {
				s.Errorf("while all is well: %+v", more)
			}
			s.flushed()
			at := time.Now()
			st := s.until("it is seen", drifted)
			if took := time.Since(at); took > 11*time.Minute {
				s.Errorf("seen after %v", took)
			}
			if !st.Isolation.Waiting() || !strings.Contains(st.Isolation.Reason, "somebody else has changed its rules") || firewallIs(st) != plan.Fail {
				s.Errorf("%+v", st.Isolation)
			}
			seq := st.Seq
			time.Sleep(24 * time.Hour)
			if more := s.after(seq); len(more) > 0 {
				s.Errorf("told again: %+v", more)
			}
			s.world(func(w *sim) {
				if w.isClosed() {
					s.Error("it was closed again by itself")
				}
			})
			for _, d := range s.e.Journal.Status().Domains {
				if d.State == state.Settled {
					s.Errorf("%s is settled, though the old server is open", d.Domain)
				}
			}
			s.do(state.Decision{Verb: state.Retry, Target: state.Isolate})
			s.until("it is proven anew", func(st *state.Status) bool { return st.Isolation.State == state.IsolationProven })
			s.do(keep)
			s.until("it is confirmed anew", confirmed)
		})
	})
	t.Run("there again", func(t *testing.T) {
		t.Parallel()
		play(t, setup{}, func(s *scene) {
			s.isolate()
			s.flushed()
			s.until("it is seen", drifted)
			s.world(func(w *sim) { w.closed, w.permanent = true, true })
			st := s.until("it is there again", confirmed)
			if st.Isolation.Waiting() || st.Isolation.Reason != "" || firewallIs(st) != plan.Pass {
				s.Errorf("%+v", st.Isolation)
			}
			s.reaches(first, state.Settled)
		})
	})
	t.Run("the boot file is gone", func(t *testing.T) {
		t.Parallel()
		play(t, setup{}, func(s *scene) {
			s.isolate()
			s.world(func(w *sim) { w.kept = false })
			st := s.until("it is seen", drifted)
			if !strings.Contains(st.Isolation.Reason, "next boot would open it") {
				s.Errorf("reason: %s", st.Isolation.Reason)
			}
			s.do(state.Decision{Verb: state.Retry, Target: state.Isolate})
			s.until("it is proven anew", func(st *state.Status) bool { return st.Isolation.State == state.IsolationProven })
			s.do(keep)
			s.until("it is confirmed anew", confirmed)
			s.world(func(w *sim) {
				if !w.kept || !w.isClosed() {
					s.Error("the next boot would open it")
				}
			})
		})
	})
	t.Run("found by the next engine", func(t *testing.T) {
		t.Parallel()
		play(t, setup{}, func(s *scene) {
			s.isolate()
			s.stop()
			s.flushed()
			s.start(nil)
			at := time.Now()
			s.until("it is seen", drifted)
			if took := time.Since(at); took > time.Minute {
				s.Errorf("seen after %v", took)
			}
		})
	})
	t.Run("lifted", func(t *testing.T) {
		t.Parallel()
		play(t, setup{}, func(s *scene) {
			s.isolate()
			s.world(func(w *sim) { w.kept = false })
			s.until("it is seen", drifted)
			s.do(state.Decision{Verb: state.Lift, Target: state.Isolate})
			s.until("it is lifted", func(st *state.Status) bool { return st.Isolation.State == state.IsolationLifted })
			seq := s.e.Journal.Status().Seq
			time.Sleep(3 * time.Hour)
			if more := s.after(seq); len(more) > 0 {
				s.Errorf("what was lifted is looked at: %+v", more)
			}
		})
	})
	t.Run("a rollback goes first", func(t *testing.T) {
		t.Parallel()
		play(t, setup{}, func(s *scene) {
			s.isolate()
			s.world(func(w *sim) { w.kept = false })
			s.until("it is seen", drifted)
			s.rollback(state.DomainTarget(first))
			s.reaches(first, state.IsRolledBack)
			s.original(first)
		})
	})
	t.Run("a run that ends when a person is needed", func(t *testing.T) {
		t.Parallel()
		play(t, setup{policy: func(p *Policy) { p.SettleAfter = 365 * 24 * time.Hour }}, func(s *scene) {
			s.isolate()
			s.stop()
			s.flushed()
			s.start(func(p *Policy) { p.ExitHeld = true })
			if err := <-s.done; !errors.Is(err, ErrPersonNeeded) {
				s.Errorf("the run ended with %v", err)
			}
			s.done <- nil
			if st := s.e.Journal.Status(); st.Isolation.State != state.IsDrifted {
				s.Errorf("it is %s", st.Isolation.State)
			}
		})
	})
}

// TestFirewallOutOfReach cannot ask the old server's firewall for a day: that is told
// once, is no drift, and is asked less and less often.
func TestFirewallOutOfReach(t *testing.T) {
	t.Parallel()
	play(t, setup{policy: func(p *Policy) { p.SettleAfter = 365 * 24 * time.Hour }}, func(s *scene) {
		s.isolate()
		s.world(func(w *sim) { w.unreadable = true })
		s.until("it is told", func(st *state.Status) bool { return firewallIs(st) == plan.Unknown })
		seq := s.e.Journal.Status().Seq
		asked := 0
		s.world(func(w *sim) { asked = w.reads })
		time.Sleep(24 * time.Hour)
		if more := s.after(seq); len(more) > 0 {
			s.Errorf("told again: %+v", more)
		}
		s.world(func(w *sim) {
			if n := w.reads - asked; n < 20 || n > 30 {
				s.Errorf("asked %d times in a day", n)
			}
			w.unreadable = false
		})
		if st := s.e.Journal.Status(); st.Isolation.State != state.IsolationConfirmed {
			s.Errorf("it is %s: %s", st.Isolation.State, st.Isolation.Reason)
		}
		s.until("it is over", func(st *state.Status) bool { return firewallIs(st) == plan.Pass })
		s.flushed()
		s.until("what happens then is seen", func(st *state.Status) bool { return st.Isolation.State == state.IsDrifted })
	})
}

// TestIncompleteThenBooted dies between the kernel and the boot file of confirm: that
// is found and held. A boot then opens the old server, and that is told, too.
func TestIncompleteThenBooted(t *testing.T) {
	t.Parallel()
	play(t, setup{}, func(s *scene) {
		s.observed()
		s.do(state.Decision{Verb: state.Approve, Target: state.Isolate})
		s.until("it is proven", func(st *state.Status) bool { return st.Isolation.State == state.IsolationProven })
		s.world(func(w *sim) { w.dieUnkept = true })
		s.do(state.Decision{Verb: state.Keep, Target: state.Isolate, Confirm: state.Isolate})
		s.until("it dies", func(*state.Status) bool {
			dead := false
			s.world(func(*sim) { dead = s.life.dead })
			return dead
		})
		s.stop()
		s.start(nil)
		st := s.until("it is held", func(st *state.Status) bool {
			return strings.HasPrefix(st.Isolation.Reason, "confirm: confirm-incomplete")
		})
		if firewallIs(st) != plan.Warn {
			s.Errorf("%+v", st.Isolation.Findings)
		}
		seq := st.Seq
		time.Sleep(3 * time.Hour)
		if more := s.after(seq); len(more) > 0 {
			s.Errorf("told again: %+v", more)
		}
		s.world(func(w *sim) { w.reboot() })
		s.until("it is told that it is open", func(st *state.Status) bool {
			return st.Isolation.Held && strings.Contains(st.Isolation.Reason, "the old server is open again")
		})
		s.do(state.Decision{Verb: state.Retry, Target: state.Isolate})
		s.until("it is proven anew", func(st *state.Status) bool { return st.Isolation.State == state.IsolationProven })
		s.do(state.Decision{Verb: state.Keep, Target: state.Isolate, Confirm: state.Isolate})
		s.until("it is confirmed", func(st *state.Status) bool { return st.Isolation.State == state.IsolationConfirmed })
	})
}

// leadsChecker tells of each name whether it leads to the old server.
type leadsChecker struct {
	Checker
	leads map[string]bool
}

func (c leadsChecker) LeadsToOld(_ context.Context, _, name string) (bool, string, error) {
	leads, asked := c.leads[name]
	if !asked {
		return false, "", errors.New("no answer")
	}
	return leads, "10 mail.old.test.", nil
}

// TestLeadsBack asks about every name once the old server is closed, moved or left: one
// that leads there is a failure, and one that could not be asked about is not passed.
func TestLeadsBack(t *testing.T) {
	t.Parallel()
	p := plan.Plan{
		Waves: []plan.Wave{{Cutovers: []plan.Cutover{{Domain: "a.test.", Zone: "a.test."}, {Domain: "b.test.", Zone: "b.test."}, {Domain: "c.test.", Zone: "c.test."}}}},
		Left:  []plan.Left{{Domain: "left.test.", Zone: "left.test."}},
	}
	c := leadsChecker{leads: map[string]bool{"a.test.": false, "b.test.": true, "left.test.": true}}
	found, err := World{Checker: c}.LeadsBack(t.Context(), &p)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]plan.Severity{}
	for _, f := range found {
		got[f.Target] = f.Severity
		if f.At.IsZero() || f.Severity == plan.Fail && !strings.Contains(f.Detail, "its mail is refused") {
			t.Errorf("%+v", f)
		}
	}
	want := map[string]plan.Severity{"b.test": plan.Fail, "c.test": plan.Unknown, "left.test": plan.Fail, "all": plan.Pass}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

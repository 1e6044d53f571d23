package verify_test

import (
	"strings"
	"testing"

	"github.com/miekg/dns"

	"mxcutover/plan"
	"mxcutover/verify"
)

// TestNoViewLeadsToOld: whether the old server may be closed is asked in every view,
// of names of the plan, too. What could not be asked in one is no answer.
func TestNoViewLeadsToOld(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, c := range map[string]struct {
		zone, domain, inside string
		leads                bool
		says                 string
	}{
		"both":                        {"choir.test.", "choir.test.", "10 mail.old.test.", true, "says"},
		"outside alone":               {"choir.test.", "choir.test.", "10 gw1.gw.test.", true, "says"},
		"inside alone":                {"other.test.", "other.test.", "10 mail.old.test.", true, "in view inside"},
		"neither":                     {"other.test.", "other.test.", "10 gw1.gw.test.", false, ""},
		"a wildcard, inside":          {"wild.test.", "*.wild.test.", "10 gw1.gw.test.", true, "says"},
		"in no zone of ours, inside":  {"", "lan.test.", "10 mail.old.test.", true, "in view inside"},
		"in no zone of ours":          {"", "choir.test.", "10 gw1.gw.test.", true, "in view public"},
		"in no zone of ours, neither": {"", "lan.test.", "10 gw1.gw.test.", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checker := b.checker(t, func(s *verify.Settings) { inside(t, s, c.inside) })
			leads, why, err := checker.LeadsToOld(t.Context(), c.zone, c.domain)
			if err != nil || leads != c.leads || !strings.Contains(why, c.says) {
				t.Errorf("%v (%s), %v", leads, why, err)
			}
		})
	}
	star := b.checker(t, func(s *verify.Settings) { // a wildcard is asked for by a name that only it answers
		at := resolver(t, func(q *dns.Msg) *dns.Msg {
			m := new(dns.Msg).SetReply(q)
			if n := q.Question[0].Name; q.Question[0].Qtype == dns.TypeMX && !strings.HasPrefix(n, "*") {
				m.Answer = []dns.RR{&dns.MX{Hdr: dns.RR_Header{Name: n, Rrtype: dns.TypeMX, Class: dns.ClassINET, Ttl: 60}, Preference: 10, Mx: "mail.old.test."}}
			}
			return m
		})
		s.Resolvers = append(s.Resolvers, verify.Resolver{View: "inside", Addr: at})
	})
	if leads, why, err := star.LeadsToOld(t.Context(), "other.test.", "*.other.test."); err != nil || !leads || !strings.Contains(why, "in view inside") {
		t.Errorf("a wildcard inside: %v (%s), %v", leads, why, err)
	}
	down := b.checker(t, func(s *verify.Settings) {
		at := resolver(t, func(q *dns.Msg) *dns.Msg { return new(dns.Msg).SetRcode(q, dns.RcodeServerFailure) })
		s.Resolvers = append(s.Resolvers, verify.Resolver{View: "inside", Addr: at})
	})
	if _, _, err := down.LeadsToOld(t.Context(), "other.test.", "other.test."); err == nil || !strings.Contains(err.Error(), "view inside") {
		t.Errorf("a view that cannot be asked is passed over: %v", err)
	}
}

// TestAliasThatLeadsToOld: a name of the plan that became an alias is followed, though
// no server of its zone says where it leads.
func TestAliasThatLeadsToOld(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.edit(t, "choir.test", "news.choir.test", "CNAME", "other.test.")
	b.edit(t, "choir.test", "gone.choir.test", "CNAME", "choir.test.")
	b.publish(t, "other.test", "other.test", gws...)
	checker := b.checker(t, nil)
	for name, want := range map[string]bool{"news.choir.test.": false, "gone.choir.test.": true} {
		if leads, why, err := checker.LeadsToOld(t.Context(), "choir.test.", name); err != nil || leads != want {
			t.Errorf("%s: %v (%s), %v", name, leads, why, err)
		}
	}
}

// TestTheViewThatMovesIsAskedFirst: which one that is the configuration says.
func TestTheViewThatMovesIsAskedFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, c := range map[string]struct {
		view  string
		names []string
		want  string
	}{
		"said":       {"outside", []string{"inside", "outside", "public"}, "outside"},
		"not said":   {"", []string{"inside", "public"}, "public"},
		"not public": {"", []string{"b", "a"}, "b"},
		"unknown":    {"none", []string{"b", "a"}, "b"},
	} {
		checker := b.checker(t, func(s *verify.Settings) {
			at := s.Resolvers[0].Addr
			s.View, s.Resolvers = c.view, nil
			for _, n := range c.names {
				s.Resolvers = append(s.Resolvers, verify.Resolver{View: n, Addr: at})
			}
		})
		views := checker.Views()
		if views[0].Name() != c.want || len(views) != len(c.names) {
			t.Errorf("%s: %s is first of %d", name, views[0].Name(), len(views))
		}
	}
	checker := b.checker(t, func(s *verify.Settings) { inside(t, s, "10 mail.old.test.") })
	found := checker.Some(t.Context(), verify.After, cut(t, "choir.test.", old, gws), func(id string) bool { return id == "mx.views" })
	if len(found) != 1 || found[0].Severity != plan.Fail || found[0].Target != "choir.test (inside)" {
		t.Errorf("%+v", found)
	}
	if one := b.checker(t, nil).NotAsked()["mx.views"]; one == "" {
		t.Error("with one view it is asked")
	}
}

//go:build site

package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	real "mxcutover/lab/site"
)

// plans surveys the site and plans, after some mail.
func (s *story) plans() {
	s.Helper()
	s.messages(measureMail)
	inventory := s.types(0, "inventory")
	for _, d := range s.w.Hosted() {
		if !strings.Contains(inventory, d+" ") {
			s.Fatalf("the inventory has no %s:\n%s", d, inventory)
		}
	}
	s.types(0, "plan")
	show := s.types(0, "plan", "show")
	s.Log(show)
	for _, want := range []string{"pilot", "wave-2", "wave-3"} {
		if !strings.Contains(show, want) {
			s.Fatalf("the plan has no %s:\n%s", want, show)
		}
	}
	s.types(0, "preflight", "--domain", s.w.Zones[0])
}

// waves are the plan's.
var siteWaves = []string{"pilot", "wave-2", "wave-3"}

// goesLive takes each wave through, and approves the next.
func (s *story) goesLive() {
	s.Helper()
	for i, wave := range siteWaves {
		s.until(wave+" is live", 3*time.Minute, func(ev told) bool { return ev.Kind == "wave-live" && ev.Wave == wave })
		if i+1 < len(siteWaves) {
			s.types(0, "approve", "--wave", siteWaves[i+1])
		}
	}
}

// insideMoves is the operator who mends the inside view by hand.
func (s *story) insideMoves() {
	s.Helper()
	for _, z := range s.w.Split {
		text := fmt.Sprintf("server %s\nzone %s\nupdate delete %[2]s MX\n", real.PrimaryAddr.V4(), z)
		for i, h := range real.GatewayHosts {
			text += fmt.Sprintf("update add %s 5 MX %d %s.\n", z, 10*(i+1), h)
		}
		if err := s.w.Update(s.ctx, s.w.InsideKey, text); err != nil {
			s.Fatal(err)
		}
	}
}

// isolates closes the old server. Before the inside view is mended it is refused.
func (s *story) isolates() {
	s.Helper()
	isolation := func(kind, step string) func(told) bool {
		return func(ev told) bool { return ev.Domain == "" && ev.Wave == "" && ev.Kind == kind && ev.Step == step }
	}
	s.expected = isolation("failed", "observe")
	ev := s.until("isolation is refused for the sake of the inside view", 4*time.Minute, isolation("failed", "observe"))
	if !strings.Contains(ev.raw, "in view inside") {
		s.Errorf("isolation failed for another reason: %s", ev.raw)
	}
	s.insideMoves()
	s.waits("the inside view's caches", 30*time.Second, func() error { return s.insideLetsGo() })
	s.types(0, "retry", "--isolate")
	s.observed()
	s.expected = nil
	s.types(0, "approve", "--isolate")
	s.until("proven", 2*time.Minute, isolation("done", "prove"))
	s.types(0, "isolate", "confirm", "--confirm", "isolate")
	s.until("the old server is closed", 2*time.Minute, isolation("done", "confirm"))
}

// observed waits until isolation is earned. Who still came past the gateway a moment ago
// is waited for, as an operator does, and a server at which many spoke is looked at again.
func (s *story) observed() {
	s.Helper()
	for range 8 {
		ev := s.until("isolation was looked at", 8*time.Minute, func(ev told) bool {
			return ev.Domain == "" && ev.Wave == "" && ev.Step == "observe" && (ev.Kind == "done" || ev.Kind == "failed")
		})
		if ev.Kind == "done" {
			return
		}
		if !strings.Contains(ev.Reason, "old.stragglers") && !strings.Contains(ev.Reason, "sources spoke at once") {
			s.Fatalf("isolation failed for another reason: %s", ev.raw)
		}
		s.messages(30)
		s.types(0, "retry", "--isolate")
	}
	s.Fatal("isolation is not earned")
}

// insideLetsGo asks the inside resolver whether the domains lead to the gateway there.
func (s *story) insideLetsGo() error {
	for _, z := range s.w.Split {
		out, err := s.w.Operator.Output(s.ctx, "dig", "+short", "@"+real.InsideAddr.V4().String(), z, "MX")
		if err != nil {
			return err
		}
		if strings.Contains(string(out), "old.test") {
			return fmt.Errorf("%s leads to the old server inside: %s", z, out)
		}
	}
	return nil
}

// stays leaves the site up, with its mail, for a person who tries each command, until
// Ctrl-C. The mail is counted then.
func stays(s *story) []tableRow {
	interrupted, stop := signal.NotifyContext(s.ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	row := tableRow{name: "by hand", before: time.Now()}
	fmt.Printf(`The site is up, and mail goes on. In another terminal, as the operator:

  ip netns exec %s bash
  cd %s
  export PATH=%s:$PATH MXCUTOVER_CONFIG=%s
  mxcutover inventory

The mailboxes of the old server are in %s, its log is %s,
the gateway's are %s and %s; named's zones are in %s.
A record is changed by hand, as the operator, with "server %s", a zone and an update to nsupdate -y hmac-sha256:%s:$(cat tsig.key);
in the inside view of %s, which must be moved by hand before the old server can be closed, with -y hmac-sha256:%s:$(cat inside.key).
Ctrl-C here counts the mail, and takes the site away.
`, s.w.Operator.Name, s.dir, filepath.Dir(s.bin), s.config(), s.w.Postfix.Mail, s.w.Postfix.Log(), s.w.Exim[0].Log(), s.w.Exim[1].Log(), s.w.BIND.Dir,
		real.PrimaryAddr.V4(), s.w.Key.Name, strings.Join(s.w.Split, " and "), s.w.InsideKey.Name)
	<-interrupted.Done()
	row.migrated = time.Now()
	s.spam.End()
	s.count(&row)
	return []tableRow{row}
}

// undisturbed is the whole way, with nothing that goes wrong.
func undisturbed(s *story) []tableRow {
	row := tableRow{name: "undisturbed", before: time.Now()}
	s.plans()
	row.migrated = time.Now()
	spamBefore := s.spam.Count()
	s.run()
	s.goesLive()
	s.isolates()
	row.closed = time.Now()
	spamClosed := s.spam.Count()
	s.messages(measureMail)
	if code := s.engine.end(s.T, 2*time.Minute); code != 0 {
		s.Fatalf("the engine ended with exit code %d: %s", code, strings.Join(s.engine.words, "\n"))
	}
	if st := s.status(); !st.Over || slices.ContainsFunc(st.Domains, func(d struct{ Domain, Wave, State, Reason string }) bool { return d.State != "settled" }) {
		s.Errorf("it is not over: %+v", st)
	}
	row.ended = time.Now()
	s.Log(s.types(0, "verify"))
	s.Log(s.types(0, "report"))
	spamAfter := s.spam.End()
	if spamAfter.LetIn-spamClosed.LetIn > 2*spamAtOnce || spamAfter.Refused == spamClosed.Refused {
		s.Errorf("the spammer still gets in: %+v when it was closed, %+v now", spamClosed, spamAfter)
	}
	s.Logf("the spammer: %+v before, %+v when it was closed, %+v at the end", spamBefore, spamClosed, spamAfter)
	s.count(&row)
	s.took(&row)
	return []tableRow{row}
}

//go:build site

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	real "mxcutover/lab/site"
)

// stateSize is that of the disk that the journal lies on.
const stateSize = "48m"

// smallDisk puts the journal on a disk of its own.
func (s *story) smallDisk() {
	s.Helper()
	dir := filepath.Join(s.dir, "state")
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+stateSize+",mode=0700"); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			s.Error(err)
		}
	})
}

// fills writes to the journal's disk until that is full.
func (s *story) fills() (path string) {
	s.Helper()
	path = filepath.Join(s.dir, "state", "somebody.elses")
	f, err := os.Create(path)
	if err != nil {
		s.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<16); err == nil; {
		if _, err = f.Write(block); err != nil && len(block) > 512 {
			block, err = block[:len(block)/2], nil
		}
	}
	return path
}

// kind tells events of one kind, of a domain or a wave.
func kind(kind string, of ...string) func(told) bool {
	return func(ev told) bool {
		return ev.Kind == kind && (len(of) == 0 || slices.Contains(of, strings.TrimSuffix(ev.Domain, ".")) || ev.Wave != "" && slices.Contains(of, ev.Wave))
	}
}

// expecting lets the trouble of a fault be.
func (s *story) expecting(is func(told) bool) { s.expected = is }

// withFaults is the way with everything that goes wrong, then back again.
func withFaults(s *story) []tableRow {
	row := tableRow{name: "faults", before: time.Now()}
	s.smallDisk()
	s.plans()
	before := s.records()
	row.migrated = time.Now()
	s.run()
	s.nameServerCutOff()
	s.until("pilot is live", 2*time.Minute, kind("wave-live", "pilot"))
	s.nodeStopped()
	edited := s.operatorEdits()
	s.until("wave-2 is live", 2*time.Minute, kind("wave-live", "wave-2"))
	reverted := s.generatorReverts()
	s.killed(edited)
	s.insideMoves()
	s.waits("the inside view's caches", 30*time.Second, func() error { return s.insideLetsGo() })
	s.revertedHolds(reverted)
	s.cutWhileArming()
	row.closed = time.Now()
	s.messages(measureMail)
	row.ended = time.Now()
	if code := s.engine.end(s.T, 2*time.Minute); code != 0 {
		s.Fatalf("the engine ended with exit code %d: %s", code, strings.Join(s.engine.words, "\n"))
	}
	back := tableRow{name: "rollback", before: time.Now()}
	first := s.mail
	s.mail = s.w.Send(s.ctx, mailEvery)
	s.countOf(first, &row)
	s.took(&row)
	back.migrated = time.Now()
	s.rollsBack(before, edited)
	back.ended = time.Now()
	s.messages(measureMail / 3)
	s.spam.End()
	s.count(&back)
	return []tableRow{row, back}
}

// nameServerCutOff cuts the secondary off just before the pilot is published: what it does
// not show is not taken for published, and all goes on by itself once it is back.
func (s *story) nameServerCutOff() {
	s.Helper()
	s.until("a domain of the pilot is about to be published", 2*time.Minute, func(ev told) bool {
		return ev.Kind == "done" && ev.Step == "await-ttl" && ev.Wave == "pilot"
	})
	if err := s.w.Second.Cut(true); err != nil {
		s.Fatal(err)
	}
	s.messages(60)
	for _, ev := range s.engine.events {
		if ev.Kind == "done" && ev.Step == "propagate" {
			s.Errorf("a name server is cut off, and it was taken for published everywhere: %s", ev.raw)
		}
	}
	if err := s.w.Second.Cut(false); err != nil {
		s.Fatal(err)
	}
}

// nodeStopped stops the first node of the gateway for a minute, and fills the disk
// meanwhile: what is live goes on by the other node, and nothing new moves.
func (s *story) nodeStopped() {
	s.Helper()
	if err := s.w.Exim[0].Quit(); err != nil {
		s.Fatal(err)
	}
	stopped := time.Now()
	s.types(0, "approve", "--wave", "wave-2")
	low := false
	s.expecting(func(ev told) bool {
		low = low || ev.Kind == "disk-low"
		return ev.Kind == "disk-low" || ev.Wave == "wave-2" && slices.Contains([]string{"held", "failed", "wave-held"}, ev.Kind)
	})
	ev := s.until("wave-2 is held", time.Minute, kind("wave-held", "wave-2"))
	held := 0
	for _, d := range s.status().Domains {
		if d.Wave == "wave-2" && d.State == "held" && strings.Contains(d.Reason, "gw1.gw.test") {
			held++
		}
	}
	if held == 0 {
		s.Errorf("no domain is held for the sake of gw1: %s\n%+v", ev.raw, s.status())
	}
	elses := s.fills()
	s.until("the disk is full", 90*time.Second, kind("disk-low"))
	for time.Since(stopped) < time.Minute {
		s.messages(10)
	}
	if err := s.w.Gateways[0].In(func() error { return s.w.Exim[0].Restart(s.ctx) }); err != nil {
		s.Fatal(err)
	}
	if err := os.Remove(elses); err != nil {
		s.Fatal(err)
	}
	s.until("the disk has room again", 90*time.Second, kind("disk-free"))
	s.types(0, "retry", "--wave", "wave-2")
	s.until("wave-2 goes on", time.Minute, func(ev told) bool { return ev.Kind == "intended" && ev.Wave == "wave-2" && ev.Step == "publish" })
	s.expecting(nil)
}

// operatorEdits is an edit in BIND of a domain that has not moved: a second name of the
// old server.
func (s *story) operatorEdits() (domain string) {
	s.Helper()
	for _, d := range s.status().Domains {
		if d.Wave == "wave-3" && !slices.Contains(slices.Concat(siteSPF, siteTwoMX, siteSplit), d.Domain) {
			domain = d.Domain
		}
	}
	zone := s.zoneOf(domain)
	if err := s.w.Update(s.ctx, s.w.Key, fmt.Sprintf("server %s\nzone %s\nupdate add %s 5 MX 50 mx2.old.test.\n", real.PrimaryAddr.V4(), zone, domain)); err != nil {
		s.Fatal(err)
	}
	s.Logf("the operator edits %s", domain)
	return domain
}

func (s *story) zoneOf(domain string) string {
	if slices.Contains(s.w.Zones, domain) {
		return domain
	}
	_, zone, _ := strings.Cut(domain, ".")
	return zone
}

// generatorReverts is a zone generator that does not know of the migration: a live
// domain leads to the old server again.
func (s *story) generatorReverts() (domain string) {
	s.Helper()
	for _, d := range s.status().Domains {
		if d.Wave == "pilot" {
			domain = d.Domain
		}
	}
	s.generates(domain, "20 MX 10 mail.old.test.")
	if out := s.types(7, "verify", "--domain", domain); !strings.Contains(out, "mail.old.test") {
		s.Errorf("verify does not say that %s leads to the old server:\n%s", domain, out)
	}
	return domain
}

// generates writes a domain's MX records as a zone generator does: whatever was there.
func (s *story) generates(domain string, records ...string) {
	s.Helper()
	text := fmt.Sprintf("server %s\nzone %s\nupdate delete %s MX\n", real.PrimaryAddr.V4(), s.zoneOf(domain), domain)
	for _, r := range records {
		text += fmt.Sprintf("update add %s %s\n", domain, r)
	}
	if err := s.w.Update(s.ctx, s.w.Key, text); err != nil {
		s.Fatal(err)
	}
	s.Logf("a zone generator writes %s: %s", domain, strings.Join(records, ", "))
}

// revertedHolds wants the old server not to be closed while the domain that the
// generator reverted leads there; then the generator is mended.
func (s *story) revertedHolds(domain string) {
	s.Helper()
	isObserve := func(ev told) bool {
		return ev.Domain == "" && ev.Wave == "" && ev.Kind == "failed" && ev.Step == "observe"
	}
	s.expecting(isObserve)
	if ev := s.until("isolation is refused for the sake of "+domain, 4*time.Minute, isObserve); !strings.Contains(ev.raw, domain) {
		s.Errorf("isolation failed for another reason: %s", ev.raw)
	}
	s.generates(domain, "5 MX 10 gw1.gw.test.", "5 MX 20 gw2.gw.test.")
	s.waits("the world's caches", time.Minute, func() error {
		out, err := s.w.Operator.Output(s.ctx, "dig", "+short", "@"+real.ResolverAddr.V4().String(), domain, "MX")
		if err == nil && strings.Contains(string(out), "old.test") {
			err = fmt.Errorf("it leads to %s", out)
		}
		return err
	})
	s.types(0, "retry", "--isolate")
}

// kill ends the engine by SIGKILL.
func (s *story) kill() {
	s.Helper()
	s.engine.signal(s.T, syscall.SIGKILL)
	s.engine.end(s.T, 10*time.Second)
	s.Logf("the engine was killed, after %d events", len(s.engine.events))
}

// killed takes the last wave through three kills at random moments, and decides about
// the domain that the operator edited.
func (s *story) killed(edited string) {
	s.Helper()
	s.expecting(kind("drifted", edited))
	s.types(0, "approve", "--wave", "wave-3")
	for range 3 {
		for range 20 + rand.IntN(200) {
			ev := s.next("it is killed", time.Minute)
			if ev.Kind == "wave-live" {
				break
			}
		}
		s.kill()
		s.run("--resume-waves")
		s.until("the engine is at work again", time.Minute, kind("started"))
	}
	s.decides(edited)
	s.until("wave-3 is live", 3*time.Minute, kind("wave-live", "wave-3"))
	s.expecting(nil)
}

// decides builds upon what the operator wrote, once it is seen.
func (s *story) decides(edited string) {
	s.Helper()
	s.waits(edited+" is drifted", 2*time.Minute, func() error {
		for s.engine.wait(1, 10*time.Millisecond) && s.seen < len(s.engine.events) {
			s.next("the operator's edit is seen", time.Second)
		}
		for _, d := range s.status().Domains {
			if d.Domain == edited && d.State != "drifted" {
				return fmt.Errorf("it is %s", d.State)
			}
		}
		return nil
	})
	s.types(0, "retry", "--domain", edited, "--adopt")
}

// cutWhileArming cuts the way to the old server as soon as it is armed: it opens by
// itself, and is armed and kept once the way is there again.
func (s *story) cutWhileArming() {
	s.Helper()
	isolation := func(kind, step string) func(told) bool {
		return func(ev told) bool { return ev.Domain == "" && ev.Wave == "" && ev.Kind == kind && ev.Step == step }
	}
	s.expecting(func(ev told) bool { return ev.Domain == "" && (ev.Kind == "held" || ev.Kind == "failed") })
	s.observed()
	s.types(0, "approve", "--isolate")
	s.waits("it is armed", 5*time.Minute, func() error {
		tables, err := s.w.Old.Output(s.ctx, "nft", "list", "tables")
		if err != nil || slices.Contains(strings.Split(string(tables), "\n"), "table inet mxcutover") {
			return err
		}
		for s.engine.wait(1, 10*time.Millisecond) && s.seen < len(s.engine.events) {
			if ev := s.next("it is armed", time.Second); ev.Domain == "" && ev.Wave == "" && trouble(ev) {
				s.messages(30) // what forbade it a moment ago is waited for
				s.types(0, "retry", "--isolate")
			}
		}
		return fmt.Errorf("it has %q", tables)
	})
	const cut = "table inet cut { chain c { type filter hook forward priority -400; ip daddr 192.0.2.10 tcp dport 22 drop; }; }"
	if err := s.w.Campus.Rules(cut); err != nil {
		s.Fatal(err)
	}
	armed := time.Now()
	s.until("it is held", 2*time.Minute, func(ev told) bool {
		return ev.Domain == "" && ev.Wave == "" && (ev.Kind == "held" || ev.Kind == "failed")
	})
	s.waits("the old server opens by itself", 3*time.Minute, func() error { return s.w.Greets(s.ctx) })
	s.Logf("the old server is open again %v after it was armed", time.Since(armed).Round(time.Second))
	if err := s.w.Campus.Rules("delete table inet cut"); err != nil {
		s.Fatal(err)
	}
	s.types(0, "retry", "--isolate")
	s.observed()
	if st := s.status(); st.Isolation.State != "armed" {
		s.types(0, "approve", "--isolate")
	}
	s.until("proven", 2*time.Minute, isolation("done", "prove"))
	s.types(0, "isolate", "confirm", "--confirm", "isolate")
	s.until("the old server is closed", 2*time.Minute, isolation("done", "confirm"))
	s.expecting(nil)
}

// records are all MX and TXT records of the zones that move, by a zone transfer.
func (s *story) records() map[string][]string {
	s.Helper()
	out := map[string][]string{}
	for _, z := range s.w.Zones {
		text, err := s.w.Operator.Output(s.ctx, "dig", "@"+real.PrimaryAddr.V4().String(), "-y", "hmac-sha256:"+s.w.Key.Name+":"+s.w.Key.Secret, z, "AXFR", "+noall", "+answer", "+onesoa")
		if err != nil {
			s.Fatal(err)
		}
		for l := range strings.Lines(string(text)) {
			// An engine that was killed may leave a scratch record, until the zone is looked at again.
			if f := strings.Fields(l); len(f) > 4 && (f[3] == "MX" || f[3] == "TXT") && !strings.HasPrefix(f[0], "_mxcutover-") {
				out[z] = append(out[z], strings.Join(f, " "))
			}
		}
		slices.Sort(out[z])
	}
	return out
}

// rollsBack takes everything back, and compares each record with what it was. The old
// server is opened first.
func (s *story) rollsBack(before map[string][]string, edited string) {
	s.Helper()
	p := s.begins("rollback", "--all", "--confirm", "all")
	if code := p.end(s.T, 3*time.Minute); code != 0 {
		s.Fatalf("rollback --all: exit code %d: %s", code, strings.Join(p.words, "\n"))
	}
	s.Log(p.words[len(p.words)-1])
	if err := s.w.Greets(s.ctx); err != nil {
		s.Errorf("everything is rolled back, and the old server is closed: %v", err)
	}
	now := s.records()
	for z := range before {
		want := before[z]
		if s.zoneOf(edited) == z {
			continue // it ends with what the operator wrote, which was adopted
		}
		if !slices.Equal(now[z], want) {
			s.Errorf("after the rollback %s has\n%s\nand had\n%s", z, strings.Join(now[z], "\n"), strings.Join(want, "\n"))
		}
	}
	if at := strings.Join(now[s.zoneOf(edited)], "\n"); !strings.Contains(at, edited+". 5 IN MX 50 mx2.old.test.") || !strings.Contains(at, edited+". 5 IN MX 10 mail.old.test.") {
		s.Errorf("the operator's record of %s was not put back:\n%s", edited, at)
	}
}

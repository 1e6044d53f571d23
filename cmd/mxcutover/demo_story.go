package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"mxcutover/config"
	"mxcutover/lab"
	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rollout"
	"mxcutover/rrset"
	"mxcutover/state"
	"mxcutover/verify"
)

// brokenDomain is the one whose set-up at the gateway breaks in the story.
const brokenDomain = "estates.test."

// a teller tells the demo's story as it goes.
type teller struct {
	*streams
	world  *lab.World
	p      report.Printer
	began  time.Time
	cfg    *config.Config
	site   *site
	plan   plan.Plan
	fold   *state.Status
	closed time.Time // when the old server was confirmed closed
}

// tell prints a paragraph of the story.
func (t *teller) tell(format string, args ...any) {
	fmt.Fprintf(t.out, "\n── %s\n", fmt.Sprintf(format, args...))
}

func (t *teller) line(format string, args ...any) {
	fmt.Fprintf(t.out, "   "+format+"\n", args...)
}

// prepare surveys and plans.
func (t *teller) prepare(ctx context.Context) (err error) {
	t.tell("The world: two name servers (the second lags behind), a caching resolver, two gateways,")
	t.line("an old server with a mailbox, honest senders, and a spammer who ignores MX. All on loopback.")
	if t.cfg, err = t.load(); err != nil {
		return err
	}
	if t.site, err = openSite(t.cfg); err != nil {
		return err
	}
	out := &streams{err: io.Discard}
	_, inv, err := t.site.survey(ctx, out, "")
	if err != nil {
		return err
	}
	t.tell("Inventory: every name that receives mail, judged by where its addresses lead (mxcutover inventory)")
	if err := t.p.Inventory(t.out, inv, nil); err != nil {
		return err
	}
	if t.plan, err = t.site.makePlan(ctx, out, time.Now()); err != nil {
		return err
	}
	t.tell("The plan: little-used domains first (mxcutover plan)")
	for _, w := range t.plan.Waves {
		names := ""
		for _, c := range w.Cutovers {
			names += " " + rrset.Bare(c.Domain)
		}
		t.line("%-8s%s", w.Name, names)
	}
	for _, l := range t.plan.Left {
		t.line("left    %s: %s", rrset.Bare(l.Domain), report.Harmless(l.Reason))
	}
	t.fold = state.NewStatus(t.plan)
	return nil
}

// migrate runs the engine, and plays the administrator at its socket.
func (t *teller) migrate(ctx context.Context) (err error) {
	j, err := createJournal(ctx, t.cfg, t.plan)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	t.tell("The engine starts; TTLs of all waves are lowered, then wave %s moves (mxcutover run)", t.plan.Waves[0].Name)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := make(chan state.Event, 4096)
	pol := policy(t.cfg)
	ended := make(chan error, 1)
	go func() {
		ended <- runEngine(ctx, t.streams, t.site, j, pol, func(ev state.Event) { events <- ev })
		close(events)
	}()
	for ev := range events {
		t.fold.Apply(ev)
		if err := t.see(ctx, ev); err != nil {
			cancel()
			go func() {
				for range events { // what is still told is of no interest
				}
			}()
			return errors.Join(err, notCanceled(<-ended))
		}
	}
	if err := <-ended; err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	return nil
}

// see tells of an event, and does what the administrator would.
func (t *teller) see(ctx context.Context, ev state.Event) error {
	switch ev.Kind {
	case state.Done, state.WaveStarted, state.WaveLive, state.WaveHeld, state.Failed, state.RollingBack, state.RolledBack,
		state.Held, state.Drifted, state.InDoubt, state.Undone, state.Decided, state.Lifted, state.Closed:
		t.line("%s", t.p.Line(ev))
	}
	switch {
	case ev.Kind == state.Done && ev.Step == string(plan.Preflight) && ev.Domain == brokenDomain && t.fold.Domain(brokenDomain).Attempt == 1:
		t.world.Forget(rrset.Bare(brokenDomain))
		t.tell("Just now, after its preflight, somebody breaks the gateway's set-up for %s: it is refused there", rrset.Bare(brokenDomain))
	case ev.Kind == state.WaveHeld:
		t.tell("Wave %s is held: no later wave starts. %s goes back by itself; its neighbours go on", ev.Wave, rrset.Bare(brokenDomain))
	case ev.Kind == state.RolledBack && ev.Domain == brokenDomain:
		return t.mend(ctx)
	case ev.Kind == state.WaveLive:
		return t.onward(ctx, ev)
	case ev.Domain == "" && ev.Kind == state.Done:
		return t.isolation(ctx, ev)
	}
	return nil
}

// mend is the administrator's answer to the failed domain, once it is back.
func (t *teller) mend(ctx context.Context) error {
	t.tell("%s has its old MX again, with its old TTL. No other domain was touched", rrset.Bare(brokenDomain))
	t.world.Remember(rrset.Bare(brokenDomain))
	t.line("The cause is mended at the gateway, and the administrator types:")
	t.line("  mxcutover retry --domain %s", report.Quote(rrset.Bare(brokenDomain)))
	return t.decide(ctx, state.Decision{Verb: state.Retry, Target: state.DomainTarget(brokenDomain)})
}

// onward approves what comes after a wave that is live.
func (t *teller) onward(ctx context.Context, ev state.Event) error {
	for i, w := range t.plan.Waves {
		if w.Name != ev.Wave {
			continue
		}
		if i+1 < len(t.plan.Waves) {
			next := t.plan.Waves[i+1].Name
			t.tell("Wave %s is live. The gate is manual, so the administrator types: mxcutover approve --wave %s", w.Name, next)
			return t.decide(ctx, state.Decision{Verb: state.Approve, Target: state.WaveTarget(next)})
		}
	}
	t.tell("All domains are live, and their caches have let go. The spammer still calls the old server: %d times let in", t.world.Spammer.Stats().Accepted)
	t.line("The administrator types: mxcutover approve --isolate")
	return t.decide(ctx, state.Decision{Verb: state.Approve, Target: state.Isolate})
}

func (t *teller) isolation(ctx context.Context, ev state.Event) error {
	switch plan.Kind(ev.Step) {
	case plan.Arm:
		t.line("The ports are closed for %s only; nobody has to be alive to open them again.", t.cfg.Isolate.ConfirmWithin)
	case plan.Prove:
		t.tell("Closed from outside, and the gateway still gets in: proven. The administrator types:")
		t.line("  mxcutover isolate confirm --confirm isolate")
		return t.decide(ctx, state.Decision{Verb: state.Keep, Target: state.Isolate, Confirm: state.Isolate})
	case plan.Confirm:
		t.closed = time.Now()
		t.tell("The old server is isolated. After a while the original TTLs come back, and the migration is over")
	}
	return nil
}

// decide sends a decision through the engine's socket, as every command does.
func (t *teller) decide(ctx context.Context, d state.Decision) error {
	client, err := dialSoon(ctx, socketDir(t.cfg))
	if err != nil {
		return err
	}
	return client.Do(ctx, d)
}

// close verifies everything and counts the mail.
func (t *teller) close(ctx context.Context) error {
	t.tell("Final verification, over every domain (mxcutover verify)")
	t.site.checker.Mail.Published = published(t.fold)
	var found []plan.Finding
	asked, _ := new(checkOptions).asked(verify.After, t.fold)
	for _, c := range t.plan.Cutovers() {
		found = append(found, t.site.checker.Some(ctx, verify.After, c, asked)...)
	}
	closed, err := t.site.closedStill(ctx, &t.plan, t.fold, rollout.ClosedForGood(&t.plan, t.fold))
	if err != nil {
		return err
	}
	found = append(found, closed...)
	n := map[plan.Severity]int{}
	for _, f := range found {
		n[f.Severity]++
	}
	t.line("%d passed, %d warned, %d failed, %d could not be checked", n[plan.Pass], n[plan.Warn], n[plan.Fail], n[plan.Unknown])
	if j := plan.Judge(found); j == plan.Fail || j == plan.Unknown {
		return errors.Join(t.p.Findings(t.out, found), refusef("the final verification did not pass"))
	}
	return t.count(ctx)
}

// count shows that no message was lost, and that the spammer is cut off.
func (t *teller) count(ctx context.Context) error {
	if err := t.world.Drain(ctx); err != nil {
		return fmt.Errorf("demo: mail is still on its way: %w", err)
	}
	a, spam := t.world.Accounts(), t.world.Spammer.Stats()
	t.tell("The mail of honest senders during all this")
	t.line("%d accepted, %d delivered, %d lost, %d doubled; %d returned to their senders while the set-up was broken",
		a.Accepted, a.Delivered, a.Lost, a.Doubled, a.Bounced)
	t.line("the spammer: let in %d times before, refused %d times since the old server was closed", spam.Accepted, spam.Refused)
	if a.Lost > 0 || a.Doubled > 0 || spam.Refused == 0 {
		return refusef("mail was lost or doubled, or the spammer still gets in")
	}
	t.tell("Done in %.0fs. What to type next:", time.Since(t.began).Seconds())
	t.line("mxcutover demo --keep     the same world, left up, and every command by hand")
	t.line("mxcutover --help          all commands, with examples")
	return nil
}

// notCanceled drops the error of having been told to stop.
func notCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

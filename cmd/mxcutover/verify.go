package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"mxcutover/config"
	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rollout"
	"mxcutover/rrset"
	"mxcutover/state"
	"mxcutover/verify"
)

// checkOptions are the flags of preflight and verify.
type checkOptions struct {
	plan     string
	domains  []string
	checks   []string // globs of IDs
	out      string
	all      bool
	quiet    bool
	nagios   bool
	textfile string
	timeout  time.Duration
}

func (o *checkOptions) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.plan, "plan", defaultPlan, "the plan file, while no migration was begun")
	f.StringSliceVar(&o.domains, "domain", nil, "only these domains")
	f.StringSliceVar(&o.checks, "check", nil, `only these checks, as in "probe.arrival" or "gw.*"`)
	f.StringVar(&o.out, "out", "", "write to this file instead of standard output, whole or not at all")
	f.DurationVar(&o.timeout, "timeout", 0, "give up after this long, with exit code 4")
	f.BoolVar(&o.all, "all", false, "show every finding that passed, however many")
	completeWith(c, "check", checkIDs)
}

func newPreflight(s *streams) *cobra.Command {
	var o checkOptions
	c := &cobra.Command{
		Use: "preflight", Short: "check every domain of the plan before anything is changed",
		Long: `preflight runs every check that must pass before a domain moves, and sends a probe
straight to every planned MX host at each of its addresses. It changes no record.
Exit: 0 all pass, 7 findings failed, 8 something could not be checked.`,
		Example: "  mxcutover preflight\n  mxcutover preflight --domain choir.example -o json\n  mxcutover preflight -o html --out preflight.html",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runCheck(cmd.Context(), s, o, verify.Before) },
	}
	o.flags(c)
	s.addFormats(c, "table", "json", "junit", "markdown", "html")
	return c
}

func newVerify(s *streams) *cobra.Command {
	var o checkOptions
	c := &cobra.Command{
		Use: "verify", Short: "check every moved domain, after the migration or during it",
		Long: `verify asks DNS, the gateway and the mailbox about every domain of the migration,
as its state is: moved domains by the public way, isolated servers from outside.
It can be run again at any time, from cron too: --quiet says nothing while all is
well, --textfile leaves numbers for Prometheus, --nagios is a plugin's answer. Of
whole verifications one runs at a time; a second one ends at once, with 5.
Exit: 0 all pass, 7 findings failed, 8 something could not be checked; with --nagios
0 OK, 1 warning, 2 critical, 3 unknown.`,
		Example: `  mxcutover verify
  mxcutover verify --domain choir.example --check "gw.*"
  mxcutover verify -o json | jq .summary
  mxcutover verify -o html --out /var/www/mail/verify.html
  mxcutover verify --quiet --textfile /var/lib/prometheus/node-exporter/mxcutover.prom
  mxcutover verify --nagios --timeout 50s`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := runCheck(cmd.Context(), s, o, verify.After)
			var done exitCode
			if err == nil || !o.nagios || errors.As(err, &done) {
				return err
			}
			code, werr := report.NagiosTrouble(s.out, err)
			return errors.Join(exitCode(code), werr)
		},
	}
	o.flags(c)
	c.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "say nothing while all pass, and else only what did not")
	c.Flags().BoolVar(&o.nagios, "nagios", false, "answer as a Nagios plugin: one line with performance data, and its exit codes")
	c.Flags().StringVar(&o.textfile, "textfile", "", "also write numbers for Prometheus's node_exporter to this file, NAME.prom")
	s.addFormats(c, "table", "json", "junit", "markdown", "html")
	return c
}

func (o *checkOptions) check(s *streams) error {
	switch {
	case o.textfile != "" && !strings.HasSuffix(o.textfile, ".prom"):
		return usagef("--textfile %s: node_exporter reads only files that end in .prom", o.textfile)
	case o.nagios && s.output != "table" && o.out == "":
		return usagef("--nagios answers on standard output; name a file for -o %s: --out FILE", s.output)
	case s.output == "html" && o.out == "" && isTerminal(s.out):
		return usagef("a page is for a browser; write it to a file: --out FILE.html")
	}
	for _, glob := range o.checks {
		if _, err := path.Match(glob, ""); err != nil || !slices.ContainsFunc(checkIDs(), func(id string) bool { return match(glob, id) }) {
			return usagef("--check %s: no check has such a name; there are %s", glob, strings.Join(checkIDs(), ", "))
		}
	}
	return nil
}

// picked tells whether a check was asked for.
func (o *checkOptions) picked(id string) bool {
	return len(o.checks) == 0 || slices.ContainsFunc(o.checks, func(glob string) bool { return match(glob, id) })
}

// talksToOld are the checks that talk to the old server as anybody may: there is
// nothing to ask once it is closed for good, and that it is closed has a check of
// its own.
var talksToOld = []string{"mx.loop", "old.source"}

// asked tells whether a check is asked now; without are those that are not,
// though they were picked, and for want of what.
func (o *checkOptions) asked(when verify.When, st *state.Status) (is func(id string) bool, without map[string]string) {
	without = map[string]string{}
	if when == verify.After && st != nil && st.Isolation.State == state.IsolationConfirmed {
		for _, id := range talksToOld {
			if o.picked(id) {
				without[id] = "an old server that is open"
			}
		}
	}
	return func(id string) bool { return o.picked(id) && without[id] == "" }, without
}

func match(glob, id string) bool {
	ok, err := path.Match(glob, id)
	return ok && err == nil
}

func checkIDs() []string {
	var out []string
	for _, c := range verify.Checks() {
		out = append(out, c.ID)
	}
	return out
}

// whole tells whether all domains are asked about, and everything of each.
func (o *checkOptions) whole() bool { return len(o.domains) == 0 && len(o.checks) == 0 }

func runCheck(ctx context.Context, s *streams, o checkOptions, when verify.When) (err error) {
	if err := o.check(s); err != nil {
		return err
	}
	cfg, err := s.load()
	if err != nil {
		return err
	}
	if o.whole() && when == verify.After {
		release, lerr := oneVerifies(cfg)
		if lerr != nil {
			return lerr
		}
		defer func() { err = errors.Join(err, release()) }()
	}
	p, st, err := planOrMigration(ctx, cfg, o.plan)
	if err != nil {
		return err
	}
	v, err := checkAll(ctx, s, cfg, o, when, p, st)
	if err != nil {
		return err
	}
	return s.showVerification(v, o, st)
}

// checkAll asks about the chosen domains of a plan, and tells how far it is on a
// terminal.
func checkAll(ctx context.Context, s *streams, cfg *config.Config, o checkOptions, when verify.When, p plan.Plan, st *state.Status) (report.Verification, error) {
	v := report.Verification{Title: "Preflight", Migration: p.Migration, Brief: o.quiet}
	site, err := openSite(cfg)
	if err != nil {
		return v, err
	}
	cuts, err := chosen(p, o.domains)
	if err != nil {
		return v, err
	}
	defer site.checker.Close()
	if when == verify.After {
		v.Title = "Verification"
		cuts, v.Left = moved(cuts, st)
		site.expect(cuts, st)
		site.checker.Mail.Published = published(st)
	}
	asked, without := o.asked(when, st)
	begun := time.Now()
	ctx, cancel := patience(ctx, o.timeout)
	defer cancel()
	var mu sync.Mutex
	by := map[string][]report.Found{}
	progress := s.err
	if o.quiet || o.nagios {
		progress = io.Discard
	}
	if asked("gw.unknown") {
		tellEstimate(site.checker, cuts, cfg.Probe.RandomPerHour, progress)
	}
	if _, err = each(ctx, cuts, func(ctx context.Context, c plan.Cutover) (string, error) {
		if asked("gw.unknown") {
			if err := takeTurn(ctx, site.checker, c, progress); err != nil {
				return "", err
			}
		}
		f := site.checker.Some(ctx, when, c, asked)
		if when == verify.Before {
			f, _ = rollout.Foreseen(c, domainOf(st, c.Domain), f)
		}
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() == nil {
			by[c.Domain] = report.Of(c.Domain, f)
		}
		return "", ctx.Err()
	}, progress); err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, context.DeadlineExceeded) {
			err = fmt.Errorf("gave up after %s, with %d of %d domains asked: %w", o.timeout, len(by), len(cuts), cause)
		}
		return v, err
	}
	var found []report.Found
	for _, c := range cuts {
		found = append(found, by[c.Domain]...)
	}
	if ports := rollout.ClosedForGood(&p, st); when == verify.After && len(ports) > 0 && o.picked("old.closed") {
		closed, err := site.closedStill(ctx, &p, st, ports)
		if err != nil {
			return v, err
		}
		found = append(found, report.Of("", closed)...)
	}
	v.NotAsked = without
	for id, lacks := range site.checker.NotAsked() {
		if o.picked(id) {
			v.NotAsked[id] = lacks
		}
	}
	v.Findings, v.Domains, v.At, v.Took = report.Gather(found), len(cuts), time.Now(), time.Since(begun)
	return v, context.Cause(ctx)
}

// closedStill asks whether ports of the old server that were closed for good are so
// still, and whether any name's mail leads there all the same.
func (s *site) closedStill(ctx context.Context, p *plan.Plan, st *state.Status, ports []uint16) ([]plan.Finding, error) {
	w := s.world(policy(s.cfg))
	names, err := w.LeadsBack(ctx, p)
	t := rollout.Turn{Plan: p, Clock: rollout.SystemClock(), View: func(f func(*state.Status)) { f(st) }}
	return append(w.StaysClosed(ctx, t, ports), names...), err
}

// domainOf is how far a domain is; nil = nothing was begun.
func domainOf(st *state.Status, domain string) *state.DomainStatus {
	if st == nil {
		return nil
	}
	return st.Domain(domain)
}

// tellEstimate says before anything is asked for how long a run will wait.
func tellEstimate(c *verify.Checker, cuts []plan.Cutover, perHour int, out io.Writer) {
	if wait, most := c.Estimate(cuts); wait > 0 {
		fmt.Fprintf(out, "about %d h at probe.random_per_hour %d: gw.unknown asks one host of the gateway for %d addresses made up by chance, one for each domain.\n"+
			"Raise it if the gateway's administrator agrees, ask about some domains (--domain), or leave that check out (--check).\n", int(wait.Hours()), perHour, most)
	}
}

// takeTurn waits until a domain may be asked about, and says so on a terminal.
func takeTurn(ctx context.Context, c *verify.Checker, cut plan.Cutover, progress io.Writer) error {
	at, _ := c.Turn(ctx, cut)
	wait := time.Until(at)
	if wait <= 0 {
		return ctx.Err()
	}
	if isTerminal(progress) {
		fmt.Fprintf(progress, "\r\x1b[K%s waits until %s (probe.random_per_hour) ", rrset.Bare(cut.Domain), at.Format(time.TimeOnly))
	}
	return pause(ctx, wait)
}

// patience ends a context after some time; 0 = never. The context has no deadline
// to look at, for whoever sees that it will not be in time says so at once, and
// what was not asked would look like what could not be asked.
func patience(ctx context.Context, d time.Duration) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	if d <= 0 {
		return ctx, func() { cancel(nil) }
	}
	t := time.AfterFunc(d, func() { cancel(context.DeadlineExceeded) })
	return ctx, func() { t.Stop(); cancel(nil) }
}

// expect tells the checker what the journal knows of caches.
func (s *site) expect(cuts []plan.Cutover, st *state.Status) {
	for _, c := range cuts {
		if st == nil {
			return
		}
		if d := st.Domain(c.Domain); d != nil {
			if until := rollout.LetGo(d, c); !until.IsZero() {
				s.checker.Expect(c.Domain, until)
			}
		}
	}
}

// published tells when each domain was published; nil = nobody knows.
func published(st *state.Status) func(string) time.Time {
	if st == nil {
		return nil
	}
	return func(domain string) time.Time {
		if d := st.Domain(domain); d != nil {
			return d.Published()
		}
		return time.Time{}
	}
}

// moved leaves out the domains that were not moved: there is nothing of the new
// way to verify at them.
func moved(cuts []plan.Cutover, st *state.Status) (out []plan.Cutover, left map[state.Phase]int) {
	if st == nil {
		return cuts, nil
	}
	left = map[state.Phase]int{}
	for _, c := range cuts {
		switch d := st.Domain(c.Domain); {
		case d == nil:
		case d.State == state.Live || d.State == state.Settled || d.State == state.Soaking || d.State == state.Probed || d.State == state.Propagated:
			out = append(out, c)
		default:
			left[d.State]++
		}
	}
	return out, left
}

// planOrMigration is the plan that was begun, with its status, or else the file.
func planOrMigration(ctx context.Context, cfg *config.Config, file string) (plan.Plan, *state.Status, error) {
	v, err := view(ctx, cfg)
	if notBegun(err) {
		p, err := readPlan(file)
		return p, nil, err
	}
	if err != nil {
		return plan.Plan{}, nil, err
	}
	st, err := v.whole(ctx)
	return v.plan, st, errors.Join(err, v.close())
}

func chosen(p plan.Plan, names []string) ([]plan.Cutover, error) {
	all := p.Cutovers()
	if len(names) == 0 {
		return all, nil
	}
	byName := map[string]plan.Cutover{}
	for _, c := range all {
		byName[c.Domain] = c
	}
	var out []plan.Cutover
	for _, n := range names {
		name, err := rrset.CanonicalName(n)
		if err != nil {
			return nil, usagef("--domain: %w", err)
		}
		c, ok := byName[name]
		if !ok {
			return nil, fmt.Errorf("the plan has no domain %s; see: mxcutover plan show", n)
		}
		out = append(out, c)
	}
	return out, nil
}

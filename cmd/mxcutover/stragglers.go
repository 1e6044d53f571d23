package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"mxcutover/config"
	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/state"
	"mxcutover/traffic"
	"mxcutover/verify"
)

// callsOptions are the flags of stragglers and replay.
type callsOptions struct {
	plan     string
	noNames  bool
	firewall bool
}

// addStragglers adds the list of stragglers to the command traffic.
func addStragglers(s *streams, c *cobra.Command) {
	var o callsOptions
	var wanted bool
	c.Long += `

With --stragglers a LOG is the old server's, and shown is who handed it mail for a
domain after that moved, by domain and source: how much was taken and refused, when,
from which senders, and a guess at what it is with its evidence. The journal tells
when each domain moved; the gateway's addresses and isolate.trust do not count.
Sources are looked up in DNS, a few at once and for half a minute.`
	c.Example += "\n  mxcutover traffic --stragglers\n  mxcutover traffic --stragglers --firewall -o json"
	f := c.Flags()
	f.BoolVar(&wanted, "stragglers", false, "who still comes to the old server directly, and what each seems to be")
	f.BoolVar(&o.noNames, "no-names", false, "of stragglers: do not look sources up in DNS")
	f.BoolVar(&o.firewall, "firewall", false, "of stragglers: add what the old server's firewall refused")
	run := c.RunE
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if !wanted {
			if o.noNames || o.firewall {
				return usagef("--no-names and --firewall go with --stragglers")
			}
			return run(cmd, args)
		}
		for _, other := range []string{"format", "zone", "since", "until", "domains", "all", "limit", "show-skipped", "out"} {
			if cmd.Flags().Changed(other) {
				return usagef("--%s does not go with --stragglers, which are of all that the journal and the configuration say", other)
			}
		}
		if s.output == "csv" {
			return usagef("-o csv: --stragglers are shown as table or json")
		}
		o.plan = defaultPlan
		return runStragglers(cmd.Context(), s, o, args)
	}
}

func newReplay(s *streams) *cobra.Command {
	var o callsOptions
	c := &cobra.Command{
		Use: "replay [LOG...]", Short: "whom the firewall's rules would have cut off, by a log of the old server",
		Long: `replay reads logs of the old server (without any, traffic.logs) and tells which
legitimate uses of it since isolate.look_back the rules of isolate would end: users
who submit mail at a port to be closed, names that the plan does not move or has not
moved yet, who relays through it, and senders that come past the gateway. A port
that the log does not tell may be a closed one. It changes nothing; the engine asks
the same before it arms the firewall.
Exit: 0 nobody legitimate, or only who is in isolate.acknowledged and
isolate.abandoned; 7 somebody; 8 the log does not reach back so far, or ended more
than a day ago, or is not enough to tell.`,
		Example: "  mxcutover isolate replay\n  mxcutover isolate replay /var/log/mail.log.1 /var/log/mail.log\n  mxcutover isolate replay -o json | jq '.cuts[] | select(.agreed | not)'",
		Args:    cobra.ArbitraryArgs,
		RunE:    func(cmd *cobra.Command, args []string) error { return runReplay(cmd.Context(), s, o, args) },
	}
	c.Flags().StringVar(&o.plan, "plan", defaultPlan, "the plan file, while no migration was begun")
	c.Flags().BoolVar(&o.noNames, "no-names", false, "do not look sources up in DNS")
	s.addOutput(c)
	return c
}

// calls is what both commands read.
type calls struct {
	site   *site
	plan   plan.Plan
	status *state.Status // nil = no migration was begun
	replay traffic.Replay
	q      verify.Closing
	faulty bool // a log could not be read whole, and that was said
}

// readCalls reads the plan, the journal, and the logs. Who may come directly is told
// once the site is open. Whoever calls closes the site's checker.
func (o callsOptions) readCalls(ctx context.Context, s *streams, cfg *config.Config, globs []string, may func(*calls) (func(netip.Addr) bool, error)) (*calls, error) {
	if len(globs) == 0 {
		globs = cfg.Traffic.Logs
	}
	if len(globs) == 0 {
		return nil, usagef("name a log of the old server, or set traffic.logs")
	}
	p, st, err := planOrMigration(ctx, cfg, o.plan)
	if err != nil {
		return nil, err
	}
	c := &calls{plan: p, status: st}
	if c.site, err = openSite(cfg); err != nil {
		return nil, err
	}
	c.q = c.site.world(policy(cfg)).Closing(&p, st)
	c.replay = traffic.Replay{Stragglers: traffic.Stragglers{Look: c.q.Names.Look, Skip: c.site.checker.Probes}}
	if c.replay.Trusted, err = may(c); err != nil {
		c.site.checker.Close()
		return nil, err
	}
	got, err := readLogs(ctx, cfg, s.in, globs, c.replay.Add)
	if err != nil {
		c.site.checker.Close()
		return nil, err
	}
	for _, f := range got.Files {
		if f.Err != nil {
			c.faulty = true
			s.say("%s: %s", report.Harmless(f.Path), report.Harmless(f.Err.Error()))
		}
	}
	return c, nil
}

// reverse looks sources up, unless that is not wanted.
func (o callsOptions) reverse(ctx context.Context, c *calls, sources []netip.Addr) func(netip.Addr) traffic.Reverse {
	if o.noNames {
		return func(netip.Addr) traffic.Reverse { return traffic.Reverse{} }
	}
	return c.site.checker.Names(ctx, sources)
}

func runStragglers(ctx context.Context, s *streams, o callsOptions, globs []string) error {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	c, err := o.readCalls(ctx, s, cfg, globs, func(c *calls) (func(netip.Addr) bool, error) {
		if c.status == nil {
			return nil, nil
		}
		return c.site.checker.Gateway(ctx)
	})
	if err != nil {
		return err
	}
	defer c.site.checker.Close()
	if c.status == nil {
		return fmt.Errorf("no domain has moved yet, so nobody is late: %w", errNoMigration)
	}
	q := traffic.Call{Trusted: func(_ string, a netip.Addr) bool { return c.replay.Trusted(a) }}
	if o.firewall {
		if c.site.firewall == nil {
			return usagef("--firewall: %s has no section isolate", cfg.Path)
		}
		if q.Blocked, err = c.site.firewall.Seen(ctx); err != nil {
			return fmt.Errorf("--firewall: %w", err)
		}
	}
	q.Reverse = o.reverse(ctx, c, traffic.Sources(c.replay.List(q)))
	r := report.Stragglers{From: c.replay.First, To: c.replay.Last, List: c.replay.List(q), Left: c.replay.Left}
	switch err := ctx.Err(); {
	case err != nil:
		return err
	case s.json():
		return report.StragglersJSON(s.out, r)
	}
	return s.printer(s.out).Stragglers(s.out, r)
}

func runReplay(ctx context.Context, s *streams, o callsOptions, globs []string) error {
	cfg, rules, err := s.isolation()
	if err != nil {
		return err
	}
	now := time.Now()
	c, err := o.readCalls(ctx, s, cfg, globs, func(c *calls) (func(netip.Addr) bool, error) {
		c.q.Rules.Ports, c.q.Rules.Trust = slices.Concat(append([][]uint16{rules.Ports}, cfg.Isolate.Stages...)...), rules.Trust
		c.replay.Quiet, c.replay.Latest = c.q.Quiet, now.Add(verify.StaleLog)
		return c.q.Rules.Trusts, nil
	})
	if err != nil {
		return err
	}
	defer c.site.checker.Close()
	r := report.Replay{From: c.replay.First, To: c.replay.Last, Since: now.Add(-c.q.LookBack), Ports: c.q.Rules.Ports, Unsure: c.faulty || c.replay.Unsure() || c.replay.Sourceless(now.Add(-c.q.LookBack))}
	r.Stale = r.To.Before(now.Add(-verify.StaleLog))
	code := exitCode(codeDone)
	if r.Lacks() != nil {
		code = codeUnknown
	}
	cuts := c.q.Cuts(&c.replay, now, o.reverse(ctx, c, c.q.Sources(&c.replay)))
	for i := range cuts {
		x := report.ReplayCut{Cut: cuts[i], Words: verify.Words(&cuts[i]), Agreed: c.q.Agreed(&cuts[i])}
		if !x.Agreed {
			code = codeFailed
		}
		r.Cuts = append(r.Cuts, x)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.json() {
		err = report.ReplayJSON(s.out, r)
	} else {
		err = s.printer(s.out).Replay(s.out, r)
	}
	if err != nil || code == codeDone {
		return err
	}
	return code
}

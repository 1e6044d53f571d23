package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"mxcutover/config"
	"mxcutover/firewall"
	"mxcutover/report"
)

func newIsolateShow(s *streams) *cobra.Command {
	var offline, open bool
	stage := 1
	c := &cobra.Command{
		Use: "show", Short: "print the rules that would be loaded, and how they differ from what is",
		Long: `show prints the rules as nft reads them, to review and to keep, and as the old
server's kernel understands them; with --offline as a recent one does. Standard
output has nothing else. On standard error it says how they differ from what is
loaded at the old server, which is asked for that and not changed.

With isolate.driver: script it prints the table that a person is to load: rows of
family, source, port, verdict, destination and to, of which the first that fits
counts; as text, JSON, CSV, or as nft reads it. --open prints what opens again.`,
		Example: "  mxcutover isolate show\n  mxcutover isolate show --offline > isolate.nft\n  mxcutover isolate show -o json | jq .difference\n  mxcutover isolate show -o csv\n  mxcutover isolate show --open -o nft | ssh root@router nft -f -",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, want, err := s.isolation()
			switch {
			case err != nil:
				return err
			case cfg.Isolate.Driver == "script":
				return s.showTable(cfg, want, stage, open)
			case open || s.output == "csv":
				return usagef("isolate.driver is %s: --open, and -o csv, are of use with script, where a person loads the rules", cfg.Isolate.Driver)
			}
			return runIsolateShow(cmd.Context(), s, cfg, want, offline, stage)
		},
	}
	c.Flags().BoolVar(&open, "open", false, "script: what opens the old server again")
	c.Flags().BoolVar(&offline, "offline", false, "do not ask the old server")
	c.Flags().IntVar(&stage, "stage", stage, "which set of ports: 1 is isolate.ports, 2 the first of isolate.stages")
	s.addFormats(c, "text", "json", "csv", "nft")
	return c
}

// isolation is the configuration's, which must be there.
func (s *streams) isolation() (*config.Config, firewall.Rules, error) {
	cfg, err := s.load()
	if err != nil {
		return nil, firewall.Rules{}, err
	}
	if cfg.Isolate == nil {
		return nil, firewall.Rules{}, usagef("%s has no section isolate: how the old server's firewall is reached, and whom it lets in; see docs/config.example.yaml", cfg.Path)
	}
	return cfg, rulesOf(cfg.Isolate), nil
}

// rulesOf are those of the first stage.
func rulesOf(i *config.Isolate) firewall.Rules {
	return firewall.Rules{Ports: i.Ports, Trust: i.Trust, Action: firewall.Action(i.Action)}
}

func runIsolateShow(ctx context.Context, s *streams, cfg *config.Config, want firewall.Rules, offline bool, stage int) error {
	want, err := upTo(cfg.Isolate, want, stage)
	if err != nil {
		return err
	}
	var shown report.Rules
	if offline {
		shown.Text, err = firewall.Render(want, cfg.Isolate.ConfirmWithin)
	} else {
		shown, err = askRules(ctx, cfg, want)
	}
	if err != nil {
		return err
	}
	if s.json() {
		return report.RulesJSON(s.out, shown)
	}
	if _, err := fmt.Fprint(s.out, shown.Text); err != nil || offline {
		return err
	}
	return s.printer(s.err).Rules(s.err, shown)
}

// upTo are the rules of a set of ports, and of the sets before it.
func upTo(i *config.Isolate, want firewall.Rules, stage int) (firewall.Rules, error) {
	if n := len(i.Stages) + 1; stage < 1 || stage > n {
		return want, usagef("--stage %d: there are %d, from 1", stage, n)
	}
	for _, ports := range i.Stages[:stage-1] {
		want.Lasting, want.Ports = want.Ports, slices.Concat(want.Ports, ports)
	}
	return want, nil
}

// askRules asks the old server what is loaded there, and how that differs from what is
// to be.
func askRules(ctx context.Context, cfg *config.Config, want firewall.Rules) (shown report.Rules, err error) {
	if shown.Text, err = firewall.Render(want, cfg.Isolate.ConfirmWithin); err != nil {
		return shown, err
	}
	driver, err := openFirewall(cfg)
	if err != nil {
		return shown, err
	}
	if hand, ok := driver.(firewall.Hand); ok { // a person loads them, and nobody can ask
		t, err := hand.Closing(want)
		shown.Text = t.Text()
		return shown, err
	}
	have, until, err := driver.Loaded(ctx)
	if err != nil {
		return shown, fmt.Errorf("what is loaded cannot be read: %w\nwithout asking the old server: mxcutover isolate show --offline", err)
	}
	if at, ok := driver.(interface {
		Text(ctx context.Context, r firewall.Rules, within time.Duration) (string, error)
	}); ok { // as that machine understands them
		if shown.Text, err = at.Text(ctx, want, cfg.Isolate.ConfirmWithin); err != nil {
			return shown, err
		}
	}
	shown.Asked, shown.Closed, shown.Until, shown.Difference = true, have.Ports, until, firewall.Difference(have, want)
	if len(have.Ports) > 0 && until.IsZero() {
		shown.Kept, err = driver.Kept(ctx, have)
	}
	return shown, err
}

func newIsolateWatch(s *streams) *cobra.Command {
	every := 2 * time.Second
	c := &cobra.Command{
		Use: "watch", Short: "show who is refused by the old server's firewall, as it happens",
		Long: `watch asks the old server's firewall again and again and prints each source that was
refused since: its address, the port, how often, and how often in all. It ends with
Ctrl-C, and changes nothing.`,
		Example: "  mxcutover isolate watch\n  mxcutover isolate watch --every 30s -o json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runIsolateWatch(cmd.Context(), s, every) },
	}
	c.Flags().DurationVar(&every, "every", every, "between two looks")
	s.addFormats(c, "text", "json")
	return c
}

func runIsolateWatch(ctx context.Context, s *streams, every time.Duration) error {
	if every < 100*time.Millisecond {
		return usagef("--every %s: at least 100ms was expected", every)
	}
	cfg, _, err := s.isolation()
	if err != nil {
		return err
	}
	driver, err := openFirewall(cfg)
	if err != nil {
		return err
	}
	if cfg.Isolate.Driver == "script" {
		return usagef("isolate.driver is script: who is refused by a firewall that a person loads is seen there alone; who still comes by the old server's log: mxcutover traffic --stragglers")
	}
	loaded, until, err := driver.Loaded(ctx)
	if err != nil {
		return err
	}
	if !s.json() {
		if err := s.printer(s.err).Rules(s.err, report.Rules{Asked: true, Closed: loaded.Ports, Until: until, Kept: true}); err != nil {
			return err
		}
	}
	before := map[netip.AddrPort]uint64{}
	for failed := 0; ctx.Err() == nil; _ = pause(ctx, every) { // Ctrl-C is how it ends
		seen, err := driver.Seen(ctx)
		switch {
		case err == nil:
			failed = 0
			if err := s.sightings(before, seen); err != nil {
				return err
			}
			before = seen
		case ctx.Err() == nil:
			if failed++; failed == 5 {
				return err
			}
			s.say("not read, asked again: %s", report.Harmless(err.Error()))
		}
	}
	return nil
}

// sightings prints what has come since the last look.
func (s *streams) sightings(before, seen map[netip.AddrPort]uint64) error {
	all := refusals(before, seen, time.Now())
	if s.json() {
		return report.RefusedJSON(s.out, all)
	}
	return s.printer(s.out).Refused(s.out, all)
}

// refusals are what has come since the last look, the most first. A counter that went
// down was begun anew.
func refusals(before, seen map[netip.AddrPort]uint64, now time.Time) (all []report.Refused) {
	for from, n := range seen {
		since := n
		if b := before[from]; b <= n {
			since = n - b
		}
		if since > 0 {
			all = append(all, report.Refused{At: now, Source: from.Addr(), Port: from.Port(), Since: since, Count: n})
		}
	}
	slices.SortFunc(all, func(a, b report.Refused) int {
		return cmp.Or(cmp.Compare(b.Since, a.Since), a.Source.Compare(b.Source), cmp.Compare(a.Port, b.Port))
	})
	return all
}

func newForcedCommand(s *streams) *cobra.Command {
	return &cobra.Command{
		Use: "forced-command", Short: "print what restricts an SSH key to isolating, for authorized_keys",
		Long: `forced-command prints what stands before a key in the old server's authorized_keys, so
that whoever has the key can read, load and lift mxcutover's own rules there, and
nothing else. It must be printed anew when isolate.boot_file, or mxcutover, changes.`,
		Example: "  printf '%s %s\\n' \"$(mxcutover isolate forced-command)\" \"$(cat isolate_ed25519.pub)\"",
		RunE: func(*cobra.Command, []string) error {
			cfg, _, err := s.isolation()
			if err != nil {
				return err
			}
			if cfg.Isolate.Driver != "ssh" {
				return usagef("isolate.driver is %s; a forced command is of use with ssh", cfg.Isolate.Driver)
			}
			line, err := firewall.ForcedCommand(cfg.Isolate.BootFile, cfg.Isolate.Host.User != "root")
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(s.out, line)
			return err
		},
	}
}

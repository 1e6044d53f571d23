package main

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"mxcutover/config"
	"mxcutover/report"
	"mxcutover/state"
	"mxcutover/verify"
)

// reportOptions are the flags of report.
type reportOptions struct {
	since, until string
	out          string
	verify, all  bool
	noLogs       bool
}

func newReport(s *streams) *cobra.Command {
	var o reportOptions
	c := &cobra.Command{
		Use: "report", Short: "tell the story of the migration: waves, failures, decisions, times, findings",
		Long: `report tells what the journal knows: how far the migration is, what needs a person,
each wave and each domain, what failed and was rolled back, who decided what, what
was held and how long, how long mail takes to arrive before and after, and the
last findings of every check. How much mail each server had in an hour is read from
traffic.logs and traffic.gateway_logs, from two weeks before the migration on, unless
--no-logs says otherwise. It changes nothing; it asks the firewall how many connections
it refused, and DNS for the gateway's addresses. With --verify every moved domain is
checked first, and the exit code is that of verify.
A page (-o html) is one file: it loads nothing, and prints well.`,
		Example: `  mxcutover report
  mxcutover report -o html --verify --out report.html
  mxcutover report -o markdown --since 2026-03-01
  mxcutover report -o json | jq .needs`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runReport(cmd.Context(), s, o) },
	}
	f := c.Flags()
	f.StringVar(&o.since, "since", "", `list only what was since then: "2026-03-01", "2026-03-01T22:00:00Z" or "24h" ago`)
	f.StringVar(&o.until, "until", "", "tell the story only until then, as it stood; in the same forms")
	f.StringVar(&o.out, "out", "", "write to this file instead of standard output, whole or not at all")
	f.BoolVar(&o.verify, "verify", false, "check every moved domain first, and show these findings")
	f.BoolVar(&o.noLogs, "no-logs", false, "do not read the servers' logs, which may be large")
	f.BoolVar(&o.all, "all", false, "show each domain and row on the terminal, however many")
	s.addJournal(c)
	s.addFormats(c, "terminal", "json", "markdown", "html")
	return c
}

func runReport(ctx context.Context, s *streams, o reportOptions) (err error) {
	if s.output == "html" && o.out == "" && isTerminal(s.out) {
		return usagef("a page is for a browser; write it to a file: --out FILE.html")
	}
	since, err := parseWhen("--since", o.since, time.Now())
	if err != nil {
		return err
	}
	until, err := parseWhen("--until", o.until, time.Now())
	if err != nil {
		return err
	}
	cfg, err := s.loadNamed()
	if err != nil {
		return err
	}
	v, err := view(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	story := report.NewStory(v.plan, since, until)
	if err := v.events(ctx, 0, func(ev state.Event) error { story.Apply(ev); return nil }); err != nil {
		return err
	}
	if story.Status.Seq == v.status.Seq {
		story.Status.Engine = v.status.Engine // a killed engine told of no end
	}
	if seen, ok := s.seen(ctx, cfg, v.status); ok && until.IsZero() {
		story.Load.Seen = append(story.Load.Seen, seen)
	}
	if o.noLogs {
		story.Load.Old.Lacks, story.Load.Gateway.Lacks = leftOut, leftOut
	} else if err := readLoad(ctx, s, cfg, story, v.plan); err != nil {
		return err
	}
	if o.verify {
		release, err := oneVerifies(cfg)
		if err != nil {
			return err
		}
		var found report.Verification
		st, err := v.whole(ctx)
		if err == nil {
			found, err = checkAll(ctx, s, cfg, checkOptions{}, verify.After, v.plan, st)
		}
		if err := errors.Join(err, release()); err != nil {
			return err
		}
		story.Verified = &found
	}
	if err := s.put(o.out, func(w io.Writer) error { return s.tell(w, story, o.all) }); err != nil {
		return err
	}
	if story.Verified != nil {
		return judged(story.Verified.Judge())
	}
	return nil
}

// leftOut is said of logs that nobody wanted read.
const leftOut = "its logs were not read, as --no-logs said."

// tell writes a story as -o says.
func (s *streams) tell(w io.Writer, story *report.Story, all bool) error {
	switch s.output {
	case "json":
		return story.JSON(w)
	case "markdown":
		return story.Markdown(w)
	case "html":
		return story.HTML(w)
	}
	return s.printer(w).Story(w, story, all)
}

// firewallTime bounds how long the firewall is asked.
const firewallTime = 10 * time.Second

// seen asks the firewall what it refused, if it may be closed. That it cannot be
// asked, for want of rights, is said and is no failure: then it is not known.
func (s *streams) seen(ctx context.Context, cfg *config.Config, st *state.Status) (report.Seen, bool) {
	if cfg.Isolate == nil || !st.Isolation.Closed && st.Isolation.State != state.IsolationConfirmed {
		return report.Seen{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, firewallTime)
	defer cancel()
	var counts map[netip.AddrPort]uint64
	driver, err := openFirewall(cfg)
	if err == nil {
		counts, err = driver.Seen(ctx)
	}
	if err != nil {
		s.say("the firewall could not be asked what it refused: %s", report.Harmless(err.Error()))
		return report.Seen{}, false
	}
	out := report.Seen{At: time.Now()}
	sources := map[netip.Addr]bool{}
	for from, n := range counts {
		out.Refused += n
		sources[from.Addr()] = true
	}
	out.Sources = len(sources)
	return out, true
}

// parseWhen reads a day, a time, or how long ago. "" is no time.
func parseWhen(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef(`%s %s: expected a day ("2026-03-01"), a time ("2026-03-01T22:00:00Z") or how long ago ("24h")`, flag, text)
}

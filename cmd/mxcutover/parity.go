package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mxcutover/config"
	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/verify"
)

// parityOptions are the flags of parity.
type parityOptions struct {
	addresses string
	logs      []string
	most      int
	rate      float64
	resume    string
	all       bool
}

func newParity(s *streams) *cobra.Command {
	var o parityOptions
	c := &cobra.Command{
		Use: "parity", Short: "ask the old server and the gateway for the same recipients, and show where they differ",
		Long: `parity asks the old server, and each planned MX host, at RCPT for every address of
a list, or for the recipients that mail logs name, the most used first. It shows
each address that they judge differently, the worst first: what the gateway
refuses though the old server accepts it is mail that will be lost.

Nothing is delivered: the conversations end before DATA. There is one at each
server, with one question a second; it begins anew after a few that were refused,
and what is put off (greylisting) is asked again later. At the first 421, 554 or
refusal by policy (5.7.x) all of it stops, and says so.

With --resume each answer is kept in a file as it comes, and what stands there is
not asked again: the same command goes on where it ended, also after Ctrl-C.
Exit: 0 they agree, 7 mail would be lost or bounced, 8 something could not be asked.`,
		Example: `  mxcutover parity --addresses valid.txt --resume parity.state
  mxcutover parity --logs '/var/log/exim4/mainlog*' --most 2000
  mxcutover parity --addresses - --rate 5 -o json < valid.txt | jq .summary`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runParity(cmd.Context(), s, o) },
	}
	f := c.Flags()
	f.StringVar(&o.addresses, "addresses", "", "a file of addresses, one a line, # for comments; - for the standard input")
	f.StringArrayVar(&o.logs, "logs", nil, "take the recipients that these mail logs name (a path, * for any letters)")
	f.IntVar(&o.most, "most", 10000, "of --logs, only so many recipients")
	f.Float64Var(&o.rate, "rate", 1, "questions a second at each server")
	f.StringVar(&o.resume, "resume", "", "a file that keeps the answers, to go on with")
	f.BoolVar(&o.all, "all-addresses", false, "each planned host at all of its addresses, not at one")
	_ = c.MarkFlagFilename("addresses") // completion alone
	_ = c.MarkFlagFilename("logs")
	_ = c.MarkFlagFilename("resume")
	s.addOutput(c)
	return c
}

func runParity(ctx context.Context, s *streams, o parityOptions) error {
	switch {
	case (o.addresses == "") == (len(o.logs) == 0):
		return usagef("name the addresses, with either --addresses FILE or --logs GLOB")
	case o.rate <= 0 || o.rate > 1000:
		return usagef("--rate %g: above 0 and at most 1000 was expected", o.rate)
	case o.most < 1:
		return usagef("--most %d: at least 1 was expected", o.most)
	}
	cfg, err := s.load()
	if err != nil {
		return err
	}
	addresses, err := o.list(ctx, s, cfg)
	if err != nil {
		return err
	}
	checker, err := newChecker(cfg)
	if err != nil {
		return err
	}
	p := verify.Parity{Addresses: addresses, Rate: o.rate}
	if p.Servers, err = parityServers(ctx, cfg, checker, o.all); err != nil {
		return err
	}
	for _, v := range checker.Vantages[:min(1, len(checker.Vantages))] {
		if v.Inside {
			s.say("note: %s is a place that the servers trust: what they accept from there tells little", v.Name)
		}
	}
	notes := &parityNotes{}
	if o.resume != "" {
		if notes, err = openNotes(o.resume, cfg.Probe.From); err != nil {
			return err
		}
		defer notes.close()
	}
	p.Known = notes.known
	progress := newParityProgress(s, p)
	p.Keep = func(a verify.Answer) error {
		progress.answered()
		return notes.add(a)
	}
	got, err := checker.Parity(ctx, p)
	progress.end()
	if err := notes.close(); err != nil {
		return err
	}
	return s.showParity(ctx, o, p, got, err)
}

// parityServers are the old server and the planned hosts; those of a template are
// asked for its domain alone, and then no others.
func parityServers(ctx context.Context, cfg *config.Config, c *verify.Checker, all bool) ([]verify.Server, error) {
	hosts := map[string][]string{} // by domain; "" = any other
	planned := slices.Clone(cfg.MX.Records)
	for _, m := range cfg.MX.Records {
		hosts[""] = append(hosts[""], rrset.Bare(m.Host))
	}
	for d, t := range cfg.MX.Templates {
		for _, m := range t {
			hosts[rrset.Bare(d)] = append(hosts[rrset.Bare(d)], rrset.Bare(m.Host))
			if !slices.ContainsFunc(planned, func(o rrset.MX) bool { return o.Host == m.Host }) {
				planned = append(planned, m)
			}
		}
	}
	servers, err := c.ParityServers(ctx, planned, all)
	if err != nil {
		return nil, err
	}
	for i := range servers {
		if s := &servers[i]; !s.Old {
			s.Takes = func(domain string) bool {
				of, ok := hosts[strings.ToLower(domain)]
				if !ok {
					of = hosts[""]
				}
				return slices.Contains(of, s.Name)
			}
		}
	}
	return servers, nil
}

// showParity prints what came out, and ends with the exit code for it.
func (s *streams) showParity(ctx context.Context, o parityOptions, p verify.Parity, got verify.Asked, err error) error {
	r := report.Parity{At: time.Now(), Old: p.Servers[0].String()}
	for _, x := range p.Servers[1:] {
		r.Against = append(r.Against, x.String())
	}
	switch {
	case ctx.Err() != nil:
		r.Stopped = "interrupted"
	case err != nil:
		r.Stopped = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	diffs, alike := p.Compare(got)
	r.Alike = alike
	code := plan.Pass
	for _, cause := range verify.Causes() {
		c := report.ParityCause{ID: string(cause), Bad: cause == verify.Lost || cause == verify.Backscatter}
		for _, d := range diffs {
			if d.Cause == cause {
				c.Differs = append(c.Differs, report.ParityPair{Address: d.Address, Server: d.Server.String(), Old: parityReply(d.Old), New: parityReply(d.New)})
			}
		}
		switch {
		case len(c.Differs) == 0:
		case c.Bad:
			code = plan.Fail
		case code == plan.Pass && cause != verify.Reply:
			code = plan.Unknown
		}
		r.Causes = append(r.Causes, c)
	}
	var shown error
	if s.json() {
		shown = report.ParityJSON(s.out, r)
	} else {
		shown = s.printer(s.out).Parity(s.out, r)
	}
	switch {
	case shown != nil:
		return shown
	case ctx.Err() != nil:
		if o.resume != "" {
			s.say("interrupted; the same command goes on, with what %s has", report.Quote(o.resume))
		}
		return fmt.Errorf("parity: %w", ctx.Err())
	case errors.Is(err, errNotes):
		return err
	case code == plan.Fail:
		return exitCode(codeFailed)
	case code == plan.Unknown || err != nil:
		return exitCode(codeUnknown)
	}
	return nil
}

func parityReply(a verify.Answer) report.ParityReply {
	return report.ParityReply{Code: a.Code, Enhanced: a.Enhanced, Text: a.Text}
}

// A parityProgress tells on a terminal how far it is.
type parityProgress struct {
	s           *streams
	total, done int
}

func newParityProgress(s *streams, p verify.Parity) *parityProgress {
	n := len(p.Addresses) * len(p.Servers)
	known := 0
	for k := range p.Known {
		if slices.ContainsFunc(p.Servers, func(x verify.Server) bool { return x.String() == k[0] }) {
			known++
		}
	}
	long := time.Duration(float64(len(p.Addresses)) / p.Rate * float64(time.Second)).Round(time.Second)
	s.say("%d addresses at %d servers, %g a second: %s at most, greylisting apart", len(p.Addresses), len(p.Servers), p.Rate, long)
	if known > 0 {
		s.say("%d answers are known from before", known)
	}
	return &parityProgress{s: s, total: n, done: known}
}

func (p *parityProgress) answered() {
	if p.done++; isTerminal(p.s.err) {
		fmt.Fprintf(p.s.err, "\r%d of %d answers ", min(p.done, p.total), p.total)
	}
}

func (p *parityProgress) end() {
	if isTerminal(p.s.err) && p.done > 0 {
		fmt.Fprintln(p.s.err)
	}
}

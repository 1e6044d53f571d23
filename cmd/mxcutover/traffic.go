package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mxcutover/config"
	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/traffic"
	"mxcutover/traffic/logfile"
)

// trafficOptions are the flags of traffic.
type trafficOptions struct {
	logs                       []string
	format, zone, since, until string
	domains, out               string
	skipped, limit             int
	all                        bool
}

func newTraffic(s *streams) *cobra.Command {
	var o trafficOptions
	c := &cobra.Command{
		Use: "traffic [LOG...]", Short: "rank domains by the mail that logs tell of",
		Long: `traffic reads mail logs and ranks the domains of their recipients by mail from
outside: messages, recipients that it was delivered to, bytes, first and last
message, and the hour of the day with most of them. What was refused is no traffic,
and counted apart. It changes nothing.

A LOG is a file, a directory, a pattern, or - for the standard input; without any,
traffic.logs of the configuration. Rotated and compressed files (gzip, zstd, xz,
bzip2) are read as they are, each server's as one log in the order of their times;
the format is found from the lines of each. A file that cannot be read, or is cut
off, is told and ends nothing else.

Shown are names in the zones of the configuration's providers, if there is a
configuration; with --domains those of a file and all below them; with --all all.`,
		Example: `  mxcutover traffic '/var/log/exim4/mainlog*'
  mxcutover traffic --since 720h -o csv --out traffic.csv
  mxcutover traffic --all --limit 20 /var/log/mail.log /var/log/mail.log.*.gz
  ssh old.example.net cat /var/log/exim4/mainlog | mxcutover traffic --zone Europe/Berlin -
  mxcutover traffic --show-skipped 5 mail.log`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.logs = args
			return runTraffic(cmd.Context(), s, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.format, "format", "", "of the logs: auto, "+strings.Join(traffic.Formats(), ", ")+" (default: traffic.format, else auto)")
	f.StringVar(&o.zone, "zone", "", "time zone of times without one, and of those that are shown (default: traffic.zone, else this machine's)")
	f.StringVar(&o.since, "since", "", "count from then on: a day, a time, or how long ago")
	f.StringVar(&o.until, "until", "", "count what was before")
	f.StringVar(&o.domains, "domains", "", "a file of domains, one a line, # for comments")
	f.BoolVar(&o.all, "all", false, "all domains, not those of the configuration alone")
	f.IntVar(&o.limit, "limit", 0, "show so many domains; 0 = all")
	f.IntVar(&o.skipped, "show-skipped", 0, "show so many lines of each file that were not understood")
	f.StringVar(&o.out, "out", "", "write to this file")
	completeWith(c, "format", func() []string { return append([]string{"auto"}, traffic.Formats()...) })
	_ = c.MarkFlagFilename("domains") // completion alone
	_ = c.MarkFlagFilename("out")
	addStragglers(s, c)
	s.addFormats(c, "table", "json", "csv")
	return c
}

func runTraffic(ctx context.Context, s *streams, o trafficOptions) error {
	if o.limit < 0 || o.skipped < 0 {
		return usagef("--limit and --show-skipped: 0 or more was expected")
	}
	if o.all && o.domains != "" {
		return usagef("either --all or --domains, not both")
	}
	cfg, err := s.loadIfThere(len(o.logs) == 0)
	if err != nil {
		return err
	}
	read, logs, err := o.read(s, cfg, time.Now())
	if err != nil {
		return err
	}
	got, err := s.readTraffic(ctx, logs, read)
	switch {
	case errors.Is(err, context.Canceled):
		s.say("interrupted: nothing is shown of what was read so far")
		return err
	case err != nil:
		return err
	}
	r := trafficReport(got, read.Zone, o.limit)
	for _, f := range r.Files {
		if f.Fault != "" && (s.output != "table" || o.out != "") {
			s.say("%s: %s", report.Harmless(f.Path), report.Harmless(f.Fault))
		}
	}
	return s.put(o.out, func(w io.Writer) error {
		switch s.output {
		case "json":
			return r.JSON(w)
		case "csv":
			return r.CSV(w)
		}
		return s.printer(w).Traffic(w, r)
	})
}

// readTraffic counts what logs tell, and shows on a terminal how far it is.
func (s *streams) readTraffic(ctx context.Context, logs []string, o logfile.Options) (*logfile.Result, error) {
	if !isTerminal(s.err) {
		return logfile.Read(ctx, logs, o)
	}
	o.Progress = readingProgress(s.err)
	got, err := logfile.Read(ctx, logs, o)
	fmt.Fprint(s.err, "\r\x1b[K")
	return got, err
}

// loadIfThere is load, but none is an error only if one is needed.
func (s *streams) loadIfThere(needed bool) (*config.Config, error) {
	if !needed && s.configPath == "" && os.Getenv("MXCUTOVER_CONFIG") == "" {
		if path := defaultConfig(); path == "" {
			return nil, nil
		}
	}
	return s.load()
}

// read says what is read, by flags and configuration.
func (o trafficOptions) read(s *streams, cfg *config.Config, now time.Time) (r logfile.Options, logs []string, err error) {
	r = logfile.Options{Stdin: s.in, Samples: o.skipped, Zone: time.Local, Now: now, Format: o.format}
	logs = o.logs
	zone, under := o.zone, map[string]bool(nil)
	if cfg != nil {
		if len(logs) == 0 {
			logs = cfg.Traffic.Logs
		}
		if zone == "" {
			zone = cfg.Traffic.Zone
		}
		if r.Format == "" {
			r.Format = cfg.Traffic.Format
		}
		under = map[string]bool{}
		for _, p := range cfg.Providers {
			for _, z := range p.Zones {
				under[rrset.Bare(z)] = true
			}
		}
	}
	if len(logs) == 0 {
		return r, nil, usagef("which logs? Name them, as in:\n  mxcutover traffic '/var/log/exim4/mainlog*'\nor set traffic.logs in the configuration")
	}
	if r.Format == "auto" {
		r.Format = ""
	}
	if zone != "" {
		if r.Zone, err = time.LoadLocation(zone); err != nil {
			return r, nil, usagef("--zone %.80q is no time zone that this machine knows; write one as in: Europe/Berlin", zone)
		}
	}
	if r.Since, err = parseWhen("--since", o.since, now); err != nil {
		return r, nil, err
	}
	if r.Until, err = parseWhen("--until", o.until, now); err != nil {
		return r, nil, err
	}
	if o.domains != "" {
		if under, err = readDomains(o.domains); err != nil {
			return r, nil, err
		}
	}
	r.Always = func(d []byte) bool { return under[string(d)] }
	if under != nil && !o.all {
		r.Wanted = func(d []byte) bool { return within(under, d) }
	}
	return r, logs, nil
}

// within tells whether a name is one of a set, or below one.
func within(set map[string]bool, name []byte) bool {
	for {
		if set[string(name)] {
			return true
		}
		i := strings.IndexByte(string(name), '.')
		if i < 0 {
			return false
		}
		name = name[i+1:]
	}
}

// readDomains reads one domain a line, below which all names count. Two on a line are
// refused: the second would not count.
func readDomains(path string) (map[string]bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--domains: %w", err)
	}
	defer f.Close()
	out := map[string]bool{}
	err = eachLine(path, f, func(n int, text string) error {
		name, err := rrset.CanonicalName(strings.TrimPrefix(text, "*."))
		if err != nil {
			return usagef("%s:%d: %w; write one domain name a line, as in: example.org", path, n, err)
		}
		out[rrset.Bare(name)] = true
		return nil
	})
	if err == nil && len(out) == 0 {
		err = usagef("%s: no domain is in it", path)
	}
	return out, err
}

// trafficReport is what was read, as package report shows it.
func trafficReport(got *logfile.Result, zone *time.Location, limit int) report.Traffic {
	r := report.Traffic{Stats: got.Stats, First: got.First(), Last: got.Last(), Left: got.Left, Others: got.Others(), Domains: got.Ranked(), Zone: zone}
	if limit > 0 && len(r.Domains) > limit {
		r.More = len(r.Domains) - limit
		r.Domains = r.Domains[:limit]
	}
	for _, f := range got.Files {
		x := report.TrafficFile{Stats: f.Stats, Path: f.Path, Kind: f.Kind, Format: f.Format, Bytes: f.Bytes, Samples: f.Samples}
		if f.Err != nil {
			x.Fault = f.Err.Error()
		}
		r.Files = append(r.Files, x)
	}
	return r
}

// readingProgress shows on a terminal how far a reading is.
func readingProgress(w io.Writer) func(logfile.Status) {
	start := time.Now()
	return func(at logfile.Status) {
		took := time.Since(start).Seconds()
		rate := float64(at.Read) / max(took, 0.001)
		text := fmt.Sprintf("%s read, %s a second", report.Bytes(uint64(at.Read)), report.Bytes(uint64(rate)))
		if left := at.Total - at.Read; at.Total > 0 && left >= 0 && rate > 0 {
			text += fmt.Sprintf(", %d %%, %s to go", at.Read*100/at.Total, time.Duration(float64(left)/rate*float64(time.Second)).Round(time.Second))
		}
		fmt.Fprintf(w, "\r\x1b[K%s", text)
	}
}

// countTraffic tells how much mail each domain has: by traffic.table, or else by the
// old server's logs: recipients to whom mail from outside was delivered. Neither:
// nothing is known.
func countTraffic(ctx context.Context, s *streams, cfg *config.Config) (map[string]plan.Traffic, error) {
	if cfg.Traffic.Table != "" {
		return config.ReadTraffic(cfg.Traffic.Table)
	}
	out := map[string]plan.Traffic{}
	if len(cfg.Traffic.Logs) == 0 {
		return out, nil
	}
	o, logs, err := trafficOptions{all: true}.read(s, cfg, time.Now())
	if err != nil {
		return nil, err
	}
	if o.Hours, err = time.LoadLocation(cfg.Gate.Zone); err != nil { // peak hours are of the gate's zone
		return nil, fmt.Errorf("gate.zone: %w", err)
	}
	got, err := s.readTraffic(ctx, logs, o)
	if err != nil {
		return nil, fmt.Errorf("traffic.logs: %w", err)
	}
	for _, f := range got.Files {
		if f.Err != nil && !errors.Is(f.Err, context.Canceled) {
			s.say("traffic.logs: %s: %s: what is in it is not counted, or not all", report.Harmless(f.Path), report.Harmless(f.Err.Error()))
		}
	}
	if got.Left > 0 {
		others := got.Others()
		s.say("traffic.logs: there are more domains than can be told apart; others, which are no zones of ours, had %d messages, and %d were refused", others.Messages, others.Rejected)
	}
	for _, d := range got.Ranked() {
		name, err := rrset.CanonicalName(d.Name)
		if err != nil || d.Delivered == 0 {
			continue
		}
		t := plan.Traffic{Messages: d.Delivered}
		if peak, ok := d.Peak(); ok {
			t.Peak = &peak
		}
		out[name] = t
	}
	return out, nil
}

package main

import (
	"context"
	"fmt"
	"time"

	"mxcutover/config"
	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/traffic/logfile"
)

// countTraffic tells how much mail each domain has, by which waves are made: by
// traffic.table, or else by the old server's logs. Neither: nothing is known.
func countTraffic(ctx context.Context, s *streams, cfg *config.Config) (map[string]plan.Traffic, error) {
	if cfg.Traffic.Table != "" {
		return config.ReadTraffic(cfg.Traffic.Table)
	}
	if len(cfg.Traffic.Logs) == 0 {
		return map[string]plan.Traffic{}, nil
	}
	read, logs, err := trafficOptions{}.read(s, cfg, time.Now())
	if err != nil {
		return nil, err
	}
	read.Wanted = nil // names in no zone of ours are told, too
	if cfg.Gate.Zone != "" {
		if read.Hours, err = time.LoadLocation(cfg.Gate.Zone); err != nil {
			return nil, fmt.Errorf("gate.zone: %w", err)
		}
	}
	if isTerminal(s.err) {
		read.Progress = readingProgress(s.err)
	}
	got, err := logfile.Read(ctx, logs, read)
	if isTerminal(s.err) {
		fmt.Fprint(s.err, "\r\x1b[K")
	}
	if err != nil {
		return nil, fmt.Errorf("traffic.logs: %w", err)
	}
	for _, f := range got.Files {
		switch {
		case f.Err != nil:
			s.say("%s: counted as far as it could be read: %s", report.Harmless(f.Path), report.Harmless(f.Err.Error()))
		case f.Lines > 0 && f.Parsed == 0:
			s.say("%s: no line is of a known format, so no mail was counted there", report.Harmless(f.Path))
		}
	}
	if got.Left > 0 {
		s.say("traffic.logs: mail of more domains than can be counted was left out, %d times", got.Left)
	}
	out := map[string]plan.Traffic{}
	for _, d := range got.Ranked() {
		name, err := rrset.CanonicalName(d.Name)
		if err != nil || d.Delivered == 0 {
			continue
		}
		t := plan.Traffic{Messages: out[name].Messages + d.Delivered}
		if hour, ok := d.Peak(); ok {
			t.Peak = &hour
		}
		out[name] = t
	}
	return out, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mxcutover/config"
	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/traffic/logfile"
)

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
	if isTerminal(s.err) {
		o.Progress = readingProgress(s.err)
	}
	got, err := logfile.Read(ctx, logs, o)
	if isTerminal(s.err) {
		fmt.Fprint(s.err, "\r\x1b[K")
	}
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

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"mxcutover/config"
	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/traffic"
)

// loadBefore is how long before the migration the servers' load is told.
const loadBefore = 14 * 24 * time.Hour

// readLoad reads from the servers' logs how much mail each had in an hour. What cannot
// be read is told in the report, and ends nothing; an error means that the context
// ended.
func readLoad(ctx context.Context, s *streams, cfg *config.Config, story *report.Story, p plan.Plan) error {
	count := traffic.Hours{Wanted: plannedNames(p), Until: story.Until}
	begun := story.Begun
	if begun.IsZero() {
		begun = time.Now()
	}
	count.Since = begun.Add(-loadBefore)
	if count.Until.IsZero() {
		count.Until = time.Now()
	}
	unsure := loadPeers(ctx, cfg, &count)
	for _, x := range []struct {
		to    *report.ServerLog
		key   string
		globs []string
		alone bool
	}{{&story.Load.Old, "traffic.logs", cfg.Traffic.Logs, false}, {&story.Load.Gateway, "traffic.gateway_logs", cfg.Traffic.GatewayLogs, true}} {
		if len(x.globs) == 0 {
			x.to.Lacks = "set " + x.key + " in the configuration to where its mail log can be read."
			continue
		}
		hours := count
		if x.alone {
			hours.Gateway = nil
		}
		got, err := readLogs(ctx, cfg, s.in, x.globs, hours.Add)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			x.to.Lacks = fmt.Sprintf("%s could not be read: %v", x.key, err)
			continue
		}
		var faults []string
		for _, f := range got.Files {
			if f.Err != nil {
				faults = append(faults, fmt.Sprintf("%s: %v", f.Path, f.Err))
			}
		}
		if hours.Left > 0 {
			faults = append(faults, fmt.Sprintf("%d records of more hours than are counted", hours.Left))
		}
		if !x.alone && unsure != "" {
			faults = append(faults, unsure)
		}
		x.to.First, x.to.Last, x.to.Hours, x.to.Unsure = hours.First, hours.Last, hours.List(), strings.Join(faults, "; ")
	}
	return nil
}

// peersTime bounds how long the gateway's addresses are looked up.
const peersTime = 10 * time.Second

// loadPeers sets who hands mail on to the old server, and what is a probe; or tells
// what is not known then.
func loadPeers(ctx context.Context, cfg *config.Config, count *traffic.Hours) (unsure string) {
	if len(cfg.Traffic.Logs)+len(cfg.Traffic.GatewayLogs) == 0 {
		return ""
	}
	site, err := openSite(cfg)
	if err != nil {
		return fmt.Sprintf("probes and what the gateway hands on are counted as straight mail: %v", err)
	}
	defer site.checker.Close()
	count.Skip = site.checker.Probes
	ctx, cancel := context.WithTimeout(ctx, peersTime)
	defer cancel()
	if count.Gateway, err = site.checker.Gateway(ctx); err != nil {
		return fmt.Sprintf("what the gateway hands on is counted as straight mail: %v", err)
	}
	return ""
}

// plannedNames tells whether a name is one of the plan's. "*.example.org" has all names
// below it.
func plannedNames(p plan.Plan) func([]byte) bool {
	names, below := map[string]bool{}, map[string]bool{}
	for _, w := range p.Waves {
		for _, c := range w.Cutovers {
			name := strings.ToLower(rrset.Bare(c.Domain))
			if parent, ok := strings.CutPrefix(name, "*."); ok {
				below[parent] = true
			} else {
				names[name] = true
			}
		}
	}
	return func(d []byte) bool {
		if names[string(d)] {
			return true
		}
		_, parent, ok := strings.Cut(string(d), ".")
		return ok && len(below) > 0 && within(below, []byte(parent))
	}
}

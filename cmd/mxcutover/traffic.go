package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mxcutover/config"
	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/traffic"
)

// countTraffic tells how much mail each domain has: by traffic.table, or else by the
// old server's logs. Neither: nothing is known.
func countTraffic(ctx context.Context, s *streams, cfg *config.Config) (map[string]plan.Traffic, error) {
	if cfg.Traffic.Table != "" {
		return config.ReadTraffic(cfg.Traffic.Table)
	}
	if len(cfg.Traffic.Logs) == 0 {
		return map[string]plan.Traffic{}, nil
	}
	m, err := mailOf(cfg)
	if err != nil {
		return nil, err
	}
	u := &traffic.Usage{}
	if cfg.Gate.Zone != "" {
		if u.Zone, err = time.LoadLocation(cfg.Gate.Zone); err != nil {
			return nil, fmt.Errorf("gate.zone: %w", err)
		}
	}
	zone := m.Zone
	if zone == nil {
		zone = time.Local
	}
	for _, files := range logsOf(cfg.Traffic.Logs) {
		log, err := traffic.NewLog(traffic.Options{Format: m.Format, Now: time.Now(), Zone: zone}, u.Add)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if err := countLog(ctx, s.err, log, f); err != nil {
				return nil, err
			}
		}
		if log.Lines > 0 && log.Parsed == 0 {
			s.say("%v: no line is of a known format, so no mail was counted there", files)
		}
	}
	if u.Left > 0 {
		s.say("traffic.logs: mail of more domains than can be counted was left out, %d times", u.Left)
	}
	out := map[string]plan.Traffic{}
	u.Each(func(domain string, recipients uint64, peak int) {
		if name, err := rrset.CanonicalName(domain); err == nil {
			out[name] = plan.Traffic{Messages: out[name].Messages + recipients, Peak: &peak}
		}
	})
	return out, nil
}

// logsOf are the files of each pattern, the oldest first: they are one server's log,
// rotated.
func logsOf(globs []string) (out [][]string) {
	for _, g := range globs {
		files, err := filepath.Glob(g)
		if err != nil || len(files) == 0 {
			files = []string{g} // that says what is wrong with it
		}
		age := map[string]time.Time{}
		for _, f := range files {
			if info, err := os.Stat(f); err == nil {
				age[f] = info.ModTime()
			}
		}
		slices.SortStableFunc(files, func(a, b string) int { return age[a].Compare(age[b]) })
		out = append(out, files)
	}
	return out
}

// countLog reads one file of a log, and tells on a terminal how far it is.
func countLog(ctx context.Context, progress io.Writer, log *traffic.Log, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("traffic.logs: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("traffic.logs: %w", err)
	}
	log.At(info.ModTime())
	err = log.Read(&watched{ctx: ctx, r: f, size: info.Size(), name: file, progress: progress})
	if isTerminal(progress) {
		fmt.Fprint(progress, "\r\x1b[K")
	}
	if err != nil {
		return fmt.Errorf("traffic.logs: %s: %w", file, err)
	}
	return nil
}

// A watched reader ends with its context, and tells how far it is.
type watched struct {
	ctx        context.Context //nolint:containedctx // io.Reader has no place for it
	r          io.Reader
	name       string
	size, read int64
	told       int64
	progress   io.Writer
}

func (w *watched) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.r.Read(p)
	if w.read += int64(n); w.read-w.told > 16<<20 && isTerminal(w.progress) {
		w.told = w.read
		fmt.Fprintf(w.progress, "\rreading %s: %d of %d MB ", w.name, w.read>>20, w.size>>20)
	}
	return n, err
}

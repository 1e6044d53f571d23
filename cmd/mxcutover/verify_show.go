package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"mxcutover/config"
	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/state"
	"mxcutover/state/bolt"
)

// oneVerifies keeps a second whole verification away while one runs, as when cron
// begins the next before the last has ended. Where the lock cannot be made, for
// want of rights or of the folder, it is done without.
func oneVerifies(cfg *config.Config) (release func() error, err error) {
	none := func() error { return nil }
	base := beside(cfg.State.Path, ".verify")
	if _, err := os.Stat(filepath.Dir(base)); err != nil {
		return none, nil //nolint:nilerr // nothing was begun there
	}
	h, err := bolt.Take(base, "verify of "+whoami(), true)
	if errors.Is(err, state.ErrLocked) {
		return nil, fmt.Errorf("another verification is still running: %w", err)
	}
	if err != nil {
		return none, nil //nolint:nilerr // a reader may lack the right to lock
	}
	return h.Release, nil
}

// showVerification writes a verification to where it was asked for, and ends with
// the exit code that its findings ask for.
func (s *streams) showVerification(v report.Verification, o checkOptions, st *state.Status) error {
	if o.textfile != "" {
		m := report.Metrics{Migration: v.Migration, Version: version, Now: time.Now(), Status: st, Findings: report.CountByCheck(v.Findings), Verified: &v}
		if err := writeWhole(o.textfile, true, m.Write); err != nil {
			return err
		}
	}
	quiet := o.quiet && v.Judge() == plan.Pass
	if o.out != "" || !o.nagios && !quiet {
		if err := s.put(o.out, func(w io.Writer) error { return s.format(w, v, o.all) }); err != nil {
			return err
		}
	}
	if !o.nagios {
		return judged(v.Judge())
	}
	code, err := v.Nagios(s.out)
	if err != nil || code == report.NagiosOK {
		return err
	}
	return exitCode(code)
}

// format writes a verification as -o says.
func (s *streams) format(w io.Writer, v report.Verification, all bool) error {
	switch s.output {
	case "json":
		return v.JSON(w)
	case "junit":
		return v.JUnit(w)
	case "markdown":
		return v.Markdown(w)
	case "html":
		return v.HTML(w)
	}
	return s.printer(w).Verification(w, v, all)
}

// judged is the exit code that a verdict asks for.
func judged(verdict plan.Severity) error {
	switch verdict {
	case plan.Fail:
		return exitCode(codeFailed)
	case plan.Unknown:
		return exitCode(codeUnknown)
	}
	return nil
}

// showFindings prints findings of one command's own checks.
func (s *streams) showFindings(found []plan.Finding) error {
	v := report.Verification{At: time.Now(), Findings: report.Of("", found)}
	var err error
	if s.json() {
		err = v.JSON(s.out)
	} else {
		err = s.printer(s.out).Findings(s.out, found)
	}
	if err != nil {
		return err
	}
	return judged(v.Judge())
}

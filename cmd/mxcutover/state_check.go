package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/state"
	"mxcutover/state/bolt"
)

// A checkup is what state check found.
type checkup struct {
	V         int       `json:"v"`
	File      string    `json:"file"`
	Bytes     int64     `json:"bytes"`
	Mode      string    `json:"mode"`
	Migration string    `json:"migration,omitempty"`
	Plan      string    `json:"plan,omitempty"`
	Domains   int       `json:"domains"`
	Events    uint64    `json:"events"`
	First     time.Time `json:"first,omitzero"`
	Last      time.Time `json:"last,omitzero"`
	Snapshots int       `json:"snapshots"` // whole records in the text file
	Missing   []string  `json:"missing"`   // snapshots of the journal that the text file does not have
	Damage    []string  `json:"damage"`
	text      string    // path of the text file
}

func runStateCheck(ctx context.Context, s *streams, args []string) error {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	path, text := cfg.State.Path, snapshotFile(cfg)
	if len(args) == 1 {
		path, text = args[0], args[0]+".snapshots"
	}
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) && len(args) == 0 {
		return errNoMigration
	}
	if err != nil {
		return err
	}
	c := checkup{V: 1, File: path, Bytes: info.Size(), Mode: fmt.Sprintf("%04o", info.Mode().Perm()), Missing: []string{}, Damage: []string{}, text: text}
	if err := c.journal(ctx, path, text); err != nil {
		return err
	}
	if err := c.tell(s); err != nil {
		return err
	}
	if len(c.Damage)+len(c.Missing) > 0 {
		return exitCode(codeError)
	}
	return nil
}

// journal reads all of a journal, as far as it goes, and its snapshots.
func (c *checkup) journal(ctx context.Context, path, text string) error {
	known := c.snapshots(text)
	store, err := bolt.Open(path, bolt.Options{ReadOnly: true, Wait: time.Second})
	switch {
	case errors.Is(err, state.ErrLocked):
		return fmt.Errorf("%w; it is checked as it runs; to check it all the same, make a backup and check that", err)
	case err != nil:
		c.Damage = append(c.Damage, err.Error())
		return nil
	}
	defer store.Close()
	j, err := state.Open(ctx, store, state.Options{Now: time.Now, Salvage: true, Verify: true})
	if err != nil {
		c.Damage = append(c.Damage, err.Error())
		return nil
	}
	defer j.Close()
	if d := j.Damage(); d != nil {
		c.Damage = append(c.Damage, d.Error())
	}
	st := j.Status()
	c.Migration, c.Plan, c.Domains, c.Events = st.Migration, st.PlanID, len(st.Domains), st.Seq
	for ev, err := range j.Events(ctx, 0) {
		if err != nil {
			c.Damage = append(c.Damage, err.Error())
			break
		}
		if c.First.IsZero() {
			c.First = ev.At
		}
		c.Last = ev.At
		if ev.Kind == state.Intended && ev.Intent != nil && ev.Intent.Snapshot != nil && known != nil && known[ev.Seq] != ev.Intent.Snapshot.Hash() {
			c.Missing = append(c.Missing, fmt.Sprintf("event %d, %s of %s", ev.Seq, ev.Step, rrset.Bare(ev.Domain)))
		}
	}
	return nil
}

// snapshots reads the text file: the hash of each snapshot by its event. nil:
// there is none.
func (c *checkup) snapshots(path string) map[uint64]string {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		c.Damage = append(c.Damage, err.Error())
		return nil
	}
	defer f.Close()
	snaps, err := state.ReadSnapshots(f)
	if err != nil {
		c.Damage = append(c.Damage, fmt.Sprintf("%s: %v", path, err))
	}
	out := map[uint64]string{}
	for _, x := range snaps {
		out[x.Seq] = x.Set.Hash()
	}
	c.Snapshots = len(snaps)
	return out
}

// tell writes what was found, and what can be done.
func (c *checkup) tell(s *streams) error {
	if s.json() {
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		return e.Encode(c)
	}
	p := s.printer(s.out)
	fmt.Fprintf(s.out, "%s: %d bytes, mode %s\n", c.File, c.Bytes, c.Mode)
	if c.Migration != "" {
		fmt.Fprintf(s.out, "  migration %s, plan %.12s, %d domains\n", report.Harmless(c.Migration), c.Plan, c.Domains)
		fmt.Fprintf(s.out, "  %d events, from %s to %s\n", c.Events, c.First.UTC().Format(time.RFC3339), c.Last.UTC().Format(time.RFC3339))
		fmt.Fprintf(s.out, "  %d snapshots in the text file\n", c.Snapshots)
	}
	for _, m := range c.Missing {
		fmt.Fprintf(s.out, "%s the text file lacks the snapshot of %s\n", p.Symbol(report.Bad), report.Harmless(m))
	}
	for _, d := range c.Damage {
		fmt.Fprintf(s.out, "%s %s\n", p.Symbol(report.Bad), report.Harmless(strings.ReplaceAll(d, "\n", "; ")))
	}
	if len(c.Damage)+len(c.Missing) == 0 {
		fmt.Fprintf(s.out, "%s whole: every page, event and snapshot was read, and the chain of hashes holds\n", p.Symbol(report.Good))
		return nil
	}
	fmt.Fprintf(s.out, "what can be done:\n  mxcutover state restore BACKUP\n  mxcutover rollback --from %s --all --confirm all   # restores every record, without the journal\n",
		report.Quote(c.text))
	return nil
}

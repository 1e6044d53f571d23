package providers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"mxcutover/rrset"
)

// rereads is how often a file is read again that others changed meanwhile.
const rereads = 5

// Swap changes one RRset in the file, and makes the servers read it; see
// [Swapper]. Others' edits of other records, made meanwhile, are kept. If the
// file was changed and the reload failed, that is [ErrHalf].
func (p *zonefile) Swap(ctx context.Context, c rrset.Change) error {
	w, err := newWanted(c.Zone, c.After.Name, c.After.Type)
	if err != nil {
		return err
	}
	if w.typ == typeSOA {
		return errors.New("the SOA record is not changed by itself; its serial goes on with each change")
	}
	if _, err := recordsOf(c.After); err != nil {
		return err
	}
	return p.locked(ctx, w.zone, func(l *fileLock) error {
		for range rereads {
			err := p.swapOnce(ctx, w, c, l)
			if errors.Is(err, errMeanwhile) {
				continue
			}
			if err != nil {
				return err
			}
			return p.reload(ctx, w.zone, l)
		}
		return &transient{fmt.Errorf("%s was changed by others each time that it was to be written", l.target)}
	})
}

// locked does something while nobody else writes the zone's file by our lock.
func (p *zonefile) locked(ctx context.Context, zone string, do func(*fileLock) error) error {
	leave, err := p.places.enter(ctx, zone)
	if err != nil {
		return err
	}
	defer leave()
	path, err := p.path(zone)
	if err != nil {
		return err
	}
	l, err := lockFile(ctx, path)
	if err != nil {
		return err
	}
	defer l.release()
	return do(l)
}

// swapOnce reads, compares, and puts the new text in place. It does nothing where
// After is there already. errMeanwhile: somebody else was faster.
func (p *zonefile) swapOnce(ctx context.Context, w wanted, c rrset.Change, l *fileLock) error {
	z, err := p.zone(w.zone)
	if err != nil {
		return err
	}
	if z.main.path != l.target {
		return errMeanwhile
	}
	if err := p.ours(z); err != nil {
		return err
	}
	found, err := z.set(w)
	switch {
	case err != nil:
		return err
	case found.Equal(c.After):
		return nil
	case !found.Equal(c.Before):
		return &DriftError{Expected: c.Before, Found: found}
	}
	text, err := z.change(c, func(old uint32) uint32 { return p.Serial.next(old, p.now()) })
	if err != nil {
		return err
	}
	return p.save(ctx, z, text, l)
}

// ours refuses a file that is not written by hand.
func (p *zonefile) ours(z *fileZone) error {
	if z.signed && !p.Signs {
		return fmt.Errorf("%s holds signatures (RRSIG, NSEC), which a change would make wrong; name the file that is signed, or let reload sign it anew and say so by signs: true", z.main.path)
	}
	if !p.Journal {
		if _, err := os.Lstat(z.main.path + ".jnl"); err == nil {
			return fmt.Errorf("%s has a journal beside it, so DNS updates own it and a change by hand would be lost; use the kind rfc2136, or set journal: true if its server only computes differences or signs inline", z.main.path)
		}
	}
	return nil
}

// save puts a new text in place of the one that was read.
func (p *zonefile) save(ctx context.Context, z *fileZone, text []byte, l *fileLock) error {
	fresh, err := l.stage(text)
	if err != nil {
		return err
	}
	defer os.Remove(fresh) // gone already if all went well
	if len(p.Check) > 0 {
		values := map[string]string{"{zone}": rrset.Bare(z.zone), "{file}": fresh}
		if err := p.Check.run(ctx, filepath.Dir(l.target), values, p.Timeout); err != nil {
			return fmt.Errorf("%s: nothing was written, since the new text was refused: check: %w", l.target, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return &transient{fmt.Errorf("%s: nothing was written: %w", l.target, err)}
	}
	if now, err := p.zone(z.zone); err != nil || now != z {
		return errors.Join(errMeanwhile, err)
	}
	return l.install(fresh)
}

// reload makes the servers read the file, and forgets that it was owed.
func (p *zonefile) reload(ctx context.Context, zone string, l *fileLock) error {
	values := map[string]string{"{zone}": rrset.Bare(zone), "{file}": l.target}
	if err := p.Reload.run(ctx, filepath.Dir(l.target), values, p.Timeout); err != nil {
		return &transient{fmt.Errorf("%s has the change, but its servers may not: %w, and the reload is run again with the next try: %w", l.target, ErrHalf, err)}
	}
	return l.settle()
}

// Publish runs the reload that is still owed for a zone's file, if one is: the
// command failed, or the process died before it had ended. See [Publisher].
func (p *zonefile) Publish(ctx context.Context, zone string) error {
	name, err := rrset.CanonicalName(zone)
	if err != nil {
		return err
	}
	path, err := p.path(name)
	if err != nil {
		return err
	}
	if owed, err := reloadOwed(path); err != nil || !owed {
		return err
	}
	return p.locked(ctx, name, func(l *fileLock) error {
		if owed, err := reloadOwed(l.target); err != nil || !owed {
			return err
		}
		return p.reload(ctx, name, l)
	})
}

// Inspect proves that the file could be changed: it may be, its folder takes a
// new file, and no reload is owed.
func (p *zonefile) Inspect(ctx context.Context, zone string) error {
	name, err := rrset.CanonicalName(zone)
	if err != nil {
		return err
	}
	return p.locked(ctx, name, func(l *fileLock) error {
		z, err := p.zone(name)
		if err != nil {
			return err
		}
		if err := p.ours(z); err != nil {
			return err
		}
		if _, _, err := z.soa(); err != nil {
			return err
		}
		fresh, err := l.stage(z.main.text)
		if err != nil {
			return err
		}
		defer os.Remove(fresh)
		if len(p.Check) > 0 {
			values := map[string]string{"{zone}": rrset.Bare(name), "{file}": fresh}
			if err := p.Check.run(ctx, filepath.Dir(l.target), values, p.Timeout); err != nil {
				return fmt.Errorf("%s is refused as it is: check: %w", l.target, err)
			}
		}
		if owed, err := reloadOwed(l.target); err != nil || owed {
			return errors.Join(err, fmt.Errorf("%s was changed, and its servers may not have read it: reload them, then empty %s", l.target, lockName(l.target)))
		}
		return nil
	})
}

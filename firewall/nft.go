package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// NFT drives the kernel of a machine through nft: of this one (local), or of another
// (ssh). Nothing is installed there; see remote.sh.
type NFT struct {
	asker
	place place
	now   func() time.Time

	mu sync.Mutex
	as *dialect // what the machine understands, once it was asked
}

// openLocal drives this machine.
func openLocal(s Settings) (Driver, error) {
	if _, err := exec.LookPath("nft"); err != nil {
		if _, err := exec.LookPath(filepath.Join("/usr/sbin", "nft")); err != nil {
			return nil, errors.New("local: no nft here; install nftables")
		}
	}
	return newNFT(here{s.Command}, s, false)
}

// openSSH drives another machine.
func openSSH(s Settings) (Driver, error) {
	if s.Far == nil {
		return nil, errors.New("ssh: isolate.host was expected")
	}
	return newNFT(s.Far, s, s.Sudo)
}

func newNFT(far Far, s Settings, sudo bool) (*NFT, error) {
	p, err := placeOf(s.BootFile, s.Unit)
	if err != nil {
		return nil, err
	}
	wait := window
	if s.Window > 0 {
		wait = s.Window
	}
	return &NFT{asker: asker{far, p.command(wait, sudo), wait}, place: p, now: time.Now}, nil
}

// Apply arms, renews, closes for good or lifts, by what is loaded and what is asked.
func (n *NFT) Apply(ctx context.Context, r Rules, until time.Time) error {
	if len(r.Ports) == 0 {
		return n.lift(ctx)
	}
	begun, within := time.Now(), until.Sub(n.now()) // the wall's clock may be set while we ask
	if err := n.safe(ctx, r); err != nil {
		return err
	}
	r = r.canonical()
	have, err := n.read(ctx)
	if err != nil {
		return err
	}
	as, err := n.dialect(ctx, r)
	if err != nil {
		return err
	}
	if within -= time.Since(begun); !until.IsZero() && within < time.Second {
		return fmt.Errorf("%w: until %s is past", ErrRules, until.Format(time.RFC3339))
	}
	same := slices.Equal(have.rules.Ports, r.Ports) && slices.Equal(have.rules.Trust, r.Trust) && have.rules.Action == r.Action
	forGood := same && have.rules.Holds(r.Ports)
	switch {
	case !have.there && len(r.Lasting) > 0:
		return fmt.Errorf("%w: ports %v were closed for good, and are not; lift, and begin anew", ErrRules, r.Lasting)
	case have.there && !slices.Equal(have.rules.Lasting, r.Lasting) && !forGood:
		// Arming some ports never opens others that are closed for good, by their lapsing.
		return fmt.Errorf("%w: ports %v are closed for good, and %v were to be", ErrRules, have.rules.Lasting, r.Lasting)
	case forGood:
		return nil
	case until.IsZero() && !same:
		return fmt.Errorf("%w: ports %v are not armed with just these rules, so they cannot be confirmed", ErrRules, r.Ports)
	case until.IsZero():
		return n.load(ctx, as.confirm(r, have.epoch), have.epoch+1)
	case !have.there:
		return n.load(ctx, as.first(r, within), 1)
	case same:
		return n.load(ctx, renew(r, within, have.epoch), have.epoch+1)
	}
	return n.load(ctx, as.replace(r, within, have.epoch), have.epoch+1)
}

// safe refuses rules that would lock out administrators, among them whoever we are:
// our own way in may be on a port that is not SSH's usual one.
func (n *NFT) safe(ctx context.Context, r Rules) error {
	if err := r.Check(); err != nil {
		return err
	}
	out, err := n.ask(ctx, "whence", "")
	if err != nil {
		return fmt.Errorf("whether our own way in would be closed: %w", err)
	}
	f := strings.Fields(out) // client's address and port, server's address and port (ssh(1), SSH_CONNECTION)
	if len(f) != 4 {
		return nil // nobody came by SSH
	}
	port, err := strconv.ParseUint(f[3], 10, 16)
	if err != nil {
		return fmt.Errorf("whether our own way in would be closed: SSH_CONNECTION %.80q", out)
	}
	if slices.Contains(r.Ports, uint16(port)) {
		return fmt.Errorf("%w: port %d is the one by which SSH comes to %s", ErrRules, port, n.far)
	}
	return nil
}

// lift removes the boot file first, so that a reboot in between opens too.
func (n *NFT) lift(ctx context.Context) error {
	if _, err := n.ask(ctx, "lift", lift()+dismiss()); err != nil {
		return n.observe(ctx, fmt.Errorf("lift: %w", err), func(l loaded) bool { return !l.there })
	}
	return nil
}

// load checks the text whole, then loads it. What it is not known of is looked at.
func (n *NFT) load(ctx context.Context, text string, epoch uint64) error {
	_, err := n.ask(ctx, "load", text)
	switch {
	case errors.Is(err, ErrInDoubt):
		return n.observe(ctx, err, func(l loaded) bool { return l.there && l.epoch == epoch })
	case err != nil:
		return fmt.Errorf("the rules were refused, and nothing was changed: %w", err)
	}
	return nil
}

// observe looks at what has become of a change that is in doubt, until it is there or
// can no longer come.
func (n *NFT) observe(ctx context.Context, doubt error, is func(loaded) bool) error {
	if !errors.Is(doubt, ErrInDoubt) {
		return doubt
	}
	over := time.Now().Add(n.wait + time.Second)
	tick := time.NewTicker(max(n.wait/20, 50*time.Millisecond))
	defer tick.Stop()
	for {
		late := time.Now().After(over)
		have, err := n.read(ctx)
		switch {
		case err == nil && is(have):
			return nil
		case err == nil && late:
			return fmt.Errorf("it was not done: %s", strings.TrimPrefix(doubt.Error(), ErrInDoubt.Error()+": "))
		case late:
			return fmt.Errorf("%w; nor can it be read: %w", doubt, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return doubt
		}
	}
}

// Keep writes what is closed for good down for the next boot: the file, then the unit
// that loads it. It may be called again after a crash.
func (n *NFT) Keep(ctx context.Context, r Rules) error {
	have, err := n.read(ctx)
	if err != nil {
		return err
	}
	if r = r.canonical(); !slices.Equal(have.rules.Lasting, r.Ports) || !slices.Equal(have.rules.Trust, r.Trust) {
		return fmt.Errorf("%w: ports %v are not closed for good, so they are not kept for the next boot", ErrRules, r.Ports)
	}
	as, err := n.dialect(ctx, r)
	if err != nil {
		return err
	}
	if _, err := n.ask(ctx, "boot", as.bootText(r)); err != nil {
		return fmt.Errorf("boot file: %w", err)
	}
	if _, err := n.ask(ctx, "unit", n.place.unitText()); err != nil {
		return fmt.Errorf("unit: %w", err)
	}
	return nil
}

// Kept tells whether the next boot closes with just these rules.
func (n *NFT) Kept(ctx context.Context, r Rules) (bool, error) {
	as, err := n.dialect(ctx, r.canonical())
	if err != nil {
		return false, err
	}
	is := func(verb, text string) (bool, error) {
		out, err := n.ask(ctx, verb, text)
		return strings.TrimSpace(out) == "yes", err
	}
	kept, err := is("isboot", as.bootText(r.canonical()))
	for i := range dialects { // it was written for the kernel that ran then
		if d := &dialects[i]; err == nil && !kept && *d != *as {
			kept, err = is("isboot", d.bootText(r.canonical()))
		}
	}
	if err != nil || !kept {
		return false, err
	}
	return is("isunit", n.place.unitText())
}

// Loaded reads the kernel's rules back.
func (n *NFT) Loaded(ctx context.Context) (Rules, time.Time, error) {
	have, err := n.read(ctx)
	return have.rules, have.until, err
}

func (n *NFT) read(ctx context.Context) (loaded, error) {
	out, err := n.ask(ctx, "list", "")
	if err != nil || isAbsent(out) {
		return loaded{}, err
	}
	return parseTable([]byte(out), n.now())
}

// isAbsent tells whether the machine said that there is no such table.
func isAbsent(out string) bool { return strings.TrimSpace(out) == "absent" }

// Seen counts refused connections, of both families.
func (n *NFT) Seen(ctx context.Context) (map[netip.AddrPort]uint64, error) {
	seen := map[netip.AddrPort]uint64{}
	for _, verb := range []string{"seen4", "seen6"} {
		out, err := n.ask(ctx, verb, "")
		if err != nil {
			return nil, err
		}
		if isAbsent(out) {
			continue
		}
		if err := parseSeen([]byte(out), seen); err != nil {
			return nil, err
		}
	}
	return seen, nil
}

// Text is the nft text that closes the ports, as this machine understands it.
func (n *NFT) Text(ctx context.Context, r Rules, within time.Duration) (string, error) {
	if err := r.Check(); err != nil {
		return "", err
	}
	as, err := n.dialect(ctx, r)
	if err != nil {
		return "", err
	}
	return as.first(r, within), nil
}

// dialect finds out once what the machine's nft and kernel understand.
func (n *NFT) dialect(ctx context.Context, r Rules) (*dialect, error) {
	n.mu.Lock()
	as := n.as
	n.mu.Unlock()
	if as != nil {
		return as, nil
	}
	var why []string
	for _, d := range dialects {
		_, err := n.ask(ctx, "check", d.trial(r))
		var exit interface{ ExitStatus() int }
		switch {
		case err == nil:
			n.mu.Lock()
			n.as = &d
			n.mu.Unlock()
			return &d, nil
		case !errors.As(err, &exit):
			return nil, err
		}
		why = append(why, d.name+": "+err.Error())
	}
	return nil, fmt.Errorf("%s takes none of the rules that mxcutover knows; isolate.driver: script prints them for another firewall. %s", n.far, strings.Join(why, "; "))
}

package firewall

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// DefaultBootFile is where confirmed rules are kept for the next boot. The
// machine's nftables.conf must include it.
const DefaultBootFile = "/etc/mxcutover/isolate.nft"

// nftTime bounds one call of nft.
const nftTime = 15 * time.Second

// Local drives the kernel of this machine through nft.
type Local struct {
	nft  []string // the command and what is put before it
	boot string
	now  func() time.Time
}

func openLocal(s Settings) (Driver, error) {
	path, err := exec.LookPath("nft")
	if err != nil {
		for _, p := range []string{"/usr/sbin/nft", "/sbin/nft"} {
			if _, serr := os.Stat(p); serr == nil {
				path, err = p, nil
				break
			}
		}
	}
	if err != nil {
		return nil, errors.New("local: no nft here; install nftables")
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("local: %w", err)
	}
	boot := s.BootFile
	if boot == "" {
		boot = DefaultBootFile
	}
	return &Local{nft: append(slices.Clone(s.Command), path), boot: boot, now: time.Now}, nil
}

// Apply arms, renews, confirms or lifts, by what is loaded and what is asked.
func (l *Local) Apply(ctx context.Context, r Rules, until time.Time) error {
	if len(r.Ports) == 0 {
		return l.lift(ctx)
	}
	if err := r.Check(); err != nil {
		return err
	}
	r = r.canonical()
	have, err := l.read(ctx)
	if err != nil {
		return err
	}
	within := time.Duration(0)
	if !until.IsZero() {
		if within = until.Sub(l.now()); within < time.Second {
			return fmt.Errorf("%w: until %s is past", ErrRules, until.Format(time.RFC3339))
		}
	}
	same := slices.Equal(have.rules.Ports, r.Ports) && slices.Equal(have.rules.Trust, r.Trust) && have.rules.Action == r.Action
	switch {
	case within == 0 && (!same || have.until.IsZero() && len(have.rules.Ports) == 0):
		return fmt.Errorf("%w: ports %v are not armed with just these rules, so they cannot be confirmed", ErrRules, r.Ports)
	case within == 0:
		return l.confirm(ctx, r, have)
	case !have.there:
		text, err := Render(r, within)
		if err != nil {
			return err
		}
		return l.load(ctx, text)
	case same && !have.until.IsZero():
		return l.load(ctx, renew(r, within, have.epoch))
	case same:
		return nil // closed for ever already
	}
	return l.load(ctx, replace(r, within, have.epoch))
}

// confirm makes what is armed permanent, reads it back, then writes the boot
// file whole or not at all.
func (l *Local) confirm(ctx context.Context, r Rules, have loaded) error {
	if !have.until.IsZero() {
		if err := l.load(ctx, confirm(r, have.epoch)); err != nil {
			return err
		}
	}
	back, err := l.read(ctx)
	if err != nil {
		return err
	}
	if !slices.Equal(back.rules.Ports, r.Ports) || !back.until.IsZero() {
		return fmt.Errorf("confirm: the kernel has ports %v until %v", back.rules.Ports, back.until)
	}
	return writeFile(l.boot, bootText(r))
}

// lift removes the boot file first, so that a reboot in between opens too.
func (l *Local) lift(ctx context.Context) error {
	if err := os.Remove(l.boot); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("lift: %w", err)
	}
	return l.load(ctx, lift())
}

// Loaded reads the kernel's rules back.
func (l *Local) Loaded(ctx context.Context) (Rules, time.Time, error) {
	have, err := l.read(ctx)
	return have.rules, have.until, err
}

func (l *Local) read(ctx context.Context) (loaded, error) {
	out, err := l.run(ctx, "", "-j", "list", "table", "inet", "mxcutover")
	if err != nil {
		if strings.Contains(err.Error(), "No such file or directory") {
			return loaded{}, nil
		}
		return loaded{}, err
	}
	return parseTable(out, l.now())
}

// Seen counts refused connections, of both families.
func (l *Local) Seen(ctx context.Context) (map[netip.AddrPort]uint64, error) {
	seen := map[netip.AddrPort]uint64{}
	for _, set := range []string{"blocked4", "blocked6"} {
		out, err := l.run(ctx, "", "-j", "list", "set", "inet", "mxcutover", set)
		if err != nil {
			if strings.Contains(err.Error(), "No such file or directory") {
				continue
			}
			return nil, err
		}
		if err := parseSeen(out, seen); err != nil {
			return nil, err
		}
	}
	return seen, nil
}

// load checks the text whole, then loads it.
func (l *Local) load(ctx context.Context, text string) error {
	if _, err := l.run(ctx, text, "-c", "-f", "-"); err != nil {
		return fmt.Errorf("nft refuses the rules, and nothing was changed: %w", err)
	}
	_, err := l.run(ctx, text, "-f", "-")
	return err
}

// run runs nft without a shell. Its words are bounded.
func (l *Local) run(ctx context.Context, stdin string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, nftTime)
	defer cancel()
	argv := append(slices.Clone(l.nft), args...)
	c := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // our own command line, without a shell
	c.Env = []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	c.Stdin = strings.NewReader(stdin)
	var out, words bytes.Buffer
	c.Stdout, c.Stderr = &out, &words
	if err := c.Run(); err != nil {
		said := words.String()
		return nil, fmt.Errorf("nft: %w: %.500s", err, strings.TrimSpace(said))
	}
	return out.Bytes(), nil
}

// writeFile writes a file whole, durably, or not at all.
func writeFile(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("boot file: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".mxcutover-*")
	if err != nil {
		return fmt.Errorf("boot file: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(text)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("boot file: %w", err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("boot file: %w", err)
	}
	return nil
}

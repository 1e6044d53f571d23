package verify

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"mxcutover/rrset"
	"mxcutover/traffic"
	"mxcutover/traffic/logfile"
)

// Bounds of asking for the names of sources.
const (
	maxReverse  = 256 // of one list, those of whom most was taken first
	reverseAt   = 4   // at once
	reverseTime = 30 * time.Second
	maxReversed = 1 << 14 // remembered
	reverseFor  = time.Hour
)

// oldMail is what the old server's log tells. It is read once for all domains; and
// once more when it is to be closed, if the names without a plan were not known.
type oldMail struct {
	mu       lock
	log      *follower
	names    *traffic.Known // with which it is read: those of a [Closing]; nil = what Mail.Published tells alone
	rules    traffic.Closed // of that closing
	quiet    time.Duration  // the same
	polled   time.Time
	replay   traffic.Replay
	reversed map[netip.Addr]reversed
}

type reversed struct {
	traffic.Reverse
	until time.Time
}

// readFor is read for a closing. What was read by Mail.Published alone is read anew:
// of names that did not move it cannot tell those without a plan from those elsewhere;
// and so is what was read while others were trusted.
func (o *oldMail) readFor(ctx context.Context, c *Checker, q Closing) error {
	if o.log != nil && (o.names == nil || !slices.Equal(o.rules.Trust, q.Rules.Trust) || o.quiet != q.Quiet) {
		o.log.close()
		o.log = nil
	}
	o.names, o.rules, o.quiet = &q.Names, q.Rules, q.Quiet
	return o.read(ctx, c, q.Names.Look)
}

// readPublished is read for the domains of which Mail.Published tells.
func (o *oldMail) readPublished(ctx context.Context, c *Checker) error {
	return o.read(ctx, c, func(name string) traffic.Name {
		n := c.lookPublished(name)
		if n.Standing == traffic.HasMoved || o.names == nil {
			return n
		}
		return o.names.Look(name)
	})
}

// read reads what is new in the old server's log. From then on names are looked up
// by look. Whoever calls holds the lock.
func (o *oldMail) read(ctx context.Context, c *Checker, look func(string) traffic.Name) error {
	if o.log == nil {
		o.replay = traffic.Replay{Stragglers: traffic.Stragglers{
			Skip: c.Probes, Look: look, Quiet: o.quiet, Latest: c.Now().Add(StaleLog),
			Trusted: func(a netip.Addr) bool { return o.rules.Trusts(a) },
		}}
		if err := c.readCompressed(ctx, c.Mail.Old, o.replay.Add); err != nil {
			return err
		}
		o.log, o.polled = c.follower(c.Mail.Old, o.replay.Add), time.Time{}
	}
	now := c.Now()
	o.replay.Look, o.replay.Latest = look, now.Add(StaleLog)
	if now.Sub(o.polled) < pollEvery {
		return nil
	}
	if err := o.log.poll(ctx); err != nil {
		return err
	}
	if s := o.log.stats(); s.Lines > 0 && s.Parsed == 0 {
		return fmt.Errorf("none of the %d lines of %s is of a format that is known (%s)", s.Lines, strings.Join(c.Mail.Old, ", "), strings.Join(traffic.Formats(), ", "))
	}
	o.polled = now
	return nil
}

// readCompressed reads what rotation has compressed, and what is not written to any
// more. A file that cannot be read whole is an error: nobody knows what it tells.
func (c *Checker) readCompressed(ctx context.Context, globs []string, add func(*traffic.Record)) error {
	var paths []string
	for _, g := range globs {
		found, err := filepath.Glob(g)
		if err != nil {
			return fmt.Errorf("log %s: %w", g, err)
		}
		for _, p := range found {
			if compressed(p) && !slices.Contains(paths, p) {
				paths = append(paths, p)
			}
		}
	}
	if len(paths) == 0 {
		return nil
	}
	got, err := logfile.Read(ctx, paths, logfile.Options{Format: c.Mail.Format, Zone: c.Mail.Zone, Now: c.Now(), Records: add})
	if err != nil {
		return err
	}
	for _, f := range got.Files {
		if f.Err != nil {
			return fmt.Errorf("log %s: %w", f.Path, f.Err)
		}
	}
	return nil
}

// close lets go of the log; a question after it begins anew.
func (o *oldMail) close() {
	if o.mu.take(context.Background()) != nil {
		return
	}
	defer o.mu.free()
	if o.log != nil {
		o.log.close()
		o.log, o.names, o.rules, o.quiet = nil, nil, traffic.Closed{}, 0
	}
}

// Probes tells whether a record is of a probe of ours.
func (c *Checker) Probes(r *traffic.Record) bool {
	return c.From != "" && bytes.EqualFold(r.Sender, []byte(c.From)) || c.StrictSender != "" && bytes.EqualFold(r.Sender, []byte(c.StrictSender))
}

// lookPublished knows the domains of which Mail.Published tells.
func (c *Checker) lookPublished(name string) traffic.Name {
	full := name + "."
	for up := full; ; up = rrset.Parent(up) {
		if t := c.publishedAt(full); !t.IsZero() {
			return traffic.Name{Domain: full, Standing: traffic.HasMoved, Moved: t}
		}
		if up == "." {
			return traffic.Name{Domain: name}
		}
		full = "*." + rrset.Parent(up)
	}
}

// reverse asks for the names of sources, politely: a few at once, none twice in an
// hour, and no longer than half a minute. What was not answered is not known.
func (o *oldMail) reverse(ctx context.Context, c *Checker, sources []netip.Addr) func(netip.Addr) traffic.Reverse {
	ctx, cancel := context.WithTimeout(ctx, reverseTime)
	defer cancel()
	now := c.Now()
	var ask []netip.Addr
	for _, a := range sources[:min(len(sources), maxReverse)] {
		if !o.reversed[a].until.After(now) {
			ask = append(ask, a)
		}
	}
	if o.reversed == nil || len(o.reversed)+len(ask) > maxReversed {
		o.reversed = map[netip.Addr]reversed{}
	}
	got := c.reverseOf(ctx, ask)
	for a, r := range got {
		o.reversed[a] = reversed{r, now.Add(reverseFor)}
	}
	return func(a netip.Addr) traffic.Reverse { return o.reversed[a].Reverse }
}

// Names asks for the names of sources, those that come first, as politely as the
// checks do.
func (c *Checker) Names(ctx context.Context, sources []netip.Addr) func(netip.Addr) traffic.Reverse {
	if c.oldMail.mu.take(ctx) != nil {
		return func(netip.Addr) traffic.Reverse { return traffic.Reverse{} }
	}
	defer c.oldMail.mu.free()
	return c.oldMail.reverse(ctx, c, sources)
}

// Gateway tells of an address whether the gateway sends from it, or Mail.Trusted has
// it: the planned MX hosts are looked up once.
func (c *Checker) Gateway(ctx context.Context) (func(netip.Addr) bool, error) {
	var ends []endpoint
	for _, m := range c.Planned {
		addrs, err := c.Addresses(ctx, m.Host)
		if err != nil {
			return nil, fmt.Errorf("addresses of %s: %w", rrset.Bare(m.Host), err)
		}
		for _, a := range addrs {
			ends = append(ends, endpoint{m.Host, a})
		}
	}
	return func(a netip.Addr) bool { return c.comesRightly(a, ends) }, nil
}

// comesRightly tells whether an address may come to the old server directly.
func (c *Checker) comesRightly(a netip.Addr, gateway []endpoint) bool {
	return c.sends(a) || traffic.Within(c.Mail.Trusted, a) ||
		slices.ContainsFunc(gateway, func(e endpoint) bool { return e.addr.Unmap() == a })
}

// reverseOf asks the resolvers for the names of addresses, a few at once, until the
// context ends. An address that was not answered about is not in the result.
func (c *Checker) reverseOf(ctx context.Context, addrs []netip.Addr) map[netip.Addr]traffic.Reverse {
	out := make(map[netip.Addr]traffic.Reverse, len(addrs))
	var mu sync.Mutex
	next := make(chan netip.Addr)
	var wg sync.WaitGroup
	for range min(reverseAt, len(addrs)) {
		wg.Go(func() {
			for a := range next {
				name, err := dns.ReverseAddr(a.Unmap().String())
				if err != nil {
					continue
				}
				got, err := c.dns.Recurse(ctx, name, "PTR")
				if err != nil {
					continue
				}
				r := traffic.Reverse{Asked: true}
				if !got.Set.Absent() {
					r.Name = rrset.Bare(got.Set.Data[0])
				}
				mu.Lock()
				out[a] = r
				mu.Unlock()
			}
		})
	}
	for _, a := range addrs {
		if ctx.Err() != nil {
			break
		}
		next <- a
	}
	close(next)
	wg.Wait()
	return out
}

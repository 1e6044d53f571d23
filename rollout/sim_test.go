package rollout

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/libdns/libdns"

	"mxcutover/firewall"
	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/rrset"
)

// A sim is a world in memory, in which the real Actions work: DNS with a lagging
// secondary and caches, a gateway, the old server with its firewall, a disk and
// two clocks. It goes on when an engine dies. It keeps its own account of what
// may never happen (see oracle_test.go).
type sim struct {
	mu      sync.Mutex
	plan    plan.Plan
	records map[string]*record
	disk    *disk
	oracle  oracle

	begun  time.Time
	over   bool          // the play was ended, since it came to no end
	jump   time.Duration // of the wall's clock
	boot   int
	bootAt time.Time
	syncAt time.Time // from then on the wall's clock is synchronised

	closed        bool
	permanent     bool
	kept          bool // for the next boot
	second        bool // port 465 is closed, and for good
	secondForGood bool
	trusted       []netip.Prefix // by the rules that are loaded
	trust         []netip.Prefix // that the configuration has besides
	nodeLost      bool           // a node of the gateway is not let in to the old server
	opens         time.Time      // when the kernel opens by itself, unless permanent
	hidden        bool           // a NAT before it hides source addresses
	witnesses     int            // how often it was told to note who connects
	witnessed     int            // the same, less how often it was told to stop
	unreadable    bool           // its firewall cannot be asked
	reads         int            // how often it was
	dieUnkept     bool           // the engine dies before the boot file

	failing    map[string]bool // probes to them fail
	silent     map[string]bool // probes to them cannot be made
	losing     map[string]bool // their real mail is refused; false: it passes
	within     map[string]bool // in another view they lead to the old server
	straggling bool            // the old server's log says that somebody would be cut off
	wanting    map[string]bool // their preflight fails until a companion is written; true: for ever
	down       bool            // the gateway is: all probes fail
	mute       string          // one of its name servers never answers
	refused    string          // writes to it are
	dieLate    string          // the engine dies in the next write to it that comes late
	cramped    bool            // its disk has no room for snapshots
	keyless    bool            // its credentials are lost
	flap       string          // whose secondary comes and goes

	person person // who loads the firewall's rules, if anybody does

	turn func(domain string) time.Time // when it may be asked about; nil = at once

	inOrder bool           // no two Actions begin at the same instant
	turns   map[string]int // by domain: Actions begun, where they begin in order

	points    int
	deaths    map[int]string // by point: "kill" or "reboot"
	faults    map[int]fault  // by write
	writes    int
	lives     int
	owed      bool // what was written is not yet made known to the servers
	hand      bool // the provider asks a person
	guarded   bool // the provider is as the real ones are opened
	elsewhere bool // what is written comes to no name server
	trace     []string
	director  director
}

// errDead is what everything says to an engine that was ended without warning.
var errDead = errors.New("this process is dead")

// A life is one engine's: once it is dead, nothing that it does has an effect.
type life struct {
	w      *sim
	dead   bool
	cancel context.CancelFunc
}

// point is a place where an engine may be ended.
func (l *life) point(what string) error {
	if l.dead {
		return errDead
	}
	l.w.points++
	how, ends := l.w.deaths[l.w.points]
	if !ends {
		return nil
	}
	l.w.note("point %d: %s: %s", l.w.points, how, what)
	l.dead = true
	if how == "reboot" {
		l.w.reboot()
	}
	l.cancel()
	return errDead
}

func (w *sim) note(format string, args ...any) {
	w.trace = append(w.trace, time.Now().UTC().Format("02 15:04:05 ")+fmt.Sprintf(format, args...))
}

func (w *sim) reboot() {
	w.boot++
	w.bootAt = time.Now()
	w.syncAt = time.Now().Add(10 * time.Minute)
	if !w.kept {
		w.closed, w.permanent = false, false
	}
}

// simClock is the world's two clocks.
type simClock struct{ w *sim }

func (c simClock) Now() time.Time {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	return c.w.wall()
}

func (w *sim) wall() time.Time { return time.Now().Add(w.jump).Round(0).UTC() }

func (c simClock) Boot() (string, time.Duration) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	return fmt.Sprint("boot ", c.w.boot), time.Since(c.w.bootAt) + time.Minute
}

func (c simClock) Synced() bool {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	return !time.Now().Before(c.w.syncAt)
}

// A record is a domain's MX RRset over time, or a companion of a domain.
type record struct {
	domain string
	of     string    // whose companion it is
	past   []version // the last one is in force at the primary
	lag    time.Duration
}

type version struct {
	at      time.Time
	set     rrset.Set
	foreign bool
}

func (r *record) now() version { return r.past[len(r.past)-1] }

// seen is what a server serves that lags behind by so much.
func (r *record) seen(lag time.Duration) rrset.Set {
	for _, v := range slices.Backward(r.past) {
		if !v.at.After(time.Now().Add(-lag)) {
			return v.set
		}
	}
	return r.past[0].set
}

// cached is what the most stubborn honest cache answers: it asked the secondary
// just before each change.
func (r *record) cached() rrset.Set {
	for i, v := range r.past[:len(r.past)-1] {
		ends := r.past[i+1].at.Add(r.lag + ttlOf(v.set))
		if time.Now().Before(ends) {
			return v.set
		}
	}
	return r.now().set
}

// ttlOf is how long a cache keeps an answer; negative ones for five minutes.
func ttlOf(s rrset.Set) time.Duration {
	if s.Absent() {
		return negativeTTL
	}
	return time.Duration(s.TTL) * time.Second
}

const negativeTTL = 5 * time.Minute

func (w *sim) change(domain string, to rrset.Set, foreign bool) {
	r := w.records[domain]
	r.past = append(r.past, version{time.Now(), to, foreign})
}

// leads tells whether a RRset brings mail to the old server. Without an MX the
// domain's own address does.
func leads(s rrset.Set) bool {
	return s.Absent() || slices.ContainsFunc(s.Data, func(d string) bool { return d == "10 mail.old.test." })
}

// A fault befalls one write.
type fault struct {
	Kind string // "timeout", "late", "ignored", "throttled", "refused", "stalled", "unfinished"
	Wait time.Duration
}

const fence = 31 * time.Second

// simProvider is the DNS provider, to one life.
type simProvider struct{ *life }

func (p simProvider) GetRecords(context.Context, string) ([]libdns.Record, error) {
	return nil, errors.New("not used")
}

// provider is the DNS provider, to one life.
func (w *sim) provider(l *life) providers.Provider {
	if w.hand {
		return simHand{l}
	}
	if w.guarded {
		return providers.Guard(simProvider{l})
	}
	return simProvider{l}
}

// simHand asks a person, who is in the scene.
type simHand struct{ *life }

func (p simHand) GetRecords(context.Context, string) ([]libdns.Record, error) {
	return nil, errors.New("not used")
}

func (p simHand) Read(ctx context.Context, zone, name, typ string) (rrset.Set, error) {
	return simProvider(p).Read(ctx, zone, name, typ)
}

func (p simHand) Ask(_ context.Context, c rrset.Change) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.dead {
		return errDead
	}
	return &providers.AskedError{Change: c, Contact: "the customer", Within: 72 * time.Hour}
}

// Fence is for how long a write may come late.
func (p simProvider) Fence() time.Duration { return fence }

func (p simProvider) Read(_ context.Context, _, name, _ string) (rrset.Set, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.dead {
		return rrset.Set{}, errDead
	}
	if at := p.w.director.staleUntil; time.Now().Before(at) {
		return p.w.records[name].seen(time.Minute), nil
	}
	return p.w.records[name].now().set, nil
}

func (p simProvider) Swap(ctx context.Context, c rrset.Change) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if err := p.point("before a write to " + c.After.Name); err != nil {
		return err
	}
	if c.After.Name == p.w.refused {
		return errors.New("the credential has no right to it")
	}
	p.w.writes++
	f := p.w.faults[p.w.writes]
	if every, ok := p.w.faults[0]; ok {
		f = every
	}
	if f.Kind != "" {
		p.w.note("write %d, to %s: %s %v", p.w.writes, c.After.Name, f.Kind, f.Wait)
	}
	switch f.Kind {
	case "throttled":
		return providers.Transient(errors.New("429: later"))
	case "refused":
		return errors.New("the credential has expired")
	case "ignored":
		return nil
	case "late":
		time.AfterFunc(f.Wait, func() {
			p.w.mu.Lock()
			defer p.w.mu.Unlock()
			// A prerequisite compares no TTL (RFC 2136 section 3.2).
			if p.w.records[c.After.Name].now().set.SameData(c.Before) {
				p.w.note("the write to %s comes late", c.After.Name)
				p.w.apply(c)
			}
		})
		if p.w.dieLate == c.After.Name {
			p.w.dieLate = ""
			p.w.deaths[p.w.points+1] = "kill"
		}
		if err := p.point("in a write to " + c.After.Name); err != nil {
			return err
		}
		return providers.Unanswered(fence, errors.New("time-out"))
	case "stalled":
		p.w.mu.Unlock()
		err := sleep(ctx, f.Wait)
		p.w.mu.Lock()
		if p.dead {
			return errDead
		}
		if err != nil {
			return providers.Unanswered(fence, err)
		}
	}
	if now := p.w.records[c.After.Name].now().set; !now.Equal(c.Before) {
		return &providers.DriftError{Expected: c.Before, Found: now}
	}
	p.w.apply(c)
	switch f.Kind {
	case "timeout":
		return providers.Unanswered(fence, errors.New("time-out"))
	case "unfinished":
		p.w.owed = true
		return errUnfinished
	}
	p.w.owed = false
	return p.point("after a write to " + c.After.Name)
}

var errUnfinished = fmt.Errorf("%w: %w", providers.ErrHalf, providers.Transient(errors.New("the reload failed")))

// Publish makes known what was written.
func (p simProvider) Publish(context.Context, string) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	switch {
	case p.dead:
		return errDead
	case p.w.owed && p.w.faults[0].Kind == "unfinished":
		return errUnfinished
	}
	p.w.owed = false
	return nil
}

func (w *sim) apply(c rrset.Change) {
	if w.director.staleOnWrite {
		w.director.staleUntil = time.Now().Add(50 * time.Second)
	}
	w.oracle.write(w, c)
	w.change(c.After.Name, c.After, false)
}

// simFirewall is the old server's, to one life.
type simFirewall struct{ *life }

func (f simFirewall) Apply(_ context.Context, r firewall.Rules, until time.Time) error {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	if err := f.point("before the firewall"); err != nil {
		return err
	}
	w := f.w
	w.closed, w.permanent = len(r.Ports) > 0, len(r.Ports) > 0 && (until.IsZero() || r.Holds([]uint16{25}))
	w.second, w.secondForGood = r.Closes([]uint16{465}), r.Closes([]uint16{465}) && until.IsZero()
	w.opens = time.Now().Add(until.Sub(w.wall()))
	w.trusted, w.kept = r.Trust, w.kept && w.closed
	if w.closed {
		w.oracle.close(w)
	}
	return f.point("after the firewall")
}

func (f simFirewall) Keep(context.Context, firewall.Rules) error {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	if f.w.dieUnkept {
		f.w.dieUnkept, f.w.deaths[f.w.points+1] = false, "kill"
	}
	if err := f.point("before the boot file"); err != nil {
		return err
	}
	f.w.kept = f.w.permanent
	return f.point("after the boot file")
}

func (f simFirewall) Kept(context.Context, firewall.Rules) (bool, error) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	if f.dead {
		return false, errDead
	}
	return f.w.kept, nil
}

func (w *sim) isClosed() bool {
	if w.closed && !w.permanent && !time.Now().Before(w.opens) {
		w.closed = false
	}
	if w.second && !w.secondForGood && !time.Now().Before(w.opens) {
		w.second = false
	}
	return w.closed
}

func (f simFirewall) Loaded(context.Context) (firewall.Rules, time.Time, error) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	f.w.reads++
	switch {
	case f.dead:
		return firewall.Rules{}, time.Time{}, errDead
	case f.w.unreadable:
		return firewall.Rules{}, time.Time{}, errors.New("the line is down")
	case !f.w.isClosed():
		return firewall.Rules{}, time.Time{}, nil
	case f.w.permanent && f.w.secondForGood:
		return f.w.rules([]uint16{25, 465}, 25, 465), time.Time{}, nil
	case f.w.permanent && f.w.second:
		return f.w.rules([]uint16{25, 465}, 25), f.w.wall().Add(time.Until(f.w.opens)), nil
	case f.w.permanent:
		return f.w.rules([]uint16{25}, 25), time.Time{}, nil
	}
	return f.w.rules([]uint16{25}), f.w.wall().Add(time.Until(f.w.opens)), nil
}

// rules are those that are loaded.
func (w *sim) rules(ports []uint16, lasting ...uint16) firewall.Rules {
	return firewall.Rules{Ports: ports, Lasting: lasting, Trust: w.trusted}
}

func (f simFirewall) Witness(context.Context, firewall.Rules) error {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	f.w.witnesses++
	f.w.witnessed++
	return nil
}

func (f simFirewall) Dismiss(context.Context) error {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	f.w.witnessed--
	return nil
}

func (f simFirewall) Callers(context.Context) (map[netip.Addr]uint64, error) { return nil, nil }

func (f simFirewall) Seen(context.Context) (map[netip.AddrPort]uint64, error) { return nil, nil }

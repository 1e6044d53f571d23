package providers

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

const (
	// maxTries bounds how often a write is repeated since the zone's serial had
	// moved on, by others' changes elsewhere in the zone.
	maxTries = 64
	// maxStuck bounds it where nothing moved.
	maxStuck = 3
	maxPause = 20 * time.Millisecond
)

// errPrerequisite means that the server found something else than was read.
var errPrerequisite = errors.New("a prerequisite does not hold")

// Swap changes one RRset by one update message; see [Swapper].
func (r *rfc2136) Swap(ctx context.Context, c rrset.Change) error {
	_, err := r.swapAndLook(ctx, c)
	return err
}

// swapAndLook changes one RRset by one update message, and reads it back; see
// [looker].
//
// Prerequisites on an RRset compare neither TTL nor order (RFC 2136 section
// 3.2.3). So the zone's SOA, read before the RRset, is a prerequisite too: any
// change in between, of a TTL as well, has changed its serial.
func (r *rfc2136) swapAndLook(ctx context.Context, c rrset.Change) (seen, error) {
	w, err := newWanted(c.Zone, c.After.Name, c.After.Type)
	if err != nil {
		return seen{}, err
	}
	if w.typ == dns.TypeSOA {
		return seen{}, fmt.Errorf("zone %s: its SOA is the server's own", w.zone)
	}
	before, err := recordsOf(c.Before)
	if err != nil {
		return seen{}, err
	}
	after, err := recordsOf(c.After)
	if err != nil {
		return seen{}, err
	}
	s, leave, err := r.enter(ctx, w.zone)
	if err != nil {
		return seen{}, err
	}
	defer s.end()
	wrote, err := s.swap(ctx, w, c, before, after)
	leave()
	if err != nil || !wrote {
		return seen{set: c.After}, err
	}
	// It goes on though the caller gave up: the write was made.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	set, err := s.readBack(ctx, w, c)
	return seen{wrote: true, set: set, err: err}, nil
}

// swap writes until the prerequisites hold or the RRset has changed. It wrote
// nothing if After was there.
func (s *session) swap(ctx context.Context, w wanted, c rrset.Change, before, after []dns.RR) (wrote bool, err error) {
	var last string
	stuck := 0
	for try := range maxTries {
		soa, found, err := s.snapshot(ctx, w, try > 0)
		switch {
		case err != nil:
			return false, err
		case found.Equal(c.After):
			return false, nil
		case !found.Equal(c.Before):
			return false, &DriftError{Expected: c.Before, Found: found}
		}
		if stuck++; soa.String() != last {
			last, stuck = soa.String(), 0
		}
		if stuck == maxStuck {
			return false, s.stuck(ctx, w, c)
		}
		if err := s.heeded(ctx, soa); err != nil {
			return false, err
		}
		if err := s.update(ctx, updateOf(w, soa, before, after)); !errors.Is(err, errPrerequisite) {
			return err == nil, err
		}
		if err := pause(ctx, try); err != nil {
			return false, &transient{fmt.Errorf("%s: %w", s.where(s.zone), err)}
		}
	}
	return false, &transient{fmt.Errorf("%s: the zone changes too often: %d writes came too late, and nothing was written", s.where(s.zone), maxTries)}
}

// heeded proves, once, that the server heeds prerequisites, on which everything
// hangs: it must refuse an update of nothing that asks for another serial.
func (s *session) heeded(ctx context.Context, soa *dns.SOA) error {
	if s.heeds.Load() {
		return nil
	}
	wrong := dns.Copy(soa).(*dns.SOA)
	wrong.Serial += 1 << 30
	m := new(dns.Msg)
	m.SetUpdate(s.zone)
	m.Used([]dns.RR{wrong})
	replies, err := s.exchange(ctx, m)
	if err != nil {
		return err
	}
	switch reply := replies[0]; reply.Rcode {
	case dns.RcodeNXRrset, dns.RcodeYXRrset, dns.RcodeNameError, dns.RcodeYXDomain:
		s.heeds.Store(true)
		return nil
	case dns.RcodeSuccess:
		return fmt.Errorf("%s: the server took an update whose prerequisite does not hold (RFC 2136 section 3.2): it would overwrite others' changes, and is not written to", s.where(s.zone))
	default:
		return s.refused(reply.Rcode, duringUpdate)
	}
}

// stuck tells why updates do not find what is answered. A server's cache may
// answer what is no longer there (PowerDNS: query-cache-ttl, for changes made in
// its database by others); a transfer shows what is.
func (s *session) stuck(ctx context.Context, w wanted, c rrset.Change) error {
	why := fmt.Errorf("%s: updates find another zone than queries (they do not see the SOA, or %s %s, as they are answered); "+
		"do both reach the same view of the primary, and does the zone show the serial that it keeps (PowerDNS: no SOA-EDIT; BIND: no inline-signing)?",
		s.where(s.zone), c.Before.Name, c.Before.Type)
	held, err := s.transferred(ctx, w)
	switch {
	case err != nil:
		return fmt.Errorf("%w; a transfer, to look, failed: %w", why, err)
	case !held.Equal(c.Before):
		return &DriftError{Expected: c.Before, Found: held}
	}
	return why
}

// readBack reads the RRset after a write. If that seems to have done nothing, a
// transfer shows whether only the answers are old ones.
func (s *session) readBack(ctx context.Context, w wanted, c rrset.Change) (rrset.Set, error) {
	got, err := s.read(ctx, w)
	if err != nil || !got.Equal(c.Before) {
		return got, err
	}
	if held, err := s.transferred(ctx, w); err == nil {
		got = held
	}
	return got, nil // the transfer may not be allowed: then the answer stands
}

// updateOf is the message: if the RRset is Before and the SOA as it was read,
// delete the RRset and add all of After (RFC 2136 sections 2.4 and 2.5). Adding
// members to what is there would change their TTL as well.
func updateOf(w wanted, soa *dns.SOA, before, after []dns.RR) *dns.Msg {
	m := new(dns.Msg)
	m.SetUpdate(w.zone)
	rrset := []dns.RR{&dns.ANY{Hdr: dns.RR_Header{Name: w.name, Rrtype: w.typ}}}
	m.Used([]dns.RR{dns.Copy(soa)})
	if len(before) == 0 {
		m.RRsetNotUsed(rrset)
	}
	for _, rr := range before {
		m.Used([]dns.RR{dns.Copy(rr)})
	}
	m.RemoveRRset(rrset)
	for _, rr := range after {
		m.Insert([]dns.RR{dns.Copy(rr)})
	}
	return m
}

// update sends an update. After an error that is not [unanswered] nothing was
// written.
func (s *session) update(ctx context.Context, m *dns.Msg) error {
	replies, err := s.exchange(ctx, m)
	var gone *lost
	switch {
	case errors.As(err, &gone):
		return &unanswered{fence: s.Fence(), err: gone.err}
	case err != nil:
		return err
	}
	switch reply := replies[0]; reply.Rcode {
	case dns.RcodeSuccess:
		return nil
	case dns.RcodeNXRrset, dns.RcodeYXRrset, dns.RcodeNameError, dns.RcodeYXDomain:
		return errPrerequisite
	case dns.RcodeServerFailure:
		// A server that passes updates on says so when it heard nothing (RFC 2136 section 6).
		return &unanswered{fence: s.Fence(), err: s.refused(reply.Rcode, duringUpdate)}
	default:
		return s.refused(reply.Rcode, duringUpdate)
	}
}

// enter waits until nobody else here writes in the zone, since each write would
// make the others' prerequisites fail, and then for a connection. Whoever enters
// leaves once, and ends the session.
func (r *rfc2136) enter(ctx context.Context, zone string) (s *session, leave func(), err error) {
	r.mu.Lock()
	place, ok := r.zones[zone]
	if !ok {
		place = make(chan struct{}, 1)
		r.zones[zone] = place
	}
	r.mu.Unlock()
	select {
	case place <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, &transient{fmt.Errorf("%s: waiting for other writes: %w", r.where(zone), ctx.Err())}
	}
	leave = func() { <-place }
	if s, err = r.session(ctx, zone); err != nil {
		leave()
		return nil, nil, err
	}
	return s, leave, nil
}

// pause lets another writer finish, longer with each try.
func pause(ctx context.Context, try int) error {
	return pauseFor(ctx, rand.N(min(time.Duration(try+1)*time.Millisecond, maxPause)))
}

// Inspect proves that the key may update the zone, by an update that deletes what
// is not there: it is judged as any other (RFC 2136 section 3.4), changes nothing,
// and leaves the serial as it is.
func (r *rfc2136) Inspect(ctx context.Context, zone string) error {
	w, err := newWanted(zone, zone, "MX")
	if err != nil {
		return err
	}
	s, err := r.session(ctx, w.zone)
	if err != nil {
		return err
	}
	defer s.end()
	name := scratchLabel + strings.ToLower(cryptorand.Text()[:12]) + "." + strings.TrimPrefix(w.zone, ".")
	m := new(dns.Msg)
	m.SetUpdate(w.zone)
	m.RemoveRRset([]dns.RR{&dns.ANY{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeMX}}})
	return s.update(ctx, m)
}

package providers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
//
// Prerequisites on an RRset compare neither TTL nor order (RFC 2136 section
// 3.2.3). So the zone's SOA, read before the RRset, is a prerequisite too: any
// change in between, of a TTL as well, has changed its serial.
func (r *rfc2136) Swap(ctx context.Context, c rrset.Change) error {
	w, err := newWanted(c.Zone, c.After.Name, c.After.Type)
	if err != nil {
		return err
	}
	if w.typ == dns.TypeSOA {
		return fmt.Errorf("zone %s: its SOA is the server's own", w.zone)
	}
	before, err := recordsOf(c.Before)
	if err != nil {
		return err
	}
	after, err := recordsOf(c.After)
	if err != nil {
		return err
	}
	leave, err := r.enter(ctx, w.zone)
	if err != nil {
		return err
	}
	defer leave()
	s, err := r.session(ctx, w.zone)
	if err != nil {
		return err
	}
	defer s.end()
	return s.swap(ctx, w, c, before, after)
}

// swap writes until the prerequisites hold or the RRset has changed.
func (s *session) swap(ctx context.Context, w wanted, c rrset.Change, before, after []dns.RR) error {
	var last string
	stuck := 0
	for try := range maxTries {
		soa, err := s.soa(ctx)
		if err != nil {
			return err
		}
		found, err := s.read(ctx, w)
		switch {
		case err != nil:
			return err
		case found.Equal(c.After):
			return nil
		case !found.Equal(c.Before):
			return &DriftError{Expected: c.Before, Found: found}
		}
		if stuck++; soa.String() != last {
			last, stuck = soa.String(), 0
		}
		if stuck == maxStuck {
			return fmt.Errorf("%s: updates find another zone than queries (they do not see %s %s as it is answered); do both reach the same view of the primary?",
				s.where(s.zone), c.Before.Name, c.Before.Type)
		}
		if err := s.update(ctx, updateOf(w, soa, before, after)); !errors.Is(err, errPrerequisite) {
			return err
		}
		if err := pause(ctx, try); err != nil {
			return &transient{fmt.Errorf("%s: %w", s.where(s.zone), err)}
		}
	}
	return &transient{fmt.Errorf("%s: the zone changes too often: %d writes came too late, and nothing was written", s.where(s.zone), maxTries)}
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
	reply, err := s.exchange(ctx, m)
	var gone *lost
	switch {
	case errors.As(err, &gone):
		return &unanswered{fence: s.Fence(), err: gone.err}
	case err != nil:
		return err
	}
	switch reply.Rcode {
	case dns.RcodeSuccess:
		return nil
	case dns.RcodeNXRrset, dns.RcodeYXRrset, dns.RcodeNameError, dns.RcodeYXDomain:
		return errPrerequisite
	case dns.RcodeServerFailure:
		// A server that passes updates on says so when it heard nothing (RFC 2136 section 6).
		return &unanswered{fence: s.Fence(), err: s.refused(reply.Rcode, duringUpdate)}
	}
	return s.refused(reply.Rcode, duringUpdate)
}

// enter waits until nobody else here writes in the zone: each write would make
// the others' prerequisites fail.
func (r *rfc2136) enter(ctx context.Context, zone string) (leave func(), err error) {
	r.mu.Lock()
	place, ok := r.zones[zone]
	if !ok {
		place = make(chan struct{}, 1)
		r.zones[zone] = place
	}
	r.mu.Unlock()
	select {
	case place <- struct{}{}:
		return func() { <-place }, nil
	case <-ctx.Done():
		return nil, &transient{fmt.Errorf("%s: waiting for other writes: %w", r.where(zone), ctx.Err())}
	}
}

// pause lets another writer finish, longer with each try.
func pause(ctx context.Context, try int) error {
	t := time.NewTimer(rand.N(min(time.Duration(try+1)*time.Millisecond, maxPause)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

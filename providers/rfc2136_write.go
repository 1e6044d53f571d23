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

// swapTries bounds how often a swap is tried while others bump the serial.
const swapTries = 8

// Swap changes the RRset in one UPDATE. Its prerequisites are the RRset's data
// and the SOA from the same read: prerequisites on data ignore TTLs, and the
// SOA's serial does not (RFC 2136 section 2.4.2).
func (p *rfc2136) Swap(ctx context.Context, c rrset.Change) error {
	lock := p.zoneLock(c.Zone)
	lock.Lock()
	defer lock.Unlock()
	for i := range swapTries {
		if i > 0 {
			if err := wait(ctx, time.Duration(rand.Int64N(int64(50*time.Millisecond)*int64(i)))); err != nil {
				return err
			}
		}
		again, err := p.trySwap(ctx, c)
		if !again {
			return err
		}
	}
	return fmt.Errorf("%w: %s: zone %s changes faster than one record of it can be", ErrTransient, p.server, c.Zone)
}

// trySwap tells whether to try again: the zone changed, but not our RRset.
func (p *rfc2136) trySwap(ctx context.Context, c rrset.Change) (again bool, err error) {
	_, soa, err := p.ask(ctx, c.Zone, c.Zone, "SOA")
	if err != nil {
		return false, err
	}
	now, err := p.Read(ctx, c.Zone, c.Before.Name, c.Before.Type)
	if err != nil {
		return false, err
	}
	if !now.Equal(c.Before) {
		return false, &DriftError{Expected: c.Before, Found: now}
	}
	m, err := update(c, soa)
	if err != nil {
		return false, err
	}
	reply, err := p.exchange(ctx, m)
	switch {
	case errors.Is(err, errNoAnswer):
		return false, &doubtError{fence: fudge*time.Second + 5*time.Second, err: err}
	case err != nil:
		return false, err
	case reply.Rcode == dns.RcodeSuccess:
		return false, nil
	case reply.Rcode == dns.RcodeNXRrset, reply.Rcode == dns.RcodeYXRrset, reply.Rcode == dns.RcodeNameError:
		return true, nil
	}
	return false, p.rcodeError(reply.Rcode, c.Zone, "update of "+c.After.Name)
}

// update is the message: prerequisites, then delete the RRset, then add all of
// its members. Adding single members would change the TTL of the others.
func update(c rrset.Change, soaReply *dns.Msg) (*dns.Msg, error) {
	before, err := records(c.Before)
	if err != nil {
		return nil, err
	}
	after, err := records(c.After)
	if err != nil {
		return nil, err
	}
	m := new(dns.Msg)
	m.SetUpdate(c.Zone)
	for _, rr := range soaReply.Answer {
		if rr.Header().Rrtype == dns.TypeSOA {
			soa := dns.Copy(rr)
			m.Used([]dns.RR{soa})
		}
	}
	if len(m.Answer) != 1 {
		return nil, fmt.Errorf("%w: no SOA at zone %s", ErrRefused, c.Zone)
	}
	if c.Before.Absent() {
		m.RRsetNotUsed([]dns.RR{&dns.ANY{Hdr: dns.RR_Header{Name: c.Before.Name, Rrtype: dns.StringToType[c.Before.Type]}}})
	} else {
		m.Used(before)
		m.RemoveRRset(before[:1])
	}
	for _, rr := range m.Answer {
		rr.Header().Ttl = 0 // RFC 2136 section 2.4
	}
	m.Insert(after)
	return m, nil
}

func records(s rrset.Set) ([]dns.RR, error) {
	var out []dns.RR
	for _, d := range s.Data {
		rr, err := dns.NewRR(fmt.Sprintf("%s %d IN %s %s", s.Name, s.TTL, s.Type, d))
		if err != nil {
			return nil, fmt.Errorf("%w: %s %s %q: %w", ErrRefused, s.Name, s.Type, d, err)
		}
		out = append(out, rr)
	}
	return out, nil
}

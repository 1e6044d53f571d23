package providers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

// Read reads one RRset by a signed query at the primary. An answer that a
// wildcard made up (RFC 4592) is no RRset of the name.
func (p *rfc2136) Read(ctx context.Context, zone, name, typ string) (rrset.Set, error) {
	set, _, err := p.ask(ctx, zone, name, typ)
	if err != nil || set.Absent() || rrset.IsWildcard(name) || name == zone {
		return set, err
	}
	for up := rrset.Parent(name); rrset.Below(up, zone); up = rrset.Parent(up) {
		wild, _, err := p.ask(ctx, zone, "*."+up, typ)
		if err != nil {
			return rrset.Set{}, err
		}
		if !wild.Absent() {
			return p.unlessMadeUp(ctx, zone, set)
		}
		if up == zone {
			break
		}
	}
	return set, nil
}

// unlessMadeUp asks by an update that only has a prerequisite (RFC 2136 section
// 2.4.1), which looks at the name itself.
func (p *rfc2136) unlessMadeUp(ctx context.Context, zone string, set rrset.Set) (rrset.Set, error) {
	m := new(dns.Msg)
	m.SetUpdate(zone)
	m.RRsetUsed([]dns.RR{&dns.ANY{Hdr: dns.RR_Header{Name: set.Name, Rrtype: dns.StringToType[set.Type]}}})
	reply, err := p.exchange(ctx, m)
	switch {
	case err != nil:
		return rrset.Set{}, transient(err)
	case reply.Rcode == dns.RcodeSuccess:
		return set, nil
	case reply.Rcode == dns.RcodeNXRrset, reply.Rcode == dns.RcodeNameError:
		return rrset.Set{Name: set.Name, Type: set.Type}, nil
	}
	return rrset.Set{}, p.rcodeError(reply.Rcode, zone, "ask whether "+set.Name+" has its own "+set.Type)
}

// ask gives an RRset as the primary answers it, and the message.
func (p *rfc2136) ask(ctx context.Context, zone, name, typ string) (rrset.Set, *dns.Msg, error) {
	qtype, ok := dns.StringToType[typ]
	if !ok {
		return rrset.Set{}, nil, fmt.Errorf("%w: unknown record type %q", ErrRefused, typ)
	}
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	m.RecursionDesired = false
	reply, err := p.exchange(ctx, m)
	if err != nil {
		return rrset.Set{}, nil, transient(err)
	}
	if reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
		return rrset.Set{}, nil, p.rcodeError(reply.Rcode, zone, "query "+name+" "+typ)
	}
	if !reply.Authoritative {
		return rrset.Set{}, nil, fmt.Errorf("%w: %s answers %s without authority: it is not a server of zone %s, or a zone below has its own", ErrRefused, p.server, name, zone)
	}
	set, err := answered(reply, name, typ)
	if err != nil {
		return set, nil, fmt.Errorf("%s: %w", p.server, err)
	}
	return set, reply, nil
}

// answered is the RRset in a reply. The owner of a CNAME has no other RRset.
func answered(reply *dns.Msg, name, typ string) (rrset.Set, error) {
	var data []string
	var ttl uint32
	for _, rr := range reply.Answer {
		owner, err := rrset.CanonicalName(rr.Header().Name)
		if err != nil {
			return rrset.Set{}, err
		}
		if owner != name {
			continue
		}
		if rr.Header().Rrtype == dns.TypeCNAME && typ != "CNAME" {
			return rrset.Set{Name: name, Type: typ}, nil
		}
		if dns.TypeToString[rr.Header().Rrtype] == typ {
			data, ttl = append(data, rdata(rr)), rr.Header().Ttl
		}
	}
	return rrset.New(name, typ, ttl, data...)
}

// rdata is a record's data in presentation format.
func rdata(rr dns.RR) string {
	return strings.TrimSpace(strings.TrimPrefix(rr.String(), rr.Header().String()))
}

// transient marks a read without an answer: it may be asked again.
func transient(err error) error {
	if errors.Is(err, errNoAnswer) {
		return fmt.Errorf("%w: %w", ErrTransient, err)
	}
	return err
}

// Zone transfers the zone (AXFR, RFC 5936), signed. It is bounded in records, and
// in time by the context and the time-out for each message.
func (p *rfc2136) Zone(ctx context.Context, zone string) ([]rrset.Set, error) {
	conn, err := p.conns.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.server, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	m := new(dns.Msg)
	m.SetAxfr(zone)
	m.SetTsig(p.key.name, p.key.alg, fudge, time.Now().Unix())
	t := &dns.Transfer{
		Conn: &dns.Conn{Conn: conn}, TsigSecret: p.key.secrets, ReadTimeout: p.timeout, WriteTimeout: p.timeout,
	}
	envelopes, err := t.In(m, p.server)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: transfer of %s: %w", ErrTransient, p.server, zone, err)
	}
	g := grouping{places: map[string]int{}}
	n := 0
	for e := range envelopes {
		if err == nil {
			err = e.Error
		}
		if n += len(e.RR); err == nil && n > p.maxRecords {
			err = fmt.Errorf("more than %d records; raise settings.max_records", p.maxRecords)
			conn.Close()
		}
		for _, rr := range e.RR {
			if err == nil {
				err = g.add(rr)
			}
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: transfer of %s with key %s: %w; the server must allow this key to transfer the zone", p.server, zone, p.key.name, err)
	}
	return g.sets, nil
}

// grouping puts records into RRsets, in the order of their first records.
type grouping struct {
	sets   []rrset.Set
	places map[string]int
}

func (g *grouping) add(rr dns.RR) error {
	h := rr.Header()
	typ := dns.TypeToString[h.Rrtype]
	if typ == "" {
		typ = fmt.Sprintf("TYPE%d", h.Rrtype) // RFC 3597 section 5
	}
	one, err := rrset.New(h.Name, typ, min(h.Ttl, rrset.MaxTTL), rdata(rr))
	if err != nil {
		return err
	}
	key := one.Name + " " + one.Type
	i, ok := g.places[key]
	if !ok {
		g.places[key] = len(g.sets)
		g.sets = append(g.sets, one)
		return nil
	}
	g.sets[i], err = rrset.New(one.Name, one.Type, g.sets[i].TTL, append(g.sets[i].Data, one.Data...)...)
	return err
}

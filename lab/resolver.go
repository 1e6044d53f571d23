package lab

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// A resolver asks the authoritative servers for others and remembers what they
// said as long as they allowed, wrong or right, like every resolver out there.
type resolver struct {
	ctx    context.Context // ends with the world
	root   netip.Addr
	source netip.Addr
	port   uint16
	now    func() time.Time

	mu    sync.Mutex
	cache map[question]cached
	turns map[string]int // by zone, whose servers are asked by turns
}

type question struct {
	name string // canonical
	typ  uint16
}

// cached is an answer, positive or negative, with the TTLs it had when it came.
type cached struct {
	rcode     int
	answer    []dns.RR
	authority []dns.RR
	came      time.Time
	expires   time.Time
}

// Bounds of the cache and of one lookup.
const (
	maxCached  = 10000
	maxTTL     = 24 * time.Hour
	askTimeout = 2 * time.Second
)

// ServeDNS answers one message, from the cache if it can.
func (r *resolver) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(req)
	m.RecursionAvailable = true
	q := req.Question[0]
	switch {
	case req.Opcode != dns.OpcodeQuery:
		m.Rcode = dns.RcodeNotImplemented
	case q.Qclass != dns.ClassINET || q.Qtype >= 128 && q.Qtype < 256:
		m.Rcode = dns.RcodeRefused
	default:
		r.fill(m, question{dns.CanonicalName(q.Name), q.Qtype}, req.RecursionDesired)
		if opt := req.IsEdns0(); opt == nil || !opt.Do() {
			m.Answer, m.Ns = unsigned(m.Answer, q.Qtype), unsigned(m.Ns, q.Qtype)
		}
	}
	send(w, req, m)
}

// unsigned leaves out what was not asked for (RFC 4035 section 3.2.1).
func unsigned(rrs []dns.RR, asked uint16) []dns.RR {
	return slices.DeleteFunc(slices.Clone(rrs), func(rr dns.RR) bool {
		t := rr.Header().Rrtype
		return t != asked && (t == dns.TypeRRSIG || t == dns.TypeNSEC)
	})
}

// fill puts the answer into a message, following CNAMEs.
func (r *resolver) fill(m *dns.Msg, q question, recurse bool) {
	for range maxChain {
		c, ok := r.recall(q)
		if !ok && !recurse {
			m.Rcode = dns.RcodeRefused
			return
		}
		if !ok {
			ctx, cancel := context.WithTimeout(r.ctx, 3*askTimeout)
			fresh, err := r.resolve(ctx, q, 0)
			cancel()
			if err != nil {
				m.Rcode = dns.RcodeServerFailure
				return
			}
			r.remember(q, fresh)
			c = fresh
		}
		m.Rcode = c.rcode
		m.Answer = append(m.Answer, c.answer...)
		m.Ns = c.authority
		next, ok := chained(c.answer, q)
		if !ok {
			return
		}
		q.name = next
	}
	m.Rcode = dns.RcodeServerFailure
}

// chained is where the CNAMEs of an answer end, if without the type asked for.
func chained(answer []dns.RR, q question) (string, bool) {
	if len(answer) == 0 || q.typ == dns.TypeCNAME {
		return "", false
	}
	for _, rr := range answer {
		if rr.Header().Rrtype == q.typ {
			return "", false
		}
	}
	for _, rr := range slices.Backward(answer) {
		if last, ok := rr.(*dns.CNAME); ok {
			return dns.CanonicalName(last.Target), true
		}
	}
	return "", false
}

// recall gives what is in the cache, its TTLs counted down.
func (r *resolver) recall(q question) (cached, bool) {
	r.mu.Lock()
	c, ok := r.cache[q]
	r.mu.Unlock()
	now := r.now()
	if !ok || !now.Before(c.expires) {
		return cached{}, false
	}
	age := uint32(now.Sub(c.came) / time.Second)
	c.answer, c.authority = aged(c.answer, age), aged(c.authority, age)
	return c, true
}

func aged(rrs []dns.RR, seconds uint32) []dns.RR {
	out := make([]dns.RR, len(rrs))
	for i, rr := range rrs {
		out[i] = dns.Copy(rr)
		h := out[i].Header()
		h.Ttl -= min(seconds, h.Ttl)
	}
	return out
}

// remember keeps an answer for its smallest TTL; a negative one for that of its
// SOA record and no longer than its minimum (RFC 2308 section 5). What has no
// TTL is not kept.
func (r *resolver) remember(q question, c cached) {
	ttl := uint32(maxTTL / time.Second)
	for _, rr := range append(append([]dns.RR{}, c.answer...), c.authority...) {
		ttl = min(ttl, rr.Header().Ttl)
		if soa, ok := rr.(*dns.SOA); ok && q.typ != dns.TypeSOA {
			ttl = min(ttl, soa.Minttl)
		}
	}
	if len(c.answer)+len(c.authority) == 0 || ttl == 0 {
		return
	}
	c.expires = c.came.Add(time.Duration(ttl) * time.Second)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.cache) >= maxCached {
		r.evict()
	}
	r.cache[q] = c
}

// turn counts the questions to a zone's servers.
func (r *resolver) turn(zone string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.turns) >= maxCached {
		clear(r.turns)
	}
	r.turns[zone]++
	return r.turns[zone]
}

// evict makes room: what has expired, else anything.
func (r *resolver) evict() {
	now := r.now()
	for q, c := range r.cache {
		if !now.Before(c.expires) {
			delete(r.cache, q)
		}
	}
	for q := range r.cache {
		if len(r.cache) < maxCached {
			return
		}
		delete(r.cache, q)
	}
}

package providers

import (
	"encoding/base64"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

const (
	testKey = "test-key."
	// siteZone is what all test servers serve; serverZones has what lies beside it.
	siteZone = "example.test."
)

var testSecret = base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))

// A server is a small authoritative name server with updates, transfers and TSIG.
type server struct {
	addr string
	// intercept answers instead of the server if it returns true.
	intercept func(s *server, w dns.ResponseWriter, req *dns.Msg) bool

	mu      sync.Mutex
	zones   map[string][]dns.RR // the SOA comes first
	updates int                 // that were carried out
	past    map[groupKey][]rrset.Set
}

// serve starts a server of zones given as master files.
func serve(t testing.TB, zones map[string]string, intercept func(*server, dns.ResponseWriter, *dns.Msg) bool) *server {
	t.Helper()
	s := &server{zones: map[string][]dns.RR{}, intercept: intercept, past: map[groupKey][]rrset.Set{}}
	for origin, text := range zones {
		p := dns.NewZoneParser(strings.NewReader(text), origin, "")
		for rr, ok := p.Next(); ok; rr, ok = p.Next() {
			s.zones[origin] = append(s.zones[origin], asOnWire(rr))
		}
		if err := p.Err(); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	started, ended := make(chan struct{}), make(chan error, 1)
	d := &dns.Server{
		Listener: l, Handler: s, TsigSecret: map[string]string{testKey: testSecret}, MaxTCPQueries: -1,
		MsgAcceptFunc:     func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept },
		NotifyStartedFunc: func() { close(started) },
	}
	go func() { ended <- d.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		if err := d.Shutdown(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return s
}

// asOnWire is a record as the library reads it from a message: it then escapes
// names otherwise than a master file does, and compares them as text.
func asOnWire(rr dns.RR) dns.RR {
	b := make([]byte, dns.MaxMsgSize)
	must(dns.PackRR(rr, b, 0, nil, false))
	out, _, err := dns.UnpackRR(b, 0)
	return must(out, err)
}

// ServeDNS answers one message.
func (s *server) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	switch {
	case s.intercept != nil && s.intercept(s, w, req):
	case req.IsTsig() == nil && req.Opcode == dns.OpcodeQuery && req.Question[0].Qtype != dns.TypeAXFR: // anybody may ask
		s.reply(w, req, func(m *dns.Msg) { s.lookup(m, canon(req.Question[0].Name), req.Question[0].Qtype) })
	case req.IsTsig() == nil || w.TsigStatus() != nil:
		m := new(dns.Msg)
		_ = w.WriteMsg(m.SetRcode(req, dns.RcodeNotAuth))
	case req.Opcode == dns.OpcodeUpdate:
		s.reply(w, req, func(m *dns.Msg) { m.Rcode = s.update(req) })
	case req.Question[0].Qtype == dns.TypeAXFR:
		s.transfer(w, req)
	default:
		s.reply(w, req, func(m *dns.Msg) { s.lookup(m, canon(req.Question[0].Name), req.Question[0].Qtype) })
	}
}

// reply sends an answer, as fill makes it, signed as the question was.
func (s *server) reply(w dns.ResponseWriter, req *dns.Msg, fill func(m *dns.Msg)) {
	m := new(dns.Msg)
	m.SetReply(req)
	fill(m)
	if req.IsTsig() != nil {
		m.SetTsig(testKey, dns.HmacSHA256, 300, time.Now().Unix())
	}
	_ = w.WriteMsg(m)
}

func (s *server) zoneOf(name string) string {
	best := ""
	for z := range s.zones {
		if rrset.Below(name, z) && len(z) > len(best) {
			best = z
		}
	}
	return best
}

// lookup answers a question (RFC 1034 section 4.3.2), without following aliases.
func (s *server) lookup(m *dns.Msg, name string, typ uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	zone := s.zoneOf(name)
	if zone == "" {
		m.Rcode = dns.RcodeRefused
		return
	}
	m.Authoritative = true
	rrs := s.zones[zone]
	source := name
	if !exists(rrs, name) {
		up := name
		for !exists(rrs, up) {
			up = rrset.Parent(up)
		}
		for _, rr := range rrs {
			if d, ok := rr.(*dns.DNAME); ok && canon(d.Hdr.Name) == up {
				m.Answer = append(m.Answer, d)
				return
			}
		}
		source = "*." + up
		if !exists(rrs, source) {
			m.Rcode = dns.RcodeNameError
		}
	}
	for _, rr := range rrs {
		if h := rr.Header(); canon(h.Name) == source && (h.Rrtype == typ || h.Rrtype == dns.TypeCNAME || typ == dns.TypeANY) {
			rr = dns.Copy(rr)
			rr.Header().Name = m.Question[0].Name
			m.Answer = append(m.Answer, rr)
		}
	}
	if len(m.Answer) == 0 {
		m.Ns = []dns.RR{rrs[0]}
	}
}

// exists tells whether a name has records, at it or below.
func exists(rrs []dns.RR, name string) bool {
	return slices.ContainsFunc(rrs, func(rr dns.RR) bool { return rrset.Below(canon(rr.Header().Name), name) })
}

func canon(name string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.ContainsRune(".-_*", c)
	}
	if strings.HasSuffix(name, ".") && !strings.ContainsFunc(name, func(c rune) bool { return !plain(c) }) {
		return name // the usual case, made quick
	}
	return must(rrset.CanonicalName(name))
}

// transfer sends a zone, a few records a message.
func (s *server) transfer(w dns.ResponseWriter, req *dns.Msg) {
	s.mu.Lock()
	rrs := slices.Clone(s.zones[canon(req.Question[0].Name)])
	s.mu.Unlock()
	if rrs == nil {
		s.reply(w, req, func(m *dns.Msg) { m.Rcode = dns.RcodeNotAuth })
		return
	}
	out := make(chan *dns.Envelope, len(rrs)+1)
	for part := range slices.Chunk(append(rrs, rrs[0]), 7) {
		out <- &dns.Envelope{RR: part}
	}
	close(out)
	_ = new(dns.Transfer).Out(w, req, out)
}

// update carries an update out and gives the response code (RFC 2136 section 3).
func (s *server) update(req *dns.Msg) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	zone := canon(req.Question[0].Name)
	rrs := s.zones[zone]
	if rrs == nil {
		return dns.RcodeNotAuth
	}
	if code := prerequisites(rrs, req.Answer); code != dns.RcodeSuccess {
		return code
	}
	next := slices.Clone(rrs)
	for _, rr := range req.Ns {
		h := rr.Header()
		if h.Class == dns.ClassANY {
			next = slices.DeleteFunc(next, func(x dns.RR) bool { return sameSet(x, rr) })
			continue
		}
		alias := slices.ContainsFunc(next, func(x dns.RR) bool {
			return x.Header().Rrtype == dns.TypeCNAME && canon(x.Header().Name) == canon(h.Name)
		})
		if alias {
			continue // RFC 2136 section 3.4.2.2
		}
		for i, x := range next {
			if sameSet(x, rr) && x.Header().Ttl != h.Ttl {
				next[i] = dns.Copy(x)
				next[i].Header().Ttl = h.Ttl
			}
		}
		next = append(next, rr)
	}
	soa := dns.Copy(next[0]).(*dns.SOA)
	soa.Serial++
	next[0] = soa
	s.zones[zone] = next
	s.updates++
	for _, rr := range req.Ns {
		s.sample(next, canon(rr.Header().Name), rr.Header().Rrtype)
	}
	return dns.RcodeSuccess
}

// sample keeps what an RRset is after an update.
func (s *server) sample(rrs []dns.RR, name string, typ uint16) {
	own := slices.DeleteFunc(slices.Clone(rrs), func(rr dns.RR) bool { return rr.Header().Rrtype != typ || canon(rr.Header().Name) != name })
	k := groupKey{name, dns.TypeToString[typ]}
	s.past[k] = append(s.past[k], must(setOf(name, typ, own)))
}

func sameSet(a, b dns.RR) bool {
	x, y := a.Header(), b.Header()
	return x.Rrtype == y.Rrtype && canon(x.Name) == canon(y.Name)
}

// prerequisites compares whole RRsets, without TTL (RFC 2136 section 3.2).
func prerequisites(rrs, pre []dns.RR) int {
	members := func(of []dns.RR, like dns.RR) []dns.RR {
		return slices.DeleteFunc(slices.Clone(of), func(x dns.RR) bool { return !sameSet(x, like) })
	}
	for _, p := range pre {
		there := members(rrs, p)
		switch p.Header().Class {
		case dns.ClassNONE:
			if len(there) > 0 {
				return dns.RcodeYXRrset
			}
		case dns.ClassINET:
			want := members(pre, p)
			if len(want) != len(there) {
				return dns.RcodeNXRrset
			}
			for _, x := range want {
				if !slices.ContainsFunc(there, func(y dns.RR) bool { return dns.IsDuplicate(x, y) }) {
					return dns.RcodeNXRrset
				}
			}
		default:
			return dns.RcodeNotImplemented
		}
	}
	return dns.RcodeSuccess
}

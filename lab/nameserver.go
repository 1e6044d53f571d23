package lab

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// A nameserver answers with authority for its zones, over UDP and TCP.
type nameserver struct {
	zones   map[string]*zone // by canonical origin
	primary bool             // takes updates
	key     Key
}

// envelope bounds the records of one message of a zone transfer.
const envelope = 100

// ServeDNS answers one message.
func (s *nameserver) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	if s.badSignature(w, req) {
		return
	}
	switch req.Opcode {
	case dns.OpcodeUpdate:
		s.answer(w, req, &reply{rcode: s.update(req)})
	case dns.OpcodeQuery:
		s.query(w, req)
	default:
		s.answer(w, req, &reply{rcode: dns.RcodeNotImplemented})
	}
}

func (s *nameserver) query(w dns.ResponseWriter, req *dns.Msg) {
	q := req.Question[0]
	opt := req.IsEdns0()
	name := dns.CanonicalName(q.Name)
	switch z := s.zoneOf(name, q.Qtype); {
	case opt != nil && opt.Version() != 0:
		s.answer(w, req, &reply{rcode: dns.RcodeBadVers})
	case z == nil || q.Qclass != dns.ClassINET:
		s.answer(w, req, &reply{rcode: dns.RcodeRefused})
	case q.Qtype == dns.TypeAXFR:
		s.transfer(w, req, s.zones[name])
	default:
		c := z.now.Load()
		r := c.lookup(name, q.Qtype)
		if z.signer != nil && opt != nil && opt.Do() {
			z.signer.decorate(&r, c, name)
		}
		s.answer(w, req, &r)
	}
}

// zoneOf is the closest zone that holds a name. DS at an apex is the parent's.
func (s *nameserver) zoneOf(name string, qtype uint16) *zone {
	if z := s.zones[name]; z != nil && (qtype != dns.TypeDS || name == ".") {
		return z
	}
	for name != "." {
		name = parent(name)
		if z := s.zones[name]; z != nil {
			return z
		}
	}
	return nil
}

// update gives the response code to an UPDATE message (RFC 2136 section 3.1).
func (s *nameserver) update(req *dns.Msg) int {
	if req.Question[0].Qtype != dns.TypeSOA {
		return dns.RcodeFormatError
	}
	z := s.zones[dns.CanonicalName(req.Question[0].Name)]
	switch {
	case z == nil || req.Question[0].Qclass != dns.ClassINET:
		return dns.RcodeNotAuth
	case !s.primary || req.IsTsig() == nil:
		return dns.RcodeRefused
	}
	return z.update(req)
}

// transfer sends a whole zone (RFC 5936), over TCP and to holders of the key.
func (s *nameserver) transfer(w dns.ResponseWriter, req *dns.Msg, z *zone) {
	_, udp := w.RemoteAddr().(*net.UDPAddr)
	switch {
	case z == nil:
		s.answer(w, req, &reply{rcode: dns.RcodeNotAuth})
		return
	case udp:
		s.answer(w, req, &reply{rcode: dns.RcodeFormatError})
		return
	case req.IsTsig() == nil:
		s.answer(w, req, &reply{rcode: dns.RcodeRefused})
		return
	}
	rrs := z.now.Load().records()
	rrs = append(rrs, rrs[0])
	envelopes := make(chan *dns.Envelope, len(rrs)/envelope+1)
	for len(rrs) > 0 {
		n := min(envelope, len(rrs))
		envelopes <- &dns.Envelope{RR: rrs[:n]}
		rrs = rrs[n:]
	}
	close(envelopes)
	if err := new(dns.Transfer).Out(w, req, envelopes); err != nil {
		_ = w.Close() // the peer sees a transfer without its final SOA
	}
}

// answer sends a reply, signed if the request was.
func (s *nameserver) answer(w dns.ResponseWriter, req *dns.Msg, r *reply) {
	m := new(dns.Msg)
	m.SetReply(req)
	m.Rcode = r.rcode
	m.Authoritative = r.authoritative
	m.Answer, m.Ns, m.Extra = r.answer, r.authority, r.additional
	send(w, req, m)
}

// badSignature answers a message whose TSIG record is wrong (RFC 8945 section
// 5.2): NOTAUTH, with the reason in an unsigned TSIG record.
func (s *nameserver) badSignature(w dns.ResponseWriter, req *dns.Msg) bool {
	t := req.IsTsig()
	if t == nil {
		return false
	}
	err := w.TsigStatus()
	wrong := uint16(0)
	switch {
	case errors.Is(err, dns.ErrSecret), errors.Is(err, dns.ErrKeyAlg), dns.CanonicalName(t.Algorithm) != s.key.algorithm():
		wrong = dns.RcodeBadKey
	case errors.Is(err, dns.ErrTime):
		wrong = dns.RcodeBadTime
	case err != nil:
		wrong = dns.RcodeBadSig
	default:
		return false
	}
	m := new(dns.Msg)
	m.SetRcode(req, dns.RcodeNotAuth)
	m.SetTsig(t.Hdr.Name, t.Algorithm, t.Fudge, int64(t.TimeSigned))
	m.Extra[len(m.Extra)-1].(*dns.TSIG).Error = wrong
	_ = w.WriteMsg(m) // a peer that is gone asks again
	return true
}

// send finishes a message for its transport and way back: EDNS, truncation, TSIG.
func send(w dns.ResponseWriter, req, m *dns.Msg) {
	size := dns.MinMsgSize
	if opt := req.IsEdns0(); opt != nil {
		size = max(size, min(int(opt.UDPSize()), udpSize))
		m.SetEdns0(udpSize, opt.Do())
	}
	if _, udp := w.RemoteAddr().(*net.UDPAddr); !udp {
		size = dns.MaxMsgSize
	}
	m.Truncate(size)
	if t := req.IsTsig(); t != nil && w.TsigStatus() == nil {
		m.SetTsig(t.Hdr.Name, t.Algorithm, t.Fudge, time.Now().Unix())
	}
	_ = w.WriteMsg(m) // a peer that is gone asks again
}

// udpSize is the largest UDP message taken and given, in octets.
const udpSize = 4096

// acceptMessage lets queries and updates through; an update's sections hold
// any number of records, within the one message.
func acceptMessage(h dns.Header) dns.MsgAcceptAction {
	if opcode := int(h.Bits>>11) & 0xF; opcode == dns.OpcodeUpdate && h.Bits&(1<<15) == 0 {
		if h.Qdcount != 1 {
			return dns.MsgReject
		}
		return dns.MsgAccept
	}
	return dns.DefaultMsgAcceptFunc(h)
}

// serveDNS serves one address over UDP and TCP until stop is called, which
// waits for the last answer.
func serveDNS(udp net.PacketConn, tcp net.Listener, h dns.Handler, key Key) (stop func()) {
	started := make(chan struct{}, 2)
	servers := []*dns.Server{{PacketConn: udp}, {Listener: &limited{Listener: tcp}}}
	ended := make(chan struct{}, 2)
	for _, s := range servers {
		s.Handler = h
		s.UDPSize = udpSize
		s.MsgAcceptFunc = acceptMessage
		s.NotifyStartedFunc = func() { started <- struct{}{} }
		if key.Secret != "" {
			s.TsigSecret = map[string]string{dns.CanonicalName(key.Name): key.Secret}
		}
		go func() {
			defer func() { ended <- struct{}{} }()
			_ = s.ActivateAndServe() // ends by stop; its sockets were opened beforehand
		}()
		<-started
	}
	return func() {
		for _, s := range servers {
			_ = s.ShutdownContext(context.Background()) // the sockets close in any case
		}
		<-ended
		<-ended
	}
}

// A Key is what signs DNS messages (RFC 8945).
type Key struct {
	Name      string // without the final dot
	Algorithm string // hmac-sha256
	Secret    string // base64; as secret as a password
}

// String leaves out the secret.
func (k Key) String() string { return k.Name + " " + k.Algorithm }

func (k Key) algorithm() string { return dns.CanonicalName(k.Algorithm) }

// hostPort joins an address and a port for net functions.
func hostPort(a netip.Addr, port uint16) string { return netip.AddrPortFrom(a, port).String() }

package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// A Verdict is what one server's answer to a chain's end is worth.
type Verdict struct {
	Insecure string    // why nothing is proven, though nothing is wrong; "" = it validates
	Absent   bool      // proven: there are no such records
	Until    time.Time // when its signature ends; zero if Absent
}

// Validate asks an authoritative server for one RRset, and for the zone's keys
// unless they are known, and holds both to the chain. [ErrBogus]: they do not validate.
func (c *Client) Validate(ctx context.Context, ch Chain, server netip.AddrPort, name, typ string, now time.Time) (Verdict, error) {
	if ch.Insecure != "" {
		return Verdict{Insecure: ch.Insecure}, nil
	}
	qtype := dns.StringToType[typ]
	m, err := c.message(ctx, server, name, qtype, flags{signed: true})
	if err != nil {
		return Verdict{}, err
	}
	// A zone may get new keys at any time: only what is good is believed of keys that
	// were asked for before.
	if keys := ch.keys.get(server); keys != nil {
		if v, err := judge(m, ch.Zone, name, qtype, keys, &budget{left: maxVerified}, now); err == nil {
			return v, nil
		}
	}
	k, err := c.message(ctx, server, ch.Zone, dns.TypeDNSKEY, flags{signed: true})
	if err != nil {
		return Verdict{}, err
	}
	b := &budget{left: maxVerified}
	keys, err := trusted(k, ch.Zone, ch.ds, b, now)
	if err != nil {
		return Verdict{}, asBogus(err)
	}
	ch.keys.put(server, keys)
	v, err := judge(m, ch.Zone, name, qtype, keys, b, now)
	return v, asBogus(err)
}

func (k *serverKeys) get(server netip.AddrPort) []*dns.DNSKEY {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.of[server]
}

func (k *serverKeys) put(server netip.AddrPort, keys []*dns.DNSKEY) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.of[server] = keys
}

// judge holds an answer with authority to a zone's keys.
func judge(m *dns.Msg, zone, name string, qtype uint16, keys []*dns.DNSKEY, b *budget, now time.Time) (Verdict, error) {
	d, err := denialOf(m, zone, keys, b, now)
	if err != nil {
		return Verdict{}, err
	}
	var s *dns.RRSIG
	if set, sigs := pick(m.Answer, name, qtype); len(set) > 0 {
		s, err = b.verify(set, sigs, zone, keys, now)
	} else {
		s, err = b.alias(m, name, zone, keys, now)
	}
	switch {
	case err != nil:
		return Verdict{}, err
	case s == nil:
		return denied(d, m.Rcode, name, qtype)
	}
	v := Verdict{Until: now.Add(time.Duration(int32(s.Expiration-uint32(now.Unix()))) * time.Second)}
	encloser, wild := expanded(s)
	if !wild {
		return v, nil
	}
	p, err := d.notCloser(name, encloser)
	switch {
	case errors.Is(err, errIterations):
		v.Insecure = err.Error()
		return v, nil
	case err != nil:
		return Verdict{}, bogus("%s is answered by the wildcard at %s, and that nothing is closer is not proven: %v", name, encloser, err)
	case p.optOut:
		v.Insecure = "an unsigned delegation may be closer (opt-out)"
	}
	return v, nil
}

// denied judges an answer that there is nothing.
func denied(d *denial, rcode int, name string, qtype uint16) (Verdict, error) {
	p, err := d.absent(name, qtype)
	switch {
	case errors.Is(err, errIterations):
		return Verdict{Absent: true, Insecure: err.Error()}, nil
	case err != nil:
		return Verdict{}, bogus("that there is no %s at %s is not proven: %v", dns.TypeToString[qtype], name, err)
	case rcode == dns.RcodeNameError && p.exists:
		return Verdict{}, bogus("%s exists, says the proof that it does not", name)
	case p.optOut:
		return Verdict{Absent: true, Insecure: "there may be an unsigned delegation (opt-out)"}, nil
	}
	return Verdict{Absent: true}, nil
}

// Validated is what a resolver says of signatures itself.
type Validated struct {
	AD    bool // it has validated the answer (RFC 4035 section 3.2.3)
	Bogus bool // it answers SERVFAIL, unless it is told not to judge
}

// Validates asks a resolver for an RRset, and if it fails, once more not to judge. It
// may fail for reasons of its own, too, a server that it does not reach: then it says
// so (RFC 8914), or answers when it is asked again.
func (c *Client) Validates(ctx context.Context, resolver netip.AddrPort, name, typ string) (Validated, error) {
	v, err := c.judged(ctx, resolver, name, typ)
	var refused refusedError
	if !errors.As(err, &refused) || refused != dns.RcodeServerFailure {
		return v, err
	}
	if _, err := c.message(ctx, resolver, name, dns.StringToType[typ], flags{recurse: true, signed: true, checking: true}); err != nil {
		return Validated{}, err
	}
	v, err = c.judged(ctx, resolver, name, typ)
	if errors.As(err, &refused) && refused == dns.RcodeServerFailure {
		return Validated{Bogus: true}, nil
	}
	return v, err
}

// judged asks a resolver once for what it has validated. A failure that it explains by
// something else than signatures is no [refusedError].
func (c *Client) judged(ctx context.Context, resolver netip.AddrPort, name, typ string) (Validated, error) {
	p, err := c.exchange(ctx, resolver, name, dns.StringToType[typ], flags{recurse: true, signed: true})
	if err == nil {
		switch rcode := rcodeOf(p); rcode {
		case dns.RcodeSuccess, dns.RcodeNameError:
			return Validated{AD: p[3]&bitAD != 0}, nil
		default:
			if err = refusedError(rcode); rcode == dns.RcodeServerFailure {
				err = explained(p, err)
			}
		}
	}
	return Validated{}, fmt.Errorf("%w from %s: %s %s: %w", ErrNoAnswer, resolver, name, typ, err)
}

// explained is a failure in a resolver's words, if it names other reasons than
// signatures (RFC 8914 section 4); else it is as it was.
func explained(p []byte, err error) error {
	m := new(dns.Msg)
	if m.Unpack(p) != nil || m.IsEdns0() == nil {
		return err
	}
	var why error
	for _, o := range m.IsEdns0().Option {
		e, ok := o.(*dns.EDNS0_EDE)
		if !ok {
			continue
		}
		if ofSignatures(e.InfoCode) {
			return err
		}
		why = fmt.Errorf("SERVFAIL, for no reason of signatures: %d (%s) %.100q", e.InfoCode, dns.ExtendedErrorCodeToString[e.InfoCode], e.ExtraText)
	}
	if why != nil {
		return why
	}
	return err
}

// ofSignatures are the extended errors of those who validate; a "cached error" may be
// one of them.
func ofSignatures(code uint16) bool {
	switch code {
	case dns.ExtendedErrorCodeOther, dns.ExtendedErrorCodeCachedError,
		dns.ExtendedErrorCodeUnsupportedDNSKEYAlgorithm, dns.ExtendedErrorCodeUnsupportedDSDigestType,
		dns.ExtendedErrorCodeDNSSECIndeterminate, dns.ExtendedErrorCodeDNSBogus,
		dns.ExtendedErrorCodeSignatureExpired, dns.ExtendedErrorCodeSignatureNotYetValid,
		dns.ExtendedErrorCodeDNSKEYMissing, dns.ExtendedErrorCodeRRSIGsMissing,
		dns.ExtendedErrorCodeNoZoneKeyBitSet, dns.ExtendedErrorCodeNSECMissing,
		dns.ExtendedErrorCodeSignatureExpiredBeforeValid, dns.ExtendedErrorCodeUnsupportedNSEC3IterValue:
		return true
	}
	return false
}

package providers

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// verify checks an answer's signature, and measures how far the clocks are
// apart. Errors are [lost]: only a signed answer tells what was not done.
func (s *session) verify(reply *dns.Msg, raw []byte, mac string, timersOnly bool) error {
	t := reply.IsTsig()
	switch {
	case s.key == nil && t == nil:
		return nil
	case s.key == nil:
		return &lost{fmt.Errorf("%s: the answer is signed, and unsigned was asked for", s.where(s.zone))}
	case reply.Rcode == dns.RcodeNotAuth && t != nil && t.Error != dns.RcodeSuccess:
		return &lost{s.badSignature(t)}
	case reply.Rcode == dns.RcodeNotAuth && t == nil: // PowerDNS says no more (4.7)
		return &lost{fmt.Errorf("%w: %w; or it does not take the signature: compare key_name, key_alg, the secret and the clocks", ErrCredential, s.refused(reply.Rcode, duringQuery))}
	case reply.Rcode == dns.RcodeNotAuth: // the library verifies none of these
		return &lost{s.refused(reply.Rcode, duringQuery)}
	case t == nil && reply.Rcode != dns.RcodeSuccess:
		return &lost{fmt.Errorf("%w (the answer is not signed)", s.refused(reply.Rcode, duringQuery))}
	case t == nil:
		return &lost{fmt.Errorf("%s: the answer is not signed", s.where(s.zone))}
	}
	ahead := int64(t.TimeSigned) - s.now().Unix()
	err := dns.TsigVerifyWithProvider(raw, s.key, mac, timersOnly)
	switch {
	case errors.Is(err, dns.ErrTime):
		return &lost{s.clocks(ahead)}
	case err != nil:
		return &lost{fmt.Errorf("%s, key %s: the answer's signature is wrong: %w", s.where(s.zone), s.key, err)}
	}
	s.sawSkew(max(ahead, -ahead))
	return nil
}

func (r *rfc2136) sawSkew(seconds int64) {
	for {
		old := r.skew.Load()
		if seconds <= old || r.skew.CompareAndSwap(old, seconds) {
			return
		}
	}
}

// Fence is for how long from now a message that was just signed may be taken: the
// fudge (RFC 8945 section 5.2.3), and what the server's clock is behind. Without a
// signature nothing bounds it.
func (r *rfc2136) Fence() time.Duration {
	if r.key == nil {
		return quiet
	}
	return time.Duration(fudge+r.skew.Load()+1) * time.Second
}

// badSignature explains the server's complaint about ours (RFC 8945 section 5.3).
func (s *session) badSignature(t *dns.TSIG) error {
	key := s.where(s.zone) + ", key " + s.key.String()
	switch t.Error {
	case dns.RcodeBadKey:
		return fmt.Errorf("%w: %s: BADKEY: the server knows no key of this name with %s; compare key_name and key_alg with its configuration", ErrCredential, key, dnsText(s.key.algorithm))
	case dns.RcodeBadSig:
		return fmt.Errorf("%w: %s: BADSIG: the server's key of this name is another one; compare the secrets", ErrCredential, key)
	case dns.RcodeBadTime:
		if b, err := hex.DecodeString(t.OtherData); err == nil && len(b) == 6 { // 48 bits, RFC 8945 section 4.2
			var at int64
			for _, x := range b {
				at = at<<8 | int64(x)
			}
			return s.clocks(at - s.now().Unix())
		}
		return fmt.Errorf("%s: BADTIME: the clocks differ by more than %d seconds; set them, here and at the server", key, fudge)
	}
	return fmt.Errorf("%s: the server refuses the signature: TSIG error %d", key, t.Error)
}

func (s *session) clocks(ahead int64) error {
	side := "ahead of"
	if ahead < 0 {
		side, ahead = "behind", -ahead
	}
	return fmt.Errorf("%s, key %s: BADTIME: the server's clock is %d seconds %s ours; set them right", s.where(s.zone), s.key, ahead, side)
}

// What was asked for when a server refused.
type asking int

const (
	duringQuery asking = iota
	duringUpdate
	duringTransfer
)

// refused explains a response code, and how to mend it.
func (s *session) refused(rcode int, what asking) error {
	code := dns.RcodeToString[rcode]
	if code == "" {
		code = fmt.Sprintf("response code %d", rcode)
	}
	subject := fmt.Sprintf("%s, key %s: %s", s.where(s.zone), s.key, code)
	switch rcode {
	case dns.RcodeServerFailure:
		return &transient{fmt.Errorf("%s: the server failed, or the zone is not loaded; look at its log", subject)}
	case dns.RcodeNotAuth:
		if s.key == nil {
			return fmt.Errorf("%w: %s: the server is not authoritative for this zone, or wants what is asked to be signed", ErrNoZone, subject)
		}
		return fmt.Errorf("%w: %s: the server is not authoritative for this zone in the view that the key leads to", ErrNoZone, subject)
	case dns.RcodeNotZone:
		return fmt.Errorf("%s: the name is not in this zone", subject)
	case dns.RcodeNotImplemented:
		return fmt.Errorf("%s: the server does not take this kind of message (updates go to the primary)", subject)
	case dns.RcodeFormatError:
		return fmt.Errorf("%s: the server did not understand the message", subject)
	case dns.RcodeRefused:
		return fmt.Errorf("%s: %s", subject, refusedCure(what))
	}
	return errors.New(subject)
}

func refusedCure(what asking) string {
	switch what {
	case duringUpdate:
		return "allow the key to update the zone (allow-update or update-policy; without a key, this machine's address); " +
			"BIND also refuses an MX whose host lies in the zone and has no address there"
	case duringTransfer:
		return "allow the key to transfer the zone (allow-transfer)"
	}
	return "the zone is not served there, or the key may not ask (allow-query)"
}

// dnsText is a domain name as people write it.
func dnsText(name string) string {
	if n := len(name); n > 1 && name[n-1] == '.' {
		return name[:n-1]
	}
	return name
}

package providers

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"mxcutover/secret"
)

// unsigned takes away what has to do with a key.
func unsigned(s *rfc2136Settings) { s.KeyName, s.Key, s.Unsigned = "", secret.Ref{}, true }

// plainServer takes what is not signed, from anybody, and refuses signatures by
// keys: as Windows DNS with "nonsecure and secure" updates.
func plainServer(t *testing.T, ignores bool) *server {
	return serve(t, testZones(), func(s *server, w dns.ResponseWriter, req *dns.Msg) bool {
		m := new(dns.Msg)
		m.SetReply(req)
		switch {
		case req.IsTsig() != nil:
			m.Rcode = dns.RcodeNotAuth
		case req.Opcode == dns.OpcodeUpdate:
			if ignores {
				req.Answer = nil
			}
			m.Rcode = s.update(req)
		case req.Question[0].Qtype == dns.TypeAXFR:
			s.mu.Lock()
			zone := s.zones[canon(req.Question[0].Name)]
			m.Answer = append(slices.Clone(zone), zone[0])
			s.mu.Unlock()
		default:
			s.lookup(m, canon(req.Question[0].Name), req.Question[0].Qtype)
		}
		_ = w.WriteMsg(m)
		return true
	})
}

func TestUnsigned(t *testing.T) {
	t.Parallel()
	s := plainServer(t, false)
	p := s.bed().open(t, unsigned)
	r, err := Replace(t.Context(), p, someChange)
	if err != nil || !r.Written || !r.Got.Equal(someChange.After) {
		t.Errorf("Replace: %+v, %v", r, err)
	}
	sets, err := Zone(t.Context(), p, siteZone)
	if err != nil || !slices.ContainsFunc(sets, someChange.After.Equal) {
		t.Errorf("Zone: %d RRsets, %v", len(sets), err)
	}
	if f := Quiet(p); f < time.Minute {
		t.Errorf("a write without a signature is said to be late by %v at most", f)
	}
	// A key that is set is used, and a server that takes none of ours is told.
	if _, err := Replace(t.Context(), s.bed().open(t), someChange); !errors.Is(err, ErrCredential) {
		t.Errorf("signed: %v", err)
	}
}

// Nothing that wants signatures is talked to without.
func TestUnsignedAtAServerWithKeys(t *testing.T) {
	t.Parallel()
	s := serve(t, testZones(), nil)
	_, err := Replace(t.Context(), s.bed().open(t, unsigned), someChange)
	if err == nil || !strings.Contains(err.Error(), "to be signed") || s.updates != 0 {
		t.Errorf("Replace: %v, %d updates", err, s.updates)
	}
}

// A server that does not heed prerequisites would overwrite others' changes: it is
// never written to.
func TestPrerequisitesAreNotHeeded(t *testing.T) {
	t.Parallel()
	s := plainServer(t, true)
	before := slices.Clone(s.zones[siteZone])
	_, err := Replace(t.Context(), s.bed().open(t, unsigned), someChange)
	if err == nil || !strings.Contains(err.Error(), "prerequisite does not hold") || errors.Is(err, ErrInDoubt) || errors.Is(err, ErrTransient) {
		t.Errorf("Replace: %v", err)
	}
	if got := s.zones[siteZone]; !slices.Equal(got[1:], before[1:]) { // the fake raises the serial
		t.Error("the zone was changed")
	}
}

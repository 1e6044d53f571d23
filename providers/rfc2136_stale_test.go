package providers

import (
	"errors"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// caching serves the zones, and answers questions from a copy of how they were at
// first, as a server with a cache does that nobody told. Transfers may be refused.
func caching(t *testing.T, transfers bool) *server {
	old := serve(t, testZones(), nil)
	return serve(t, testZones(), func(s *server, w dns.ResponseWriter, req *dns.Msg) bool {
		q := req.Question[0]
		switch {
		case req.Opcode == dns.OpcodeUpdate || q.Qtype == dns.TypeAXFR && transfers:
			return false
		case q.Qtype == dns.TypeAXFR:
			s.reply(w, req, func(m *dns.Msg) { m.Rcode = dns.RcodeRefused })
		default:
			s.reply(w, req, func(m *dns.Msg) { old.lookup(m, canon(q.Name), q.Qtype) })
		}
		return true
	})
}

func TestAWriteBehindACacheIsFound(t *testing.T) {
	t.Parallel()
	s := caching(t, true)
	r, err := Replace(t.Context(), s.bed().open(t), someChange)
	if err != nil || !r.Written || !r.Got.Equal(someChange.After) {
		t.Errorf("Replace: %+v, %v", r, err)
	}
}

func TestAForeignChangeBehindACacheIsDrift(t *testing.T) {
	t.Parallel()
	s := caching(t, true)
	foreign := mx("ttl", 4711, oldMX)
	s.bed().edit(t, foreign)
	_, err := Replace(t.Context(), s.bed().open(t), someChange)
	if !errors.Is(err, ErrDrifted) {
		t.Errorf("Replace: %v", err)
	}
	checkDrift(t, err, someChange.Before, foreign)
	if got := s.bed().truth(t, foreign.Name, "MX"); !got.Equal(foreign) {
		t.Errorf("the zone has %v", got)
	}
}

// Where transfers are not allowed nothing can tell a cache from a lie.
func TestACacheThatCannotBeSeenThrough(t *testing.T) {
	t.Parallel()
	s := caching(t, false)
	_, err := Replace(t.Context(), s.bed().open(t), someChange)
	if lie := (*LieError)(nil); !errors.As(err, &lie) || !lie.Stale() {
		t.Errorf("Replace: %v; want a lie that may be late", err)
	}
	_, err = Replace(t.Context(), s.bed().open(t), someChange)
	if err == nil || errors.Is(err, ErrDrifted) || !strings.Contains(err.Error(), "another zone than queries") || !strings.Contains(err.Error(), "allow-transfer") {
		t.Errorf("Replace: %v", err)
	}
}

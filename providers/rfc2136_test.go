package providers

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

func (s *server) bed() bed { return bed{s.addr, testKey, testSecret} }

func TestCases(t *testing.T) {
	t.Parallel()
	runCases(t, serve(t, testZones(), nil).bed())
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := serve(t, testZones(), nil)
	t.Cleanup(func() {
		if s.updates != 0 {
			t.Errorf("%d updates were carried out", s.updates)
		}
	})
	runRefusals(t, s.bed())
}

func TestInventory(t *testing.T) {
	t.Parallel()
	runInventory(t, serve(t, testZones(), nil).bed())
}

func TestCrowd(t *testing.T) {
	t.Parallel()
	for _, providers := range []int{1, 10} {
		t.Run(fmt.Sprint(providers), func(t *testing.T) {
			t.Parallel()
			var sent atomic.Int64
			s := serve(t, testZones(), func(_ *server, _ dns.ResponseWriter, req *dns.Msg) bool {
				if isUpdate(req) {
					sent.Add(1)
				}
				return false
			})
			runCrowd(t, s.bed(), providers)
			if s.updates != 50 {
				t.Errorf("%d updates were carried out for 50 changes", s.updates)
			}
			if n := sent.Load(); providers == 1 && n != 50 {
				t.Errorf("%d updates were sent for 50 changes: they disturb each other", n)
			}
		})
	}
}

var someChange = rrset.Change{Zone: siteZone, Before: mx("ttl", 86400, oldMX), After: mx("ttl", 300, gwMX)}

// isUpdate tells of a write. An update of nothing is none: it shows that
// prerequisites are heeded.
func isUpdate(m *dns.Msg) bool { return m.Opcode == dns.OpcodeUpdate && len(m.Ns) > 0 }

// code answers a kind of message with a response code, signed.
func code(rcode int, which func(*dns.Msg) bool) func(*server, dns.ResponseWriter, *dns.Msg) bool {
	return func(s *server, w dns.ResponseWriter, req *dns.Msg) bool {
		if which(req) {
			s.reply(w, req, func(m *dns.Msg) { m.Rcode = rcode })
		}
		return which(req)
	}
}

// tsigError answers as a server does that does not take the signature.
func tsigError(reason uint16, other string) func(*server, dns.ResponseWriter, *dns.Msg) bool {
	return func(_ *server, w dns.ResponseWriter, req *dns.Msg) bool {
		m := new(dns.Msg)
		m.SetRcode(req, dns.RcodeNotAuth)
		m.Extra = append(m.Extra, &dns.TSIG{
			Hdr: dns.RR_Header{Name: testKey, Rrtype: dns.TypeTSIG, Class: dns.ClassANY}, Algorithm: dns.HmacSHA256,
			Error: reason, OrigId: m.Id, OtherData: other, OtherLen: uint16(len(other) / 2),
		})
		b, err := m.Pack()
		if err != nil {
			panic(err)
		}
		_, _ = w.Write(b)
		return true
	}
}

func TestServersErrors(t *testing.T) {
	t.Parallel()
	isQuery := func(m *dns.Msg) bool { return !isUpdate(m) }
	later := hex.EncodeToString([]byte{0, 0, 0xff, 0xff, 0xff, 0xff})
	unsigned := func(_ *server, w dns.ResponseWriter, req *dns.Msg) bool {
		m := new(dns.Msg)
		m.SetReply(req)
		m.Authoritative = true
		_ = w.WriteMsg(m)
		return true
	}
	for name, c := range map[string]struct {
		intercept func(*server, dns.ResponseWriter, *dns.Msg) bool
		says      string
		transient bool
	}{
		"query refused":       {code(dns.RcodeRefused, isQuery), "allow-query", false},
		"query failed":        {code(dns.RcodeServerFailure, isQuery), "SERVFAIL", true},
		"query not auth":      {code(dns.RcodeNotAuth, isQuery), "not authoritative", true},
		"update refused":      {code(dns.RcodeRefused, isUpdate), "allow-update", false},
		"update not known":    {code(dns.RcodeNotImplemented, isUpdate), "go to the primary", false},
		"update outside":      {code(dns.RcodeNotZone, isUpdate), "NOTZONE", false},
		"key not known":       {tsigError(dns.RcodeBadKey, ""), "BADKEY", true},
		"key is another":      {tsigError(dns.RcodeBadSig, ""), "compare the secrets", true},
		"clocks":              {tsigError(dns.RcodeBadTime, later), "seconds ahead of ours", true},
		"unsigned":            {unsigned, "not signed", true},
		"without authority":   {code(dns.RcodeSuccess, isQuery), "no answer with authority", false},
		"another view":        {code(dns.RcodeNXRrset, isUpdate), "same view", false},
		"an answer to others": {misdirected, "another question", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, testZones(), c.intercept)
			r, err := Replace(t.Context(), s.bed().open(t), someChange)
			if err == nil || !strings.Contains(err.Error(), c.says) || errors.Is(err, ErrTransient) != c.transient || errors.Is(err, ErrInDoubt) {
				t.Fatalf("Replace: %+v, %v", r, err)
			}
			for _, want := range []string{s.addr, "example.test"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not name %s", err, want)
				}
			}
			if strings.Contains(err.Error(), testSecret) || s.updates != 0 {
				t.Errorf("error %v, %d updates", err, s.updates)
			}
		})
	}
}

func misdirected(s *server, w dns.ResponseWriter, req *dns.Msg) bool {
	s.reply(w, req, func(m *dns.Msg) {
		m.Authoritative = true
		m.Question[0].Name = "elsewhere.test."
	})
	return true
}

// What happens to an update that gets no answer.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	carryOut := func(s *server, w dns.ResponseWriter, req *dns.Msg) bool {
		if isUpdate(req) {
			s.update(req)
			w.Close()
		}
		return isUpdate(req)
	}
	lose := func(_ *server, w dns.ResponseWriter, req *dns.Msg) bool {
		if isUpdate(req) {
			w.Close()
		}
		return isUpdate(req)
	}
	mute := func(_ *server, _ dns.ResponseWriter, req *dns.Msg) bool { return isUpdate(req) }
	muteButDone := func(s *server, _ dns.ResponseWriter, req *dns.Msg) bool {
		if isUpdate(req) {
			s.update(req)
		}
		return isUpdate(req)
	}
	forge := func(_ *server, w dns.ResponseWriter, req *dns.Msg) bool {
		if isUpdate(req) {
			m := new(dns.Msg)
			_ = w.WriteMsg(m.SetRcode(req, dns.RcodeRefused))
		}
		return isUpdate(req)
	}
	for name, c := range map[string]struct {
		intercept func(*server, dns.ResponseWriter, *dns.Msg) bool
		done      bool
	}{
		"closed after it was done":    {carryOut, true},
		"silent after it was done":    {muteButDone, true},
		"closed":                      {lose, false},
		"silent":                      {mute, false},
		"refused without a signature": {forge, false},
		"failed":                      {code(dns.RcodeServerFailure, isUpdate), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, testZones(), c.intercept)
			p := s.bed().open(t, func(s *rfc2136Settings) { s.Timeout = 300 * time.Millisecond })
			r, err := Replace(t.Context(), p, someChange)
			if c.done {
				if err != nil || !r.Got.Equal(someChange.After) || !r.Written || s.updates != 1 {
					t.Errorf("Replace: %+v, %v; %d updates", r, err, s.updates)
				}
				return
			}
			if !errors.Is(err, ErrInDoubt) || errors.Is(err, ErrTransient) || Fence(err) < fudge*time.Second || Fence(err) > time.Minute {
				t.Errorf("Replace: %+v, %v, fence %v; want in doubt", r, err, Fence(err))
			}
		})
	}
}

func TestFenceHoldsTheClocksDifference(t *testing.T) {
	t.Parallel()
	s := serve(t, testZones(), func(s *server, w dns.ResponseWriter, req *dns.Msg) bool {
		if isUpdate(req) {
			w.Close()
			return true
		}
		m := new(dns.Msg)
		m.SetReply(req)
		if req.Opcode == dns.OpcodeUpdate {
			m.Rcode = s.update(req)
		} else {
			s.lookup(m, canon(req.Question[0].Name), req.Question[0].Qtype)
		}
		m.SetTsig(testKey, dns.HmacSHA256, 300, time.Now().Unix()-20)
		_ = w.WriteMsg(m)
		return true
	})
	_, err := Replace(t.Context(), s.bed().open(t), someChange)
	if f := Fence(err); f < (fudge+20)*time.Second || f > (fudge+25)*time.Second {
		t.Errorf("fence %v of %v; the server's clock is 20 s behind", f, err)
	}
}

func TestLieIsQuarantined(t *testing.T) {
	t.Parallel()
	s := serve(t, testZones(), code(dns.RcodeSuccess, isUpdate))
	p := s.bed().open(t)
	_, err := Replace(t.Context(), p, someChange)
	var lie *LieError
	if !errors.As(err, &lie) || !errors.Is(err, ErrLied) || !lie.Got.Equal(someChange.Before) {
		t.Fatalf("Replace: %v, want a lie", err)
	}
	other := rrset.Change{Zone: siteZone, Before: mx("gone", 300, oldMX), After: mx("gone", 300, gwMX)}
	if _, again := Replace(t.Context(), p, someChange); !lie.Stale() || !errors.As(again, &lie) {
		t.Errorf("what may only be late is left to the caller: %v", again)
	}
	Quarantine(p, err)
	if _, err := Replace(t.Context(), p, other); !errors.Is(err, ErrLied) || !strings.Contains(err.Error(), "ttl.example.test.") {
		t.Errorf("another Replace: %v, want the reason of the quarantine", err)
	}
	if _, err := Read(t.Context(), p, siteZone, siteZone, "MX"); err != nil {
		t.Errorf("reading: %v", err)
	}
	if _, err := Restore(t.Context(), p, someChange.Inverse()); !errors.Is(err, ErrDrifted) && err != nil {
		t.Errorf("the way back is shut, too: %v", err)
	}
}

// A foreign change between our reading and our write must win.
func TestForeignChangeBeforeTheWrite(t *testing.T) {
	t.Parallel()
	for name, foreign := range map[string]rrset.Set{
		"data": mx("ttl", 86400, "10 other.example.net."), "ttl": mx("ttl", 86399, oldMX), "gone": mx("ttl", 0),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bed
			var done atomic.Bool
			s := serve(t, testZones(), func(_ *server, _ dns.ResponseWriter, req *dns.Msg) bool {
				if isUpdate(req) && len(req.Answer) > 0 && done.CompareAndSwap(false, true) {
					b.edit(t, foreign)
				}
				return false
			})
			b = s.bed()
			_, err := Replace(t.Context(), b.open(t), someChange)
			var drift *DriftError
			if !errors.As(err, &drift) || !drift.Found.Equal(foreign) {
				t.Errorf("Replace: %v, want drift", err)
			}
			if got := b.truth(t, foreign.Name, "MX"); !got.Equal(foreign) || s.updates != 1 {
				t.Errorf("the zone has %v after %d updates; the foreign change was overwritten", got, s.updates)
			}
		})
	}
}

// A zone that was edited by hand may change without its serial.
func TestForeignChangeWithoutSerial(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  rrset.Change
		foreign string
	}{
		"other data": {someChange, "ttl.example.test. 86400 IN MX 10 other.example.net."},
		"new":        {rrset.Change{Zone: siteZone, Before: mx("new", 0), After: mx("new", 300, gwMX)}, "new.example.test. 300 IN MX 10 other.example.net."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			foreign := asOnWire(must(dns.NewRR(c.foreign)))
			s := serve(t, testZones(), func(s *server, _ dns.ResponseWriter, req *dns.Msg) bool {
				if isUpdate(req) {
					s.mu.Lock()
					defer s.mu.Unlock()
					rest := slices.DeleteFunc(slices.Clone(s.zones[siteZone]), func(rr dns.RR) bool { return sameSet(rr, foreign) })
					s.zones[siteZone] = append(rest, foreign)
				}
				return false
			})
			if _, err := Replace(t.Context(), s.bed().open(t), c.change); !errors.Is(err, ErrDrifted) || s.updates != 0 {
				t.Errorf("Replace: %v after %d updates, want drift", err, s.updates)
			}
		})
	}
}

func TestClampedTTLIsSeen(t *testing.T) {
	t.Parallel()
	s := serve(t, testZones(), func(_ *server, _ dns.ResponseWriter, req *dns.Msg) bool {
		for _, rr := range req.Ns {
			if isUpdate(req) && rr.Header().Class == dns.ClassINET {
				rr.Header().Ttl = max(rr.Header().Ttl, 3600)
			}
		}
		return false
	})
	r, err := Replace(t.Context(), s.bed().open(t), someChange)
	if err != nil || !r.Clamped || !r.Got.Equal(someChange.After.WithTTL(3600)) {
		t.Errorf("Replace: %+v, %v", r, err)
	}
}

func TestServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	p := bed{addr, testKey, testSecret}.open(t)
	if _, err := Replace(t.Context(), p, someChange); !errors.Is(err, ErrTransient) || errors.Is(err, ErrInDoubt) || !strings.Contains(err.Error(), addr) {
		t.Errorf("Replace: %v", err)
	}
}

// A server may close idle connections; that is no failure.
func TestClosedConnectionsAreDialedAnew(t *testing.T) {
	t.Parallel()
	s := serve(t, testZones(), func(s *server, w dns.ResponseWriter, req *dns.Msg) bool {
		if req.Question[0].Qtype != dns.TypeMX {
			return false
		}
		s.reply(w, req, func(m *dns.Msg) { s.lookup(m, canon(req.Question[0].Name), req.Question[0].Qtype) })
		w.Close()
		return true
	})
	p := s.bed().open(t)
	for range 3 {
		if _, err := Read(t.Context(), p, siteZone, siteZone, "MX"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Zone(t.Context(), p, siteZone); err != nil {
		t.Error(err)
	}
}

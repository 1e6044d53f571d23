package providers

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

// anyAnswers are what servers make of a question for ANY (RFC 8482); nil is all.
var anyAnswers = map[string]func(m *dns.Msg){
	"all":     nil,
	"nothing": func(m *dns.Msg) { m.Authoritative = true },
	"refused": func(m *dns.Msg) { m.Rcode = dns.RcodeRefused },
	"unknown": func(m *dns.Msg) { m.Rcode = dns.RcodeNotImplemented },
	"one RRset": func(m *dns.Msg) {
		m.Authoritative = true
		m.Answer = []dns.RR{must(dns.NewRR(siteZone + " 3600 NS ns." + siteZone))}
	},
	"HINFO": func(m *dns.Msg) {
		m.Authoritative = true
		m.Answer = []dns.RR{must(dns.NewRR(siteZone + ` 3600 HINFO "RFC8482" ""`))}
	},
	"the SOA": func(m *dns.Msg) {
		m.Authoritative = true
		m.Answer = []dns.RR{must(dns.NewRR(siteZone + " 3600 SOA ns.example.test. hostmaster.example.test. 1 3600 600 86400 300"))}
	},
}

// serveAny is a server with such an answer, which notes what it is asked.
func serveAny(t *testing.T, answer func(m *dns.Msg), asked func(*dns.Msg)) *server {
	return serve(t, testZones(), func(s *server, w dns.ResponseWriter, req *dns.Msg) bool {
		asked(req)
		if req.Question[0].Qtype != dns.TypeANY || answer == nil {
			return false
		}
		s.reply(w, req, answer)
		return true
	})
}

// Whatever a server answers to ANY, the RRset at the apex is read right, and a
// change of its TTL alone is drift.
func TestApexWhateverIsAnsweredToAny(t *testing.T) {
	t.Parallel()
	for name, answer := range anyAnswers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveAny(t, answer, func(*dns.Msg) {})
			b := s.bed()
			p := b.open(t)
			old, gw := mx("@", 300, oldMX), mx("@", 300, gwMX)
			for _, wrong := range []rrset.Set{mx("@", 0), mx("@", 301, oldMX)} {
				if _, err := Replace(t.Context(), p, rrset.Change{Zone: siteZone, Before: wrong, After: gw}); !errors.Is(err, ErrDrifted) {
					t.Errorf("from %v: %v", wrong, err)
				}
			}
			for _, c := range []rrset.Change{{Zone: siteZone, Before: old, After: gw}, {Zone: siteZone, Before: gw, After: mx("@", 0)}, {Zone: siteZone, Before: mx("@", 0), After: old}} {
				r, err := Replace(t.Context(), p, c)
				if got := b.truth(t, siteZone, "MX"); name != "the SOA" && (err != nil || !r.Written || !got.Equal(c.After)) {
					t.Errorf("to %v: %+v, %v; the zone has %v", c.After, r, err, got)
				}
				if err != nil { // its SOA is an old one after the first write: read again, without ANY
					t.Errorf("to %v: %v", c.After, err)
				}
			}
		})
	}
}

// A change is few questions: each is a round trip, or goes with another.
func TestQuestionsOfAChange(t *testing.T) {
	t.Parallel()
	const update = "UPDATE"
	const proof = "UPDATE of nothing" // once for each provider
	for name, c := range map[string]struct {
		change rrset.Change
		any    string
		want   []string
	}{
		"apex": {
			rrset.Change{Zone: siteZone, Before: mx("@", 300, oldMX), After: mx("@", 300, gwMX)},
			"all",
			[]string{"ANY", proof, update, "MX"},
		},
		"apex, no ANY": {
			rrset.Change{Zone: siteZone, Before: mx("@", 300, oldMX), After: mx("@", 300, gwMX)},
			"one RRset",
			[]string{"ANY", "SOA", "MX", proof, update, "MX"},
		},
		"host": {someChange, "all", []string{"MX", "MX", proof, update, "MX", "MX"}},
		"host, done": {
			rrset.Change{Zone: siteZone, Before: mx("there", 300, oldMX), After: mx("there", 300, gwMX)},
			"all",
			[]string{"MX", "MX"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var asked []string
			s := serveAny(t, anyAnswers[c.any], func(m *dns.Msg) {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case isUpdate(m):
					asked = append(asked, update)
				case m.Opcode == dns.OpcodeUpdate:
					asked = append(asked, proof)
				default:
					asked = append(asked, dns.TypeToString[m.Question[0].Qtype])
				}
			})
			if r, err := Replace(t.Context(), s.bed().open(t), c.change); err != nil {
				t.Fatalf("%+v, %v", r, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(asked, c.want) {
				t.Errorf("asked %v, want %v", asked, c.want)
			}
		})
	}
}

// Answers to questions that were asked together come in any order (RFC 7766
// section 6.2.1.1).
func TestAnswersInAnyOrder(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var kept *dns.Msg
	waits := 0
	s := serve(t, testZones(), func(s *server, w dns.ResponseWriter, req *dns.Msg) bool {
		if isUpdate(req) || req.Question[0].Qtype != dns.TypeMX {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		if kept == nil {
			kept = req
			waits++
			return true
		}
		for _, m := range []*dns.Msg{req, kept} {
			a := new(dns.Msg)
			a.SetReply(m)
			s.lookup(a, canon(m.Question[0].Name), dns.TypeMX)
			a.SetTsig(testKey, dns.HmacSHA256, 300, time.Now().Unix())
			wire, _, err := dns.TsigGenerate(a, testSecret, m.IsTsig().MAC, false) // the library's writer knows the last request only
			if err != nil {
				panic(err)
			}
			_, _ = w.Write(wire)
		}
		kept = nil
		return true
	})
	got, err := Read(t.Context(), s.bed().open(t), siteZone, "ttl."+siteZone, "MX")
	if err != nil || !got.Equal(someChange.Before) || waits != 1 {
		t.Errorf("Read: %v, %v; %d waited", got, err, waits)
	}
}

package providers

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

// TestEndBetweenSendAndReceive ends the context when a message was sent and its
// answer is not waited for yet: that is a write without an answer, and no crash.
func TestEndBetweenSendAndReceive(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	here, there := net.Pipe()
	defer there.Close()
	s := &session{rfc2136: &rfc2136{timeout: fudge}, conn: newBuffered(here)}
	sent := s.limit(ctx)
	cancel()
	sent()
	_, err := s.receive(ctx)
	var l *lost
	if !errors.As(err, &l) || !errors.Is(err, context.Canceled) {
		t.Errorf("the answer of a message that was sent: %v", err)
	}
}

// tired serves the zones, and hangs up instead of answering where that is told of a
// message and its place in its connection, from 1.
func tired(t *testing.T, hangsUp func(req *dns.Msg, nth int) bool) *server {
	t.Helper()
	var mu sync.Mutex
	sent := map[string]int{}
	return serve(t, testZones(), func(_ *server, w dns.ResponseWriter, req *dns.Msg) bool {
		mu.Lock()
		defer mu.Unlock()
		from := w.RemoteAddr().String()
		if sent[from]++; !hangsUp(req, sent[from]) {
			return false
		}
		w.Close()
		return true
	})
}

// TestAQuestionOfAClosedConnection lets the server hang up at what is asked after an
// update (RFC 7766 section 6.2.4): that it was carried out is read back by another
// connection, and nothing is in doubt.
func TestAQuestionOfAClosedConnection(t *testing.T) {
	t.Parallel()
	updated, hungUp := false, 0
	s := tired(t, func(req *dns.Msg, nth int) bool {
		if nth == 1 {
			updated = false
		}
		updated = updated || isUpdate(req)
		if !updated || req.Opcode != dns.OpcodeQuery {
			return false
		}
		hungUp++
		return true
	})
	if r, err := Replace(t.Context(), s.bed().open(t), someChange); err != nil || !r.Written || hungUp == 0 {
		t.Errorf("Replace: %+v, %v; the server hung up %d times", r, err, hungUp)
	}
}

// TestAConnectionIsLeftInTime lets the server hang up after 128 messages of a
// connection, whatever the next one is: no update is in doubt for that.
func TestAConnectionIsLeftInTime(t *testing.T) {
	t.Parallel()
	most := 0
	s := tired(t, func(_ *dns.Msg, nth int) bool {
		most = max(most, nth)
		return nth > 128
	})
	p, there, back := s.bed().open(t), someChange, someChange
	back.Before, back.After = there.After, there.Before
	for range 50 {
		for _, c := range []rrset.Change{there, back} {
			if r, err := Replace(t.Context(), p, c); err != nil || !r.Written {
				t.Fatalf("Replace, after %d messages of a connection: %+v, %v", most, r, err)
			}
		}
	}
	if most < maxMessages/2 || most > 128 {
		t.Errorf("a connection was used for %d messages", most)
	}
}

package providers

import (
	"context"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

// What tests in providers_test need of the inside.

// Opened is the provider within what Open gives.
func Opened(p Provider) Provider { return opened(p) }

// A NameServer is the tests' own, with a zone to write in.
type NameServer struct {
	Zone string

	b  bed
	s  *server
	mu sync.Mutex
	on func(update bool, w dns.ResponseWriter, req *dns.Msg) bool
}

// StartNameServer starts one, until the test ends.
func StartNameServer(t testing.TB) *NameServer {
	n := &NameServer{Zone: siteZone}
	n.s = serve(t, testZones(), func(_ *server, w dns.ResponseWriter, req *dns.Msg) bool {
		n.mu.Lock()
		on := n.on
		n.mu.Unlock()
		t := req.IsTsig() // the other client's has another fudge
		return on != nil && t != nil && t.Fudge == fudge && on(isUpdate(req), w, req)
	})
	n.b = n.s.bed()
	return n
}

// On lets a function see each message of a provider's first; true: it answered.
func (n *NameServer) On(f func(update bool, w dns.ResponseWriter, req *dns.Msg) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.on = f
}

// CarryOut carries an update out, and says nothing.
func (n *NameServer) CarryOut(req *dns.Msg) { n.s.update(req) }

// Answer answers with a response code, signed.
func (n *NameServer) Answer(w dns.ResponseWriter, req *dns.Msg, rcode int) {
	n.s.reply(w, req, func(m *dns.Msg) { m.Rcode = rcode })
}

// NoKey answers that the key is not known.
func (n *NameServer) NoKey(w dns.ResponseWriter, req *dns.Msg) {
	tsigError(dns.RcodeBadKey, "")(n.s, w, req)
}

// Addr, KeyName and Secret are for the settings.
func (n *NameServer) Addr() string { return n.b.server }

// KeyName is the key's name.
func (n *NameServer) KeyName() string { return n.b.keyName }

// Secret is the key, in base64.
func (n *NameServer) Secret() string { return n.b.secret }

// EditOne is Edit of one RRset.
func (n *NameServer) EditOne(ctx context.Context, s rrset.Set) error { return n.Edit(ctx, s) }

// Edit is another client.
func (n *NameServer) Edit(ctx context.Context, sets ...rrset.Set) error {
	return n.b.tryEdit(ctx, sets...)
}

// Truth is another client's transfer.
func (n *NameServer) Truth(_ context.Context, name, typ string) (rrset.Set, error) {
	return n.b.tryTruth(name, typ)
}

// Seen is every state of an RRset so far.
func (n *NameServer) Seen(name, typ string) []rrset.Set {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	return append([]rrset.Set(nil), n.s.past[groupKey{name, typ}]...)
}

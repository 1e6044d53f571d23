package providers

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

// What tests in providers_test need of the inside.

// Opened is the provider within what Open gives.
func Opened(p Provider) Provider { return opened(p) }

// A DNSClient is another client of a server: somebody else, and the truth.
type DNSClient struct{ b bed }

// NewDNSClient is a client with a key.
func NewDNSClient(server, keyName, secret string) DNSClient {
	return DNSClient{bed{server, keyName, secret}}
}

// EditOne is Edit of one RRset.
func (c DNSClient) EditOne(ctx context.Context, s rrset.Set) error { return c.Edit(ctx, s) }

// Edit makes RRsets so, by one update without prerequisites.
func (c DNSClient) Edit(ctx context.Context, sets ...rrset.Set) error {
	return c.b.tryEdit(ctx, sets...)
}

// Truth is what a transfer of the zone says.
func (c DNSClient) Truth(_ context.Context, name, typ string) (rrset.Set, error) {
	return c.b.tryTruth(name, typ)
}

// Settings are those of a provider for the server, with the key in a file.
func (c DNSClient) Settings(file string) string {
	return fmt.Sprintf("server: %q\nkey_name: %s\nkey: {file: %s}\ntimeout: 2s\n", c.b.server, c.b.keyName, file)
}

// Secret is the key, in base64.
func (c DNSClient) Secret() string { return c.b.secret }

// ZonesForTests are what all servers of the tests serve; the cases write in the first.
func ZonesForTests() (zone string, zones map[string]string) { return siteZone, testZones() }

// A NameServer is the tests' own, with a zone to write in.
type NameServer struct {
	DNSClient

	s  *server
	mu sync.Mutex
	on func(update bool, w dns.ResponseWriter, req *dns.Msg) bool
}

// StartNameServer starts one, until the test ends.
func StartNameServer(t testing.TB) *NameServer {
	n := &NameServer{}
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

// Seen is every state of an RRset so far.
func (n *NameServer) Seen(name, typ string) []rrset.Set {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	return append([]rrset.Set(nil), n.s.past[groupKey{name, typ}]...)
}

// Addr is where it listens.
func (n *NameServer) Addr() string { return n.s.addr }

package providers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libdns/libdns"
	"github.com/miekg/dns"

	"mxcutover/rrset"
	"mxcutover/secret"
)

// rfc2136About is what people are told.
var rfc2136About = About{
	Title: "RFC 2136 dynamic updates (BIND, Knot, PowerDNS, Windows DNS)",
	Settings: `  server       required; the primary name server that takes updates, "192.0.2.53:53"
  key_name     the TSIG key's name at the server; required, unless unsigned
  key          the key in base64: {file: PATH}, {env: NAME} or {credential: NAME}; required, unless unsigned
  key_alg      hmac-sha256 (default), hmac-sha224, hmac-sha384 or hmac-sha512
  unsigned     true = no TSIG, for servers that have none (Windows DNS); see below (default false)
  timeout      for one question and its answer; a whole zone may take 60 times as long (default 5s)
  view         the view that the key leads to, as messages shall name it (default: none)
  source       the local address to ask from (default: the system's choice)
  max_records  a zone with more records is refused (default 1000000)
  The key must be allowed to query, to transfer (allow-transfer) and to update (allow-update or
  update-policy) each zone. Every message and every answer is signed, over TCP.
  With unsigned, whoever can send from this address to the server can change the zones, and whoever sits between
  can forge both sides: only on a network that nobody else reaches, and only for the days of the migration.`,
	Example: `server: "192.0.2.53:53"
key_name: mxcutover
key_alg: hmac-sha256
key: {file: /etc/mxcutover/tsig.key}
`,
	Quirks: []string{
		"BIND clamps a TTL above max-zone-ttl and says NOERROR: it is read back and told.",
		"BIND refuses (REFUSED) an MX whose host lies in the zone and has no address there: the host's address comes first.",
		"BIND and Knot ignore an MX at a CNAME and say NOERROR, PowerDNS refuses it: an alias is found before the write and refused.",
		"Knot carries updates out together that arrive together, under one serial: a foreign edit of the TTL alone in the same moment is overwritten.",
		"PowerDNS shows another serial than it keeps where SOA-EDIT is set: every write is refused; use kind powerdns, or clear SOA-EDIT.",
		"PowerDNS answers from a cache what was changed in its database by others: new members are found by a transfer; a new TTL alone is overwritten within 20 s (query-cache-ttl).",
		"Windows DNS takes signatures by Kerberos only (GSS-TSIG), which is not supported here: its zones need \"nonsecure and secure\" updates, and unsigned. Not proven on it.",
		"Before its first write a server must refuse an update of nothing with a wrong prerequisite: one that does not is never written to.",
	},
	Proven: "BIND 9.18, Knot 3.2 and PowerDNS 4.7 in `make integration` (see docs/rfc2136.md); a server of the tests' own elsewhere. Unsigned: Knot, and that server. Never on Windows DNS.",
	Docs:   "https://www.rfc-editor.org/rfc/rfc2136",
}

// rfc2136Settings is the section of the configuration.
type rfc2136Settings struct {
	Server     string        `yaml:"server,required" json:"server"`
	KeyName    string        `yaml:"key_name" json:"key_name"`
	Key        secret.Ref    `yaml:"key" json:"key"`
	KeyAlg     string        `yaml:"key_alg" json:"key_alg"`
	Unsigned   bool          `yaml:"unsigned" json:"unsigned"`
	Timeout    time.Duration `yaml:"timeout" json:"timeout"`
	View       string        `yaml:"view" json:"view"`
	Source     netip.Addr    `yaml:"source" json:"source"`
	MaxRecords int           `yaml:"max_records" json:"max_records"`
}

// An rfc2136 reads zones by queries and zone transfers, and changes them by
// dynamic updates (RFC 2136), at one primary server.
type rfc2136 struct {
	server     string // "192.0.2.53:53"
	view       string
	key        *tsigKey // nil: nothing is signed
	timeout    time.Duration
	maxRecords int
	conns      *conns
	now        func() time.Time
	skew       atomic.Int64 // by how much the clocks were seen to differ at most, in seconds
	noAny      atomic.Bool  // the server's answers to ANY have no SOA
	heeds      atomic.Bool  // it was seen to heed prerequisites

	mu    sync.Mutex
	zones map[string]chan struct{} // who writes in a zone holds its place
}

func openRFC2136(decode func(into any) error) (Provider, error) {
	s := rfc2136Settings{Timeout: 5 * time.Second, MaxRecords: 1_000_000}
	if err := decode(&s); err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(s.Server)
	switch {
	case err != nil || host == "" || port == "":
		return nil, fmt.Errorf(`server %.80q: an address and a port were expected, as in "192.0.2.53:53"`, s.Server)
	case s.Timeout <= 0 || s.Timeout > time.Hour:
		return nil, fmt.Errorf("timeout %v: more than 0 and at most 1h was expected", s.Timeout)
	case s.MaxRecords <= 0:
		return nil, fmt.Errorf("max_records %d: more than 0 was expected", s.MaxRecords)
	}
	key, err := s.signature()
	if err != nil {
		return nil, err
	}
	var source net.Addr
	if s.Source.IsValid() {
		source = net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.Source, 0))
	}
	return &rfc2136{
		server: s.Server, view: s.View, key: key, timeout: s.Timeout, maxRecords: s.MaxRecords,
		conns: newConns(s.Server, source, s.Timeout), now: time.Now, zones: map[string]chan struct{}{},
	}, nil
}

// signature is the key, or nil where nothing is to be signed: that must be said.
func (s rfc2136Settings) signature() (*tsigKey, error) {
	named := s.KeyName != "" || s.Key != (secret.Ref{}) || s.KeyAlg != ""
	switch {
	case s.Unsigned && named:
		return nil, errors.New("unsigned: there is a key as well; one of them was expected")
	case s.Unsigned:
		return nil, nil
	case s.KeyName == "":
		return nil, errors.New("key_name: is missing; the TSIG key's name at the server was expected")
	}
	value, err := s.Key.Read()
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	return newTSIGKey(s.KeyName, cmp.Or(s.KeyAlg, "hmac-sha256"), value)
}

// Read reads one RRset from the server; see [Reader].
func (r *rfc2136) Read(ctx context.Context, zone, name, typ string) (rrset.Set, error) {
	w, err := newWanted(zone, name, typ)
	if err != nil {
		return rrset.Set{}, err
	}
	s, err := r.session(ctx, w.zone)
	if err != nil {
		return rrset.Set{}, err
	}
	defer s.end()
	return s.read(ctx, w)
}

// Zone reads a zone by a zone transfer (RFC 5936); see [Zoner]. Records that only
// sign others (RFC 4034) are left out.
func (r *rfc2136) Zone(ctx context.Context, zone string) ([]rrset.Set, error) {
	g := newGrouping(0)
	err := r.transfer(ctx, zone, func(_, name string, rr dns.RR) error {
		data, err := dataOf(rr)
		if err != nil {
			return err
		}
		g.add(name, dns.Type(rr.Header().Rrtype).String(), ttlOf(rr), data)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return g.sets()
}

// GetRecords reads a zone by a zone transfer, for libdns.
func (r *rfc2136) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	var out []libdns.Record
	err := r.transfer(ctx, zone, func(zone, name string, rr dns.RR) error {
		rec, err := toLibdns(rr, name, zone)
		out = append(out, rec)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Close closes the connections that are not in use.
func (r *rfc2136) Close() error { return r.conns.close() }

// where names the server and the zone in errors.
func (r *rfc2136) where(zone string) string {
	w := "server " + r.server
	if r.view != "" {
		w += fmt.Sprintf(" (view %.40q)", r.view)
	}
	return w + ", zone " + rrset.Bare(zone)
}

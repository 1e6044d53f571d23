package providers

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/libdns/libdns"
	"github.com/miekg/dns"

	"mxcutover/rrset"
	"mxcutover/secret"
)

const rfc2136Doc = `  DNS UPDATE (RFC 2136) signed with TSIG (RFC 8945): BIND, Knot, PowerDNS, Windows DNS.
  server: "192.0.2.53:53"     the primary
  key_name: mxcutover         the TSIG key's name
  key_alg: hmac-sha256        hmac-sha224, -sha256, -sha384 or -sha512
  key: {file: /path}          its secret in base64: {env: X}, {file: P} or {credential: N}
  timeout: 5s                 for one exchange
  max_records: 1000000        of a zone, when it is transferred
  source: 192.0.2.1           the local address to ask from (optional)
  The server must allow the key to transfer (AXFR), query and update the zones.
`

// rfc2136Settings are decoded from the provider's section.
type rfc2136Settings struct {
	Server     string        `yaml:"server"`
	KeyName    string        `yaml:"key_name"`
	KeyAlg     string        `yaml:"key_alg"`
	Key        secret.Ref    `yaml:"key"`
	Timeout    time.Duration `yaml:"timeout"`
	MaxRecords int           `yaml:"max_records"`
	Source     string        `yaml:"source"`
}

// rfc2136 speaks to one primary. Reads and writes are signed, over TCP.
type rfc2136 struct {
	server     string
	key        key
	timeout    time.Duration
	maxRecords int
	conns      *connPool
	mu         sync.Mutex
	zones      map[string]*sync.Mutex // one write at a time in a zone: each bumps the serial
}

func openRFC2136(decode func(into any) error) (Provider, error) {
	s := rfc2136Settings{KeyAlg: "hmac-sha256", Timeout: 5 * time.Second, MaxRecords: 1_000_000}
	if err := decode(&s); err != nil {
		return nil, err
	}
	server, err := netip.ParseAddrPort(s.Server)
	if err != nil {
		return nil, fmt.Errorf("settings.server %q: expected an address and a port, as in 192.0.2.53:53", s.Server)
	}
	var source netip.Addr
	if s.Source != "" {
		if source, err = netip.ParseAddr(s.Source); err != nil {
			return nil, fmt.Errorf("settings.source %q: expected an address", s.Source)
		}
	}
	k, err := newKey(s)
	if err != nil {
		return nil, err
	}
	if s.Timeout <= 0 || s.MaxRecords <= 0 {
		return nil, errors.New("settings.timeout and settings.max_records: expected more than zero")
	}
	return &rfc2136{
		server: server.String(), key: k, timeout: s.Timeout, maxRecords: s.MaxRecords,
		conns: newConnPool(server, source), zones: map[string]*sync.Mutex{},
	}, nil
}

// key is a TSIG key. Its secret is in a map that nothing prints.
type key struct {
	name, alg string
	secrets   map[string]string
}

func newKey(s rfc2136Settings) (key, error) {
	algs := map[string]string{
		"hmac-sha224": dns.HmacSHA224, "hmac-sha256": dns.HmacSHA256, "hmac-sha384": dns.HmacSHA384, "hmac-sha512": dns.HmacSHA512,
	}
	alg, ok := algs[strings.ToLower(s.KeyAlg)]
	if !ok {
		return key{}, fmt.Errorf("settings.key_alg %q: expected hmac-sha224, hmac-sha256, hmac-sha384 or hmac-sha512", s.KeyAlg)
	}
	name, err := rrset.CanonicalName(s.KeyName)
	if err != nil {
		return key{}, fmt.Errorf("settings.key_name: %w", err)
	}
	value, err := s.Key.Read()
	if err != nil {
		return key{}, fmt.Errorf("settings.key: %w", err)
	}
	if _, err := base64.StdEncoding.DecodeString(value); err != nil {
		return key{}, fmt.Errorf("settings.key: %s does not hold a key in base64", s.Key)
	}
	return key{name: name, alg: alg, secrets: map[string]string{name: value}}, nil
}

// GetRecords lists the zone by AXFR, for libdns.
func (p *rfc2136) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	sets, err := p.Zone(ctx, zone)
	if err != nil {
		return nil, err
	}
	var out []libdns.Record
	for _, s := range sets {
		for _, d := range s.Data {
			rr := libdns.RR{Name: relative(s.Name, zone), TTL: time.Duration(s.TTL) * time.Second, Type: s.Type, Data: d}
			if parsed, err := rr.Parse(); err == nil {
				out = append(out, parsed)
			} else {
				out = append(out, rr)
			}
		}
	}
	return out, nil
}

// relative is a canonical name as libdns wants it: without the zone, "@" for it.
func relative(name, zone string) string {
	if name == zone {
		return "@"
	}
	return strings.TrimSuffix(name, "."+zone)
}

// zoneLock lets one write at a time into a zone.
func (p *rfc2136) zoneLock(zone string) *sync.Mutex {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.zones[zone] == nil {
		p.zones[zone] = &sync.Mutex{}
	}
	return p.zones[zone]
}

package site

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// A Key is a TSIG key, hmac-sha256.
type Key struct{ Name, Secret string }

// String leaves out the secret.
func (k Key) String() string { return k.Name }

// NewKey makes a TSIG key of 256 bits.
func NewKey(name string) Key {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return Key{Name: name, Secret: base64.StdEncoding.EncodeToString(b)}
}

// orNew is the key, or a new one if there is none.
func (k Key) orNew() Key {
	if k == (Key{}) {
		return NewKey("mxcutover")
	}
	return k
}

// file is the name of a zone's file in its server's folder.
func file(zone string) string {
	return "zone." + strings.NewReplacer("/", "_", "\\", "_").Replace(zone)
}

// files are the master files of zones, by [file].
func files(zones map[string]string) map[string]string {
	out := map[string]string{}
	for zone, text := range zones {
		out[file(zone)] = text
	}
	return out
}

// authoritative waits until the server answers every zone with authority.
func (p *process) authoritative(ctx context.Context, at netip.AddrPort, zones map[string]string) error {
	for zone := range zones {
		err := p.await(ctx, "zone "+zone+" is not answered", func(ctx context.Context) error {
			_, err := serial(ctx, at, zone)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// serial is a zone's serial as a server with authority answers it.
func serial(ctx context.Context, at netip.AddrPort, zone string) (uint32, error) {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(zone), dns.TypeSOA)
	r, _, err := (&dns.Client{Timeout: time.Second}).ExchangeContext(ctx, m, at.String())
	if err != nil {
		return 0, err
	}
	for _, rr := range r.Answer {
		if soa, ok := rr.(*dns.SOA); ok && r.Authoritative {
			return soa.Serial, nil
		}
	}
	return 0, fmt.Errorf("%s answers %s without authority", at, dns.RcodeToString[r.Rcode])
}

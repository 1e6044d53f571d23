package conformance

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

// DNS is a name server with updates and transfers, as somebody else reaches it.
type DNS struct {
	Server      string // "127.0.0.1:53"
	Key, Secret string // TSIG, hmac-sha256; the secret in base64
	Zone        string // canonical
}

func (d DNS) key() map[string]string { return map[string]string{dns.Fqdn(d.Key): d.Secret} }

// Truth reads an RRset by a zone transfer; see [Bed]. Of several TTLs the highest
// counts.
func (d DNS) Truth(ctx context.Context, name, typ string) (rrset.Set, error) {
	m := new(dns.Msg)
	m.SetAxfr(d.Zone)
	m.SetTsig(dns.Fqdn(d.Key), dns.HmacSHA256, 300, time.Now().Unix())
	in, err := (&dns.Transfer{TsigSecret: d.key()}).In(m, d.Server)
	if err != nil {
		return rrset.Set{}, err
	}
	var ttl uint32
	var data []string
	for e := range in {
		if err == nil {
			err = e.Error
		}
		for _, rr := range e.RR {
			owner, nameErr := rrset.CanonicalName(rr.Header().Name)
			if nameErr != nil || owner != name || dns.Type(rr.Header().Rrtype).String() != typ {
				continue
			}
			ttl = max(ttl, rr.Header().Ttl)
			data = append(data, strings.TrimPrefix(rr.String(), rr.Header().String()))
		}
	}
	if err != nil {
		return rrset.Set{}, fmt.Errorf("transfer of %s: %w", d.Zone, err)
	}
	return rrset.New(name, typ, ttl, data...)
}

// EditOne makes an RRset so; see [Bed].
func (d DNS) EditOne(ctx context.Context, s rrset.Set) error { return d.Edit(ctx, s) }

// Edit makes RRsets so, by one update without prerequisites; see [Bed].
func (d DNS) Edit(ctx context.Context, sets ...rrset.Set) error {
	m := new(dns.Msg)
	m.SetUpdate(d.Zone)
	for _, s := range sets {
		m.RemoveRRset([]dns.RR{&dns.ANY{Hdr: dns.RR_Header{Name: s.Name, Rrtype: dns.StringToType[s.Type]}}})
		for _, data := range s.Data {
			rr, err := dns.NewRR(fmt.Sprintf("%s %d IN %s %s", s.Name, s.TTL, s.Type, data))
			if err != nil {
				return err
			}
			m.Insert([]dns.RR{rr})
		}
	}
	m.SetTsig(dns.Fqdn(d.Key), dns.HmacSHA256, 300, time.Now().Unix())
	r, _, err := (&dns.Client{Net: "tcp", Timeout: 10 * time.Second, TsigSecret: d.key()}).ExchangeContext(ctx, m, d.Server)
	if err == nil && r.Rcode != dns.RcodeSuccess {
		err = fmt.Errorf("an update of %d RRsets: %s", len(sets), dns.RcodeToString[r.Rcode])
	}
	return err
}

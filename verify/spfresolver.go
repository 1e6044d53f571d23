package verify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"blitiri.com.ar/go/spf"
	"github.com/miekg/dns"

	"mxcutover/rrset"
	"mxcutover/verify/resolve"
)

// spfView is the DNS as an evaluation of SPF sees it: as it is, but for the MX
// RRsets that have moved and for one record of ours. It answers each question
// once, so that one domain may be evaluated many times over. It is used by one
// goroutine.
type spfView struct {
	dns    *resolve.Client
	moved  func(ctx context.Context, name string, today []rrset.MX) ([]rrset.MX, error) // nil = none have
	record map[string]string                                                            // by canonical name, an SPF record in place of the one that is there
	from   netip.Addr                                                                   // the sender's
	kept   map[string]kept
	fault  error // of the last record that was malformed
}

type kept struct {
	answer resolve.Answer
	err    error
}

// sees is a view of the same DNS, from another sender or with another thing moved.
func (v *spfView) sees(change func(*spfView)) *spfView {
	w := *v
	w.fault = nil
	change(&w)
	return &w
}

// The limits of RFC 7208 section 4.6.4.
const (
	maxLookups = 10 // terms that cause a question
	maxVoid    = 2  // questions without an answer
)

// check evaluates the SPF of a domain for the view's sender.
func (v *spfView) check(ctx context.Context, helo, sender string, o ...spf.Option) (spf.Result, error) {
	v.fault = nil
	o = append([]spf.Option{spf.WithContext(ctx), spf.WithResolver(v), spf.WithTraceFunc(func(string, ...any) {})}, o...)
	result, err := spf.CheckHostWithSender(v.from.AsSlice(), helo, sender, o...)
	switch {
	case ctx.Err() != nil:
		return spf.TempError, ctx.Err()
	case result == spf.PermError && v.fault != nil:
		return result, v.fault
	}
	return result, err
}

// counts are how many lookups and void lookups an evaluation needs: the least
// limits with which it ends as it does without. One more than the limit stands
// for any number above it.
func (v *spfView) counts(ctx context.Context, helo, sender string) (lookups, void int) {
	const plenty = 1000
	for lookups = 0; lookups <= maxLookups; lookups++ {
		_, err := v.check(ctx, helo, sender, spf.OverrideLookupLimit(uint(lookups)), spf.OverrideVoidLookupLimit(plenty))
		if !errors.Is(err, spf.ErrLookupLimitReached) {
			break
		}
	}
	for void = 0; void <= maxVoid; void++ {
		_, err := v.check(ctx, helo, sender, spf.OverrideVoidLookupLimit(uint(void)))
		if !errors.Is(err, spf.ErrVoidLookupLimitReached) {
			break
		}
	}
	return lookups, void
}

// notFound and unasked are the errors that the evaluation knows.
func notFound(name string) error {
	return &net.DNSError{Err: "no such record", Name: name, IsNotFound: true}
}

func unasked(name string, err error) error {
	return &net.DNSError{Err: err.Error(), Name: name, IsTemporary: true}
}

// ask asks once. A name that can be none has no records (RFC 7208 section 4.3).
func (v *spfView) ask(ctx context.Context, name, typ string) (resolve.Answer, error) {
	n, err := spelled(name)
	if err != nil || len(rrset.Labels(n)) < 2 {
		return resolve.Answer{}, notFound(name)
	}
	k, ok := v.kept[n+typ]
	if !ok {
		k.answer, k.err = v.dns.Recurse(ctx, n, typ)
		v.kept[n+typ] = k
	}
	if k.err != nil {
		return k.answer, unasked(name, k.err)
	}
	return k.answer, nil
}

// spelled is a name as an SPF record has it, octet by octet, in its canonical
// spelling.
func spelled(name string) (string, error) {
	var b strings.Builder
	for _, ch := range []byte(name) {
		switch {
		case ch == '.', ch == '-', ch == '_', '0' <= ch && ch <= '9', 'a' <= ch && ch <= 'z', 'A' <= ch && ch <= 'Z':
			b.WriteByte(ch)
		default:
			fmt.Fprintf(&b, `\%03d`, ch)
		}
	}
	return rrset.CanonicalName(b.String())
}

// LookupTXT gives a name's texts. A malformed SPF record is an error that is no
// DNS error, which makes the result permerror (RFC 7208 section 4.6).
func (v *spfView) LookupTXT(ctx context.Context, name string) ([]string, error) {
	if n, err := spelled(name); err == nil && v.record[n] != "" {
		return []string{v.record[n]}, nil
	}
	a, err := v.ask(ctx, name, "TXT")
	if err != nil {
		return nil, err
	}
	if a.Set.Absent() {
		return nil, notFound(name)
	}
	all, err := texts(a.Set)
	if err != nil {
		return nil, err
	}
	records := slices.DeleteFunc(all, func(t string) bool { return !isSPF(t) })
	if len(records) == 1 {
		if _, err := readSPF(records[0]); err != nil {
			v.fault = fmt.Errorf("the record of %s: %w", name, err)
			return nil, v.fault
		}
	}
	return records, nil
}

// LookupMX gives a name's MX hosts, those of after a move where it has moved.
func (v *spfView) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	a, err := v.ask(ctx, name, "MX")
	if err != nil {
		return nil, err
	}
	members := a.Set.MX()
	if n, err := spelled(name); v.moved != nil && err == nil {
		if members, err = v.moved(ctx, n, members); err != nil {
			return nil, unasked(name, err)
		}
	}
	if len(members) == 0 {
		return nil, notFound(name)
	}
	var out []*net.MX
	for _, m := range members {
		out = append(out, &net.MX{Host: m.Host, Pref: m.Preference})
	}
	return out, nil
}

// LookupIPAddr gives a host's addresses. An IPv4 sender is compared with A
// records alone, so that nothing else makes a lookup a void one.
func (v *spfView) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	types := []string{"A"}
	if !v.from.Unmap().Is4() {
		types = append(types, "AAAA")
	}
	var out []net.IPAddr
	for _, typ := range types {
		a, err := v.ask(ctx, host, typ)
		if err != nil {
			return nil, err
		}
		for _, d := range a.Set.Data {
			if addr, err := netip.ParseAddr(d); err == nil {
				out = append(out, net.IPAddr{IP: addr.AsSlice()})
			}
		}
	}
	if len(out) == 0 {
		return nil, notFound(host)
	}
	return out, nil
}

// LookupAddr gives the names of an address.
func (v *spfView) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	name, err := dns.ReverseAddr(addr)
	if err != nil {
		return nil, notFound(addr)
	}
	a, err := v.ask(ctx, name, "PTR")
	if err != nil {
		return nil, err
	}
	if a.Set.Absent() {
		return nil, notFound(name)
	}
	return a.Set.Data, nil
}

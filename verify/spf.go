package verify

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"blitiri.com.ar/go/spf"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// spfTrial is the SPF of one domain, as it is and as it will be.
type spfTrial struct {
	helo, sender string
	today        *spfView // with this domain's MX as it was found, also when it has moved since
	future       *spfView // once this domain's MX has moved
	all          *spfView // once every MX has that leads to the old server
}

// trySPF makes the views of a cutover's domain.
func (c *Checker) trySPF(cut plan.Cutover) spfTrial {
	name := asked(cut.Domain)
	t := spfTrial{helo: rrset.Bare(name), sender: "postmaster@" + rrset.Bare(name)}
	if len(c.OldHosts) > 0 {
		t.helo = rrset.Bare(c.OldHosts[0])
	}
	before, after := cut.Before().MX(), cut.After().MX()
	own := func(members []rrset.MX) func(context.Context, string, []rrset.MX) ([]rrset.MX, error) {
		return func(_ context.Context, n string, served []rrset.MX) ([]rrset.MX, error) {
			if n == name {
				return members, nil
			}
			return served, nil
		}
	}
	t.today = &spfView{dns: c.dns, kept: map[string]kept{}, moved: own(before)}
	t.future = t.today.sees(func(v *spfView) { v.moved = own(after) })
	t.all = t.today.sees(func(v *spfView) {
		v.moved = func(ctx context.Context, n string, today []rrset.MX) ([]rrset.MX, error) {
			if n == name {
				return after, nil
			}
			old, err := c.leadsToOld(ctx, today)
			if err != nil || !old {
				return today, err
			}
			return c.Planned, nil
		}
	})
	return t
}

// leadsToOld tells whether one of some MX hosts is the old server.
func (c *Checker) leadsToOld(ctx context.Context, hosts []rrset.MX) (bool, error) {
	for _, m := range hosts {
		if m.Null() {
			continue
		}
		addrs, err := c.Addresses(ctx, m.Host)
		if err != nil {
			return false, err
		}
		if c.old(m.Host, addrs) != "" {
			return true, nil
		}
	}
	return false, nil
}

// A verdict is what SPF says of one sender's address.
type verdict struct {
	addr               netip.Addr
	today, future, all spf.Result
	why                error // of future
}

// lost tells whether mail passes today, and will not when this domain has moved;
// later, whether it will not when others have.
func (v verdict) lost() bool  { return v.today == spf.Pass && v.future != spf.Pass }
func (v verdict) later() bool { return v.today == spf.Pass && !v.lost() && v.all != spf.Pass }

// verdicts evaluates for every outbound address. What could not be asked is an error.
func (c *Checker) verdicts(ctx context.Context, t spfTrial) ([]verdict, error) {
	var out []verdict
	for _, a := range c.Outbound {
		v := verdict{addr: a.Unmap()}
		from := func(view *spfView) (spf.Result, error) {
			return view.sees(func(w *spfView) { w.from = v.addr }).check(ctx, t.helo, t.sender)
		}
		var err error
		if v.today, err = from(t.today); v.today == spf.TempError {
			return nil, err
		}
		if v.future, v.why = from(t.future); v.future == spf.TempError {
			return nil, v.why
		}
		if v.all, err = from(t.all); v.all == spf.TempError {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// spfTime bounds the evaluations of one domain; receivers give one 20 s at the
// least (RFC 7208 section 4.6.4).
const spfTime = time.Minute

// spfFuture holds the SPF result of today against the one with the planned MX. An
// address that loses its pass has its mail refused by those who want one.
func spfFuture(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	t, domain := c.trySPF(cut), cut.Domain
	ctx, cancel := context.WithTimeout(ctx, spfTime)
	defer cancel()
	all, err := c.verdicts(ctx, t)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	if all[0].today == spf.None {
		return []plan.Finding{pass(domain, "no SPF record: nothing in it can change")}, nil
	}
	var found []plan.Finding
	var good []netip.Addr
	for _, v := range all {
		switch {
		case v.lost():
			found = append(found, fail(domain, "mail from %s passes SPF with the old MX, and with the planned one the result is %s%s; add %s to the record first", v.addr, v.future, because(v.why), pin(v.addr)))
		case v.later():
			found = append(found, warn(domain, "mail from %s passes SPF only while other domains' MX lead to the old server (then: %s); add %s to the record", v.addr, v.all, pin(v.addr)))
		case v.future != spf.Pass:
			found = append(found, warn(domain, "mail from %s does not pass SPF, with the old MX (%s) or the planned one (%s%s)", v.addr, v.today, v.future, because(v.why)))
		default:
			good = append(good, v.addr)
		}
	}
	if len(good) > 0 {
		found = append(found, pass(domain, "mail from %s passes SPF with the planned MX as well", list(good)))
	}
	return append(found, t.cost(ctx, domain)...), nil
}

// because adds what an evaluation stumbled over.
func because(err error) string {
	if err == nil || slices.ContainsFunc([]error{spf.ErrMatchedAll, spf.ErrNoResult}, func(e error) bool { return errors.Is(err, e) }) {
		return ""
	}
	return ": " + strings.TrimPrefix(err.Error(), "matched ")
}

// pin is the mechanism that lets one address pass.
func pin(a netip.Addr) string {
	if a.Unmap().Is4() {
		return "ip4:" + a.Unmap().String()
	}
	return "ip6:" + a.String()
}

// nobody is an address that no record should name (RFC 7600 section 4.8): what
// it costs to find that out is the most that an evaluation costs.
var nobody = netip.MustParseAddr("192.0.0.8")

// cost warns when the limits of RFC 7208 section 4.6.4 are near: above them the
// result is permerror for whoever comes late in the record.
func (t spfTrial) cost(ctx context.Context, domain string) (found []plan.Finding) {
	view := t.future.sees(func(v *spfView) { v.from = nobody })
	lookups, void := view.counts(ctx, t.helo, t.sender)
	const near = maxLookups - 1
	switch {
	case lookups > maxLookups:
		found = append(found, warn(domain, "the record needs more than %d lookups: who stands late in it gets permerror", maxLookups))
	case lookups >= near:
		found = append(found, warn(domain, "the record needs %d lookups; more than %d are permerror", lookups, maxLookups))
	}
	switch {
	case void > maxVoid:
		found = append(found, warn(domain, "the record needs more than %d lookups that find nothing: who stands late in it gets permerror", maxVoid))
	case void == maxVoid:
		found = append(found, warn(domain, "%d of the record's lookups find nothing; more are permerror", void))
	}
	return found
}

// pinned is an SPF record with addresses that pass before all else, so that what
// comes later, and may change its meaning, is not asked about them.
func pinned(record string, addrs []netip.Addr) string {
	words := strings.Split(record, " ")
	var pins []string
	for _, a := range addrs {
		pins = append(pins, pin(a))
	}
	return strings.Join(append(append(words[:1:1], pins...), words[1:]...), " ")
}

// spfRecord finds the one SPF record among a name's TXT records; "" = none.
func spfRecord(s rrset.Set) (record, data string, err error) {
	all, err := texts(s)
	if err != nil {
		return "", "", err
	}
	for i, t := range all {
		switch {
		case !isSPF(t):
		case data != "":
			return "", "", fmt.Errorf("%s has two SPF records", s.Name)
		default:
			record, data = t, s.Data[i]
		}
	}
	return record, data, nil
}

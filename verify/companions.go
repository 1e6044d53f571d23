package verify

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/verify/resolve"
)

// Companions are the Changes that must come before a domain's MX moves, each of an
// RRset that exists, which keeps its other members: an SPF record that no longer
// depends on the MX, the id of a MTA-STS policy that has got the new hosts, TLSA
// records for the certificates that the new hosts show. What only a person can change
// (a policy's file, another's zone), and what must not be written (a name that a
// wildcard answers for), is a finding. Domains with the same MX hosts have the
// same Change of TLSA records; it is to be made once.
func (c *Checker) Companions(ctx context.Context, cut plan.Cutover) ([]plan.Companion, []plan.Finding) {
	var out []plan.Companion
	var found []plan.Finding
	for _, k := range []struct {
		id, rfc string
		find    func(context.Context, plan.Cutover) ([]plan.Companion, []plan.Finding, error)
	}{
		{"spf.future", "RFC 7208 section 5.4", c.spfCompanion},
		{"mtasts.future", "RFC 8461 section 5.1", c.stsCompanion},
		{"dane.future", "RFC 7671 section 8.1", c.daneCompanions},
	} {
		more, f, err := k.find(ctx, cut)
		if err != nil {
			f = append(f, unknown("", "could not find what must change first: %v", err))
		}
		for i := range more {
			more[i].Check = k.id
		}
		out = append(out, more...)
		found = append(found, c.stamp(f, k.id, k.rfc, cut.Domain)...)
	}
	return out, found
}

// errByHand means that an RRset is not ours to change, or not safely.
var errByHand = errors.New("a person must change it")

// published is an RRset as every authoritative server of its zone serves it.
// [errByHand]: the name is an alias, or not in the zone, or a wildcard answers for
// it: to create it would hide the wildcard (RFC 4592 section 2.2.1).
func (c *Checker) published(ctx context.Context, zone, name, typ string) (rrset.Set, error) {
	served, found := c.served(ctx, zone, name, typ, func(resolve.Answer) {})
	if len(found) > 0 {
		if notHere(found[0]) {
			return rrset.Set{}, fmt.Errorf("%w: %s", errByHand, found[0].Detail)
		}
		return rrset.Set{}, fmt.Errorf("%s: %s", found[0].Target, found[0].Detail)
	}
	var out *rrset.Set
	for _, s := range served {
		if out != nil && !out.Equal(s) {
			return s, fmt.Errorf("the name servers of %s disagree about %s %s", rrset.Bare(zone), rrset.Bare(name), typ)
		}
		out = &s
	}
	if out == nil {
		return rrset.Set{}, fmt.Errorf("no name server of %s answers", rrset.Bare(zone))
	}
	wild, err := c.fromWildcard(ctx, zone, *out)
	if err == nil && wild != "" {
		err = fmt.Errorf("%w: %s seems to be answered from the wildcard %s; is it to have a %s of its own, which would hide the wildcard there?", errByHand, rrset.Bare(name), rrset.Bare(wild), typ)
	}
	return *out, err
}

// notHere tells of a server's finding that the name leads elsewhere: it is an
// alias, or another zone's.
func notHere(f plan.Finding) bool {
	return strings.Contains(f.Detail, "is an alias") || strings.HasPrefix(f.Detail, "it delegates")
}

// fromWildcard is the wildcard that may have given an RRset: one above it, with
// the same data. "" = none.
func (c *Checker) fromWildcard(ctx context.Context, zone string, s rrset.Set) (string, error) {
	if s.Absent() || rrset.IsWildcard(s.Name) {
		return "", nil
	}
	for up := s.Name; up != zone && up != "."; {
		up = rrset.Parent(up)
		served, found := c.served(ctx, zone, "*."+up, s.Type, func(resolve.Answer) {})
		if len(served) == 0 && len(found) > 0 && !notHere(found[0]) {
			return "", fmt.Errorf("%s: %s", found[0].Target, found[0].Detail)
		}
		for _, w := range served {
			if slices.Equal(w.Data, s.Data) {
				return "*." + up, nil
			}
		}
	}
	return "", nil
}

// swapped is an RRset with other data in place of one member.
func swapped(s rrset.Set, old, by string) (rrset.Set, error) {
	data := slices.DeleteFunc(slices.Clone(s.Data), func(d string) bool { return d == old })
	return rrset.New(s.Name, s.Type, s.TTL, append(data, by)...)
}

func seconds(ttl uint32) time.Duration { return time.Duration(ttl) * time.Second }

// spfCompanion pins the outbound addresses that would lose their pass.
func (c *Checker) spfCompanion(ctx context.Context, cut plan.Cutover) ([]plan.Companion, []plan.Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, spfTime)
	defer cancel()
	t := c.trySPF(cut)
	all, err := c.verdicts(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	var pins []netip.Addr
	for _, v := range all {
		if v.lost() || v.later() {
			pins = append(pins, v.addr)
		}
	}
	if len(pins) == 0 {
		return nil, nil, nil
	}
	set, err := c.published(ctx, cut.Zone, cut.Domain, "TXT")
	if errors.Is(err, errByHand) {
		return nil, []plan.Finding{fail("", "the SPF record must let %s pass before the MX moves, and %v", list(pins), err)}, nil
	} else if err != nil {
		return nil, nil, err
	}
	record, data, err := spfRecord(set)
	if err != nil || data == "" {
		return nil, nil, errors.Join(fmt.Errorf("the name servers and the resolver disagree about the SPF record of %s", rrset.Bare(cut.Domain)), err)
	}
	next := pinned(record, pins)
	if err := c.proves(ctx, t, next, pins); err != nil {
		return nil, []plan.Finding{fail("", "the SPF record must let %s pass before the MX moves, and pinning does not do it: %v", list(pins), err)}, nil
	}
	after, err := swapped(set, data, txtData(next))
	if err != nil {
		return nil, nil, err
	}
	return []plan.Companion{{
		Change: rrset.Change{Zone: cut.Zone, Before: set, After: after}, Provider: cut.Provider, Wait: plan.Duration(seconds(set.TTL)),
		Why: fmt.Sprintf("the SPF record lets %s pass by the MX, which moves; pinned, it passes before and after (RFC 7208 section 5.4)", list(pins)),
	}}, nil, nil
}

// proves evaluates a new record for the addresses that it pins, with the old MX
// and with the planned one.
func (c *Checker) proves(ctx context.Context, t spfTrial, record string, pins []netip.Addr) error {
	_, domain, _ := strings.Cut(t.sender, "@")
	for _, view := range []*spfView{t.today, t.future, t.all} {
		for _, a := range pins {
			v := view.sees(func(w *spfView) { w.from, w.record = a, map[string]string{domain + ".": record} })
			if got, err := v.check(ctx, t.helo, t.sender); got != "pass" {
				return fmt.Errorf("the result for %s would be %s%s", a, got, because(err))
			}
		}
	}
	return nil
}

// stsCompanion gives the policy another id, once its file lists the new hosts.
func (c *Checker) stsCompanion(ctx context.Context, cut plan.Cutover) ([]plan.Companion, []plan.Finding, error) {
	record, err := c.stsTXT(ctx, asked(cut.Domain))
	if err != nil || record.id == "" { // no policy, or none that is fetched; the check tells what is broken
		return nil, nil, err
	}
	p, err := c.stsPolicy(ctx, asked(cut.Domain))
	switch {
	case errors.Is(err, errNoPolicy):
		return nil, []plan.Finding{unknown("", "%v; serve a policy that lists the new MX hosts, or mode none, then plan anew", err)}, nil
	case err != nil:
		return nil, nil, err
	case p.mode == stsNone:
		return nil, nil, nil
	case len(p.lacks(cut.After().MX())) > 0:
		found, err := c.heldTo(ctx, p, cut) // a person changes the file
		return nil, found, err
	case rrset.IsWildcard(cut.Domain):
		return nil, []plan.Finding{fail("", "the ids of policies below a wildcard must be changed by hand")}, nil
	}
	set, err := c.published(ctx, cut.Zone, stsName(cut.Domain), "TXT")
	if errors.Is(err, errByHand) {
		return nil, []plan.Finding{severe(p.mode)("", "change the policy's id at %s, a day and the record's TTL before the MX moves: %v", rrset.Bare(stsName(cut.Domain)), err)}, nil
	} else if err != nil {
		return nil, nil, err
	}
	after, err := c.otherID(set)
	if err != nil {
		return nil, nil, err
	}
	return []plan.Companion{{
		Change: rrset.Change{Zone: cut.Zone, Before: set, After: after}, Provider: cut.Provider, Wait: plan.Duration(seconds(set.TTL) + stsRecheck),
		Why: "another id tells senders to fetch the MTA-STS policy anew, which lists the new MX hosts; they look for it once a day (RFC 8461 section 3.3)",
	}}, nil, nil
}

// otherID is a TXT RRset at _mta-sts with another id: the time, as most write it.
func (c *Checker) otherID(set rrset.Set) (rrset.Set, error) {
	all, err := texts(set)
	if err != nil {
		return set, err
	}
	old, err := stsRecord(all)
	if err != nil || old == "" {
		return set, errors.Join(fmt.Errorf("the name servers and the resolver disagree about %s", rrset.Bare(set.Name)), err)
	}
	id := ""
	for now := c.Now().UTC(); id == "" || id == old; now = now.Add(time.Second) {
		id = now.Format("20060102150405Z")
	}
	for i, t := range all {
		if one, _ := stsRecord([]string{t}); one != old {
			continue
		}
		list, err := tags(t)
		if err != nil {
			return set, err
		}
		var b strings.Builder
		for _, x := range list {
			if x.name == "id" {
				x.value = id
			}
			b.WriteString(x.name + "=" + x.value + "; ")
		}
		return swapped(set, set.Data[i], txtData(strings.TrimSuffix(b.String(), " ")))
	}
	return set, fmt.Errorf("no record with the id %s at %s", old, rrset.Bare(set.Name))
}

// daneCompanions add records for the certificates that the new hosts show, where
// they have TLSA records and none of them matches.
func (c *Checker) daneCompanions(ctx context.Context, cut plan.Cutover) (out []plan.Companion, found []plan.Finding, err error) {
	for _, m := range cut.After().MX() {
		if m.Null() {
			continue
		}
		missing, f, err := c.unmatched(ctx, m.Host)
		found = append(found, f...)
		if err != nil {
			return out, found, err
		}
		if len(missing) == 0 {
			continue
		}
		name := c.tlsaName(m.Host)
		zone, provider, ours := "", "", false
		if c.Holder != nil {
			zone, provider, ours = c.Holder(name)
		}
		if !ours {
			found = append(found, fail(rrset.Bare(m.Host), "its zone is none of ours: let its owner add TLSA \"%s\" at %s, two TTLs before the MX moves", strings.Join(missing, `", "`), rrset.Bare(name)))
			continue
		}
		set, err := c.published(ctx, zone, name, "TLSA")
		if errors.Is(err, errByHand) {
			found = append(found, fail(rrset.Bare(m.Host), "add TLSA \"%s\" at %s, two TTLs before the MX moves: %v", strings.Join(missing, `", "`), rrset.Bare(name), err))
			continue
		} else if err != nil {
			return out, found, err
		}
		after, err := rrset.New(name, "TLSA", set.TTL, slices.Concat(set.Data, missing)...)
		if err != nil {
			return out, found, err
		}
		out = append(out, plan.Companion{
			Change: rrset.Change{Zone: zone, Before: set, After: after}, Provider: provider, Wait: plan.Duration(2 * seconds(set.TTL)),
			Why: "none of the host's TLSA records matches the certificate that it shows, as seen from here; the old ones stay until you take them out (RFC 7671 section 8.1)",
		})
	}
	return out, found, nil
}

// unmatched are the records that a host with TLSA records lacks, and what no
// record mends.
func (c *Checker) unmatched(ctx context.Context, host string) (missing []string, found []plan.Finding, err error) {
	all, err := c.daneHost(ctx, host)
	for _, f := range all {
		switch {
		case strings.HasPrefix(f.Evidence, advised):
			if !slices.Contains(missing, f.Evidence) {
				missing = append(missing, f.Evidence)
			}
		case f.Severity == plan.Fail:
			found = append(found, f)
		}
	}
	return missing, found, err
}

package traffic

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Bounds of what a [Replay] remembers.
const (
	maxUses  = 1 << 16 // of the old server, by source and name
	maxNames = 1 << 16 // that had mail, besides those of the plan
	maxUser  = 128     // bytes of a user's name
)

// A Use is how somebody uses the old server that rules would end.
type Use string

// The uses.
const (
	SignedIn  Use = "authenticated" // a user of the old server submits mail there
	Relays    Use = "relay"         // hands it mail for names elsewhere, and that is taken
	HasNoPlan Use = "no-plan"       // hands it mail for a name that the plan does not move
	NotMoved  Use = "not-moved"     // for one that has not moved yet
	Sends     Use = "sender"        // for one that has: a straggler
)

// A Replay takes a log of the old server, and tells whom firewall rules would have
// cut off. It keeps 65,536 uses, by source and name; what is above that is counted
// in Left, and then nobody knows who is cut off. The plan's own names, and who is
// trusted, take none of that room: of these there may be many.
type Replay struct {
	Stragglers // whose Look is asked for all names

	LeftUses uint64    // records of uses that found no room
	First    time.Time // of the log's records

	uses    map[use]*used
	names   map[string]*HadMail
	planned map[uint64]int64 // when a name of the plan had mail last, in seconds, by its hash
	noted   uint64           // names that found no room
	told    uint64           // recipients whose mail came from a source that the log tells
	untold  uint64           // and those of whose mail it tells none
	filters time.Time        // when a filter last handed mail on and did not say for whom
}

type use struct {
	kind   Use
	source netip.Addr
	name   string // the user, or the domain
	port   uint16
}

type used struct {
	count uint64
	last  time.Time
}

// Add counts a record.
func (r *Replay) Add(rec *Record) {
	if r.First.IsZero() || rec.At.Before(r.First) {
		r.First = rec.At
	}
	r.Stragglers.Add(rec)
	if r.Skip != nil && r.Skip(rec) {
		return
	}
	if rec.Origin == Submitted {
		if rec.Event == Accepted && rec.Peer.IsValid() && !itself(rec.Peer) && !r.trusts(rec.Peer) { // once a message, or once for each recipient that the log has then
			r.use(use{SignedIn, rec.Peer.Unmap(), string(bytes.ToValidUTF8(rec.User[:min(len(rec.User), maxUser)], []byte("?"))), rec.Port}, rec.At, false)
		}
		return
	}
	if !rec.First || rec.Event == Rejected || rec.Origin == Internal {
		return
	}
	name := r.domainOf(rec.Recipient)
	if name == "" {
		return
	}
	of := r.Look(name)
	planned := of.Standing >= Waiting && strings.TrimSuffix(of.Domain, ".") == name // and not a wildcard's
	r.note(name, planned, rec.At)
	if !came(rec) {
		r.untold++
		if rec.Origin == Outside && rec.At.After(r.filters) {
			r.filters = rec.At
		}
		return
	}
	r.told++
	if r.trusts(rec.Peer) && of.Standing != Waiting {
		return
	}
	switch of.Standing {
	case Elsewhere:
		r.use(use{Relays, rec.Peer.Unmap(), name, rec.Port}, rec.At, false)
	case Unplanned:
		r.use(use{HasNoPlan, rec.Peer.Unmap(), name, rec.Port}, rec.At, false)
	case Waiting:
		r.use(use{kind: NotMoved, name: name}, rec.At, planned)
	}
}

// Sourceless tells whether the log does not tell from where mail comes: since a time a
// filter handed some on without saying for whom, or most of it has no source, or
// none came from other servers at all. Then its names are known, and not who is cut
// off.
func (r *Replay) Sourceless(since time.Time) bool {
	return r.untold >= r.told || !r.filters.IsZero() && !r.filters.Before(since)
}

// use counts a use; a free one takes no room of others'.
func (r *Replay) use(u use, at time.Time, free bool) {
	c := r.uses[u]
	if c == nil {
		if !free && len(r.uses) >= maxUses {
			r.LeftUses++
			return
		}
		if r.uses == nil {
			r.uses = map[use]*used{}
		}
		c = &used{}
		r.uses[u] = c
	}
	c.count++
	if at.After(c.last) {
		c.last = at
	}
}

// HadMail is a name for which the old server took mail from other servers.
type HadMail struct {
	Name  string // lower case, no final dot; foreign
	Count uint64 // recipients
	Last  time.Time
}

func (r *Replay) note(name string, planned bool, at time.Time) {
	if planned {
		if r.planned == nil {
			r.planned = map[uint64]int64{}
		}
		key := maphash.String(seed, name)
		r.planned[key] = max(r.planned[key], at.Unix())
		return
	}
	h := r.names[name]
	if h == nil {
		if len(r.names) >= maxNames {
			r.noted++
			return
		}
		if r.names == nil {
			r.names = map[string]*HadMail{}
		}
		h = &HadMail{Name: name}
		r.names[name] = h
	}
	h.Count++
	if at.After(h.Last) {
		h.Last = at
	}
}

// Names are those that had mail since a time and are none of the plan's, those with
// most first; planned is how many of the plan's had, and left counts records of names
// that found no room.
func (r *Replay) Names(since time.Time) (out []HadMail, planned int, left uint64) {
	for _, at := range r.planned {
		if at >= since.Unix() {
			planned++
		}
	}
	for _, h := range r.names {
		if !h.Last.Before(since) {
			out = append(out, *h)
		}
	}
	slices.SortFunc(out, func(a, b HadMail) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name)) })
	return out, planned, r.noted
}

// Closed are firewall rules: ports that are closed to all but some networks.
type Closed struct {
	Ports []uint16
	Trust []netip.Prefix
	SMTP  uint16 // the port to which other servers bring mail; 0 = 25
}

// Cuts tells whether a connection would be refused. A log that does not tell the
// port may mean any.
func (c Closed) Cuts(source netip.Addr, port uint16) bool {
	if len(c.Ports) == 0 || port != 0 && !slices.Contains(c.Ports, port) {
		return false
	}
	return !c.Trusts(source)
}

// Trusts tells whether a source is let in, whatever the port.
func (c Closed) Trusts(source netip.Addr) bool {
	return Within(c.Trust, source)
}

// Within tells whether an address is in one of some networks, also where IPv4 is
// written as IPv6.
func Within(all []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(all, func(p netip.Prefix) bool {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		return p.Contains(a.Unmap())
	})
}

// A Cut is one use that rules would end. Its texts are foreign.
type Cut struct {
	Use     Use
	Name    string     // the user, or the domain; "" = the log does not tell
	Source  netip.Addr // one of them; not valid = of whoever sends there
	Sources int        // how many there are
	Port    uint16     // 0 = the log does not tell, so it may be a closed one
	Count   uint64     // recipients; of users messages, where the log names recipients only later
	Last    time.Time

	Straggler *Straggler // of a Sends
}

// Cuts are the legitimate uses since a time that rules would end, the worst first.
// Stragglers are those of [Stragglers.List]; spammers among them are left out.
func (r *Replay) Cuts(rules Closed, since time.Time, stragglers []Straggler) (out []Cut) {
	at := map[use]int{}
	for u, c := range r.uses {
		if c.last.Before(since) || u.kind == NotMoved && len(rules.Ports) == 0 || u.kind != NotMoved && !rules.Cuts(u.source, u.port) {
			continue
		}
		if r.stale(u) {
			continue
		}
		key := u
		if u.kind == Relays {
			key.name = "" // one source relays to many
		} else {
			key.source = netip.Addr{}
		}
		i, there := at[key]
		if !there {
			i = len(out)
			at[key] = i
			out = append(out, Cut{Use: u.kind, Name: u.name, Source: u.source, Port: u.port})
		}
		x := &out[i]
		x.Count += c.count
		if u.source.IsValid() && (u.kind != Relays || !there) {
			x.Sources++
		}
		if cmp.Or(c.last.Compare(x.Last), cmp.Compare(x.Name, u.name), x.Source.Compare(u.source)) > 0 {
			x.Last, x.Source, x.Name = c.last, u.source, u.name
		}
	}
	port := cmp.Or(rules.SMTP, 25)
	for i := range stragglers {
		s := &stragglers[i]
		if !s.Last.Before(since) && s.Legitimate() && rules.Cuts(s.Source, port) {
			out = append(out, Cut{Use: Sends, Name: s.Domain, Source: s.Source, Sources: 1, Port: port, Count: s.Count(), Last: s.Last, Straggler: s})
		}
	}
	slices.SortFunc(out, func(a, b Cut) int {
		return cmp.Or(cmp.Compare(rank(a.Use), rank(b.Use)), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name), a.Source.Compare(b.Source), cmp.Compare(a.Port, b.Port))
	})
	return out
}

// stale tells whether a use was for a name of which another thing is known by now.
func (r *Replay) stale(u use) bool {
	standing, ofName := map[Use]Standing{Relays: Elsewhere, HasNoPlan: Unplanned, NotMoved: Waiting}[u.kind]
	return ofName && r.Look(u.name).Standing != standing
}

// rank orders uses, the worst to end first.
func rank(u Use) int {
	return slices.Index([]Use{SignedIn, HasNoPlan, Relays, Sends, NotMoved}, u)
}

// Unsure tells whether uses were left out for want of room: then nobody knows who
// is cut off.
func (r *Replay) Unsure() bool { return r.LeftUses > 0 || r.Left.Accepted > 0 || r.noted > 0 }

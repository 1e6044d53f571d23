package traffic

import (
	"bytes"
	"net/netip"
	"slices"
	"time"
)

// An Hour is what one server had in one hour, of mail from outside. A message counts
// once for each domain of its recipients.
type Hour struct {
	At       time.Time `json:"at"`         // when it began, UTC
	Straight uint64    `json:"straight"`   // messages taken from anybody else, or from whom the log does not tell
	Passed   uint64    `json:"by_gateway"` // messages taken from the gateway, or from who is trusted as it is
	Refused  uint64    `json:"refused"`    // refusals for good: no message was taken
}

// Hours count a server's mail by the hour.
type Hours struct {
	Wanted       func(domain []byte) bool // lower case, no final dot; nil = all
	Skip         func(*Record) bool       // is not counted, as probes are; nil = none
	Gateway      func(netip.Addr) bool    // who hands mail on; nil = nobody
	Since, Until time.Time                // what is counted; zero = not bounded

	First, Last time.Time // of the records in that time, whoever they are for
	Left        uint64    // records left out, since there were too many hours

	hours map[int64]*Hour
	name  []byte
}

// maxHours bounds the hours of an Hours: two years.
const maxHours = 2 * 366 * 24

// Add counts a record, if it is of mail from outside, or may be.
func (h *Hours) Add(r *Record) {
	if r.At.IsZero() || !h.Since.IsZero() && r.At.Before(h.Since) || !h.Until.IsZero() && r.At.After(h.Until) {
		return
	}
	stretch(&h.First, &h.Last, r.At, r.At)
	taken := r.Domain && r.Event != Rejected
	refused := r.Event == Rejected && !r.Again
	if !taken && !refused || r.Origin == Internal || r.Origin == Submitted || h.Skip != nil && h.Skip(r) {
		return
	}
	i := bytes.LastIndexByte(r.Recipient, '@')
	if i < 0 || len(r.Recipient)-i > 256 {
		return
	}
	h.name = lower(h.name[:0], bytes.TrimSuffix(r.Recipient[i+1:], []byte{'.'}))
	if len(h.name) == 0 || h.Wanted != nil && !h.Wanted(h.name) {
		return
	}
	x := h.hour(r.At)
	switch {
	case x == nil:
		h.Left++
	case refused:
		x.Refused++
	case h.Gateway != nil && r.Peer.IsValid() && h.Gateway(r.Peer):
		x.Passed++
	default:
		x.Straight++
	}
}

// hour is the one in which a time is; nil if there is no room for it.
func (h *Hours) hour(at time.Time) *Hour {
	key := at.Unix() / 3600
	x := h.hours[key]
	if x == nil && len(h.hours) < maxHours {
		if h.hours == nil {
			h.hours = map[int64]*Hour{}
		}
		x = &Hour{At: time.Unix(key*3600, 0).UTC()}
		h.hours[key] = x
	}
	return x
}

// List are the hours in which something was counted, in their order.
func (h *Hours) List() []Hour {
	out := make([]Hour, 0, len(h.hours))
	for _, x := range h.hours {
		out = append(out, *x)
	}
	slices.SortFunc(out, func(a, b Hour) int { return a.At.Compare(b.At) })
	return out
}

// stretch widens a time.
func stretch(first, last *time.Time, from, to time.Time) {
	if first.IsZero() || from.Before(*first) {
		*first = from
	}
	if to.After(*last) {
		*last = to
	}
}

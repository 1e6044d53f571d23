package firewall

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// loaded is what the kernel holds of ours. A table that somebody has edited so that it
// no longer refuses anybody has no ports.
type loaded struct {
	there bool
	rules Rules
	until time.Time
	epoch uint64
}

// The parts of nft's JSON (libnftables-json(5)) that are read.
type nftList struct {
	Nftables []struct {
		Table *struct {
			Flags json.RawMessage `json:"flags"`
		} `json:"table"`
		Set *struct {
			Name string            `json:"name"`
			Elem []json.RawMessage `json:"elem"`
		} `json:"set"`
		Chain *struct {
			Name   string `json:"name"`
			Hook   string `json:"hook"`
			Prio   int    `json:"prio"`
			Policy string `json:"policy"`
		} `json:"chain"`
		Rule *nftRule `json:"rule"`
	} `json:"nftables"`
}

type nftElem struct {
	Elem *struct {
		Val     json.RawMessage `json:"val"`
		Expires *float64        `json:"expires"` // seconds
		Counter *struct {
			Packets uint64 `json:"packets"`
		} `json:"counter"`
	} `json:"elem"`
}

// parseTable reads nft -j list table.
func parseTable(out []byte, now time.Time) (loaded, error) {
	var list nftList
	if err := json.Unmarshal(out, &list); err != nil {
		return loaded{}, fmt.Errorf("nft: its JSON: %w", err)
	}
	l := loaded{there: true, rules: Rules{Action: Reject}}
	w := wholeness{rules: map[string][]nftRule{}}
	for _, o := range list.Nftables {
		var err error
		switch {
		case o.Table != nil:
			w.dormant = strings.Contains(string(o.Table.Flags), "dormant")
		case o.Chain != nil:
			if n, ok := strings.CutPrefix(o.Chain.Name, "epoch_"); ok {
				l.epoch, err = strconv.ParseUint(n, 10, 64)
			}
			if o.Chain.Hook == o.Chain.Name && o.Chain.Prio == priority && o.Chain.Policy == "accept" {
				w.hooks = append(w.hooks, o.Chain.Name)
			}
		case o.Rule != nil:
			w.rules[o.Rule.Chain] = append(w.rules[o.Rule.Chain], *o.Rule)
			if _, drops := o.Rule.has("drop"); drops && o.Rule.Chain == "refuse" {
				l.rules.Action = Drop
			}
		case o.Set != nil && o.Set.Name == "armed":
			err = l.armed(o.Set.Elem, now)
		case o.Set != nil && strings.HasPrefix(o.Set.Name, "trust"):
			err = l.trust(o.Set.Elem)
		}
		if err != nil {
			return loaded{}, fmt.Errorf("nft: its JSON: %w", err)
		}
	}
	l.rules = l.rules.canonical()
	if !w.refuses() {
		l.rules.Ports, l.rules.Lasting, l.until = nil, nil, time.Time{}
	}
	return l, nil
}

func (l *loaded) armed(elems []json.RawMessage, now time.Time) error {
	for _, raw := range elems {
		val, lasting := raw, true
		var e nftElem
		if json.Unmarshal(raw, &e) == nil && e.Elem != nil {
			val = e.Elem.Val
			if e.Elem.Expires != nil {
				lasting = false
				until := now.Add(time.Duration(*e.Elem.Expires * float64(time.Second)))
				if l.until.IsZero() || until.Before(l.until) {
					l.until = until
				}
			}
		}
		var port uint16
		if err := json.Unmarshal(val, &port); err != nil {
			return fmt.Errorf("an armed port: %w", err)
		}
		l.rules.Ports = append(l.rules.Ports, port)
		if lasting {
			l.rules.Lasting = append(l.rules.Lasting, port)
		}
	}
	return nil
}

func (l *loaded) trust(elems []json.RawMessage) error {
	for _, raw := range elems {
		var p struct {
			Prefix *struct {
				Addr netip.Addr `json:"addr"`
				Len  int        `json:"len"`
			} `json:"prefix"`
		}
		var a netip.Addr
		switch {
		case json.Unmarshal(raw, &p) == nil && p.Prefix != nil:
			l.rules.Trust = append(l.rules.Trust, netip.PrefixFrom(p.Prefix.Addr, p.Prefix.Len))
		case json.Unmarshal(raw, &a) == nil && a.IsValid():
			l.rules.Trust = append(l.rules.Trust, netip.PrefixFrom(a, a.BitLen()))
		default:
			return fmt.Errorf("a trusted network: %.80q", raw)
		}
	}
	return nil
}

// parseCallers reads nft -j list set of a set of sources that are counted.
func parseCallers(out []byte, seen map[netip.Addr]uint64) error {
	var list nftList
	if err := json.Unmarshal(out, &list); err != nil {
		return fmt.Errorf("nft: its JSON: %w", err)
	}
	for _, o := range list.Nftables {
		if o.Set == nil {
			continue
		}
		for _, raw := range o.Set.Elem {
			var e nftElem
			var addr netip.Addr
			if json.Unmarshal(raw, &e) != nil || e.Elem == nil || json.Unmarshal(e.Elem.Val, &addr) != nil || e.Elem.Counter == nil {
				return fmt.Errorf("nft: its JSON: a source: %.80q", raw)
			}
			seen[addr.Unmap()] += e.Elem.Counter.Packets
		}
	}
	return nil
}

// parseSeen reads nft -j list set of a set of blocked sources.
func parseSeen(out []byte, seen map[netip.AddrPort]uint64) error {
	var list nftList
	if err := json.Unmarshal(out, &list); err != nil {
		return fmt.Errorf("nft: its JSON: %w", err)
	}
	for _, o := range list.Nftables {
		if o.Set == nil {
			continue
		}
		for _, raw := range o.Set.Elem {
			var e nftElem
			if err := json.Unmarshal(raw, &e); err != nil || e.Elem == nil {
				continue
			}
			var v struct {
				Concat []json.RawMessage `json:"concat"`
			}
			var addr netip.Addr
			var port uint16
			if json.Unmarshal(e.Elem.Val, &v) != nil || len(v.Concat) != 2 ||
				json.Unmarshal(v.Concat[0], &addr) != nil || json.Unmarshal(v.Concat[1], &port) != nil {
				return fmt.Errorf("nft: its JSON: a blocked source: %.80q", raw)
			}
			if e.Elem.Counter != nil {
				seen[netip.AddrPortFrom(addr.Unmap(), port)] += e.Elem.Counter.Packets
			}
		}
	}
	return nil
}

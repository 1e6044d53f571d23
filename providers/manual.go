package providers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/libdns/libdns"
	"golang.org/x/sync/errgroup"

	"mxcutover/rrset"
)

// manualAbout is what people are told.
var manualAbout = About{
	Title: "Zones that somebody else changes by hand",
	Settings: `  servers      required; all authoritative name servers of the zones, ["192.0.2.53:53", "198.51.100.53:53"]
  names        names beside the apex that are looked at for the inventory (default: none)
  contact      who makes the changes, as messages shall name them (default "the owner of the zone")
  within       how long they are given; it is told, and changes nothing else (default: not told)
  timeout      for one question and its answer (default 5s)
  The servers are asked over TCP, and must answer this machine. No credential is needed.`,
	Example: `servers: ["192.0.2.53:53", "198.51.100.53:53"]
names: [lists.example.org]
contact: hostmaster@customer.example
within: 3d
`,
	Quirks: []string{
		"Nothing is written. The change is printed for the one who makes it, and waited for until every server has it; a rollback is asked for and waited for likewise. Holding and rolling back work meanwhile.",
		"Members may come and go one at a time: as long as each is of the old RRset or of the new one, and one is there, it is waited on. Anything else is somebody else's change.",
		"Another TTL than the one that was asked for is taken where the members are as asked; a rollback waits for the exact one.",
		"A zone cannot be listed: the inventory has the apex, a wildcard below it, and the names of the settings.",
	},
	Proven: "name servers in memory, with a person in memory who does what is asked.",
	Docs:   "https://www.rfc-editor.org/rfc/rfc1034#section-4.3.5",
}

// manualSettings is the section of the configuration.
type manualSettings struct {
	Servers []string      `yaml:"servers,required,nonempty" json:"servers"`
	Names   []string      `yaml:"names" is:"name" json:"names"`
	Contact string        `yaml:"contact" json:"contact"`
	Within  time.Duration `yaml:"within" json:"within"`
	Timeout time.Duration `yaml:"timeout" json:"timeout"`
}

// A manual reads zones from all their name servers, and asks a person to change
// them.
type manual struct {
	manualSettings
	servers []*rfc2136 // without a key
}

func openManual(decode func(into any) error) (Provider, error) {
	s := manualSettings{Contact: "the owner of the zone", Timeout: 5 * time.Second}
	if err := decode(&s); err != nil {
		return nil, err
	}
	switch {
	case len(s.Servers) == 0:
		return nil, errors.New("servers: all authoritative name servers of the zones were expected")
	case s.Timeout <= 0 || s.Timeout > time.Hour:
		return nil, fmt.Errorf("timeout %v: more than 0 and at most 1h was expected", s.Timeout)
	case s.Within < 0:
		return nil, fmt.Errorf("within %v: 0 or more was expected", s.Within)
	}
	m := &manual{manualSettings: s}
	for _, server := range s.Servers {
		host, port, err := net.SplitHostPort(server)
		if err != nil || host == "" || port == "" {
			return nil, fmt.Errorf(`servers: %.80q: an address and a port were expected, as in "192.0.2.53:53"`, server)
		}
		m.servers = append(m.servers, &rfc2136{server: server, timeout: s.Timeout, conns: newConns(server, nil, s.Timeout), now: time.Now})
	}
	return m, nil
}

// Read asks every server for an RRset. That they do not agree, or that one cannot
// be asked, is transient: a change takes its time to come to all.
func (m *manual) Read(ctx context.Context, zone, name, typ string) (rrset.Set, error) {
	w, err := newWanted(zone, name, typ)
	if err != nil {
		return rrset.Set{}, err
	}
	sets, errs := make([]rrset.Set, len(m.servers)), make([]error, len(m.servers))
	var g errgroup.Group
	for i, server := range m.servers {
		g.Go(func() error {
			sets[i], errs[i] = server.readOnce(ctx, w)
			return nil
		})
	}
	_ = g.Wait() // each has its own error
	if err := errors.Join(errs...); err != nil {
		if len(m.servers) > 1 && slices.Contains(errs, nil) {
			return rrset.Set{}, &transient{fmt.Errorf("the servers do not agree on %s %s: %w", w.name, typ, err)}
		}
		return rrset.Set{}, err
	}
	for i, s := range sets {
		if !s.Equal(sets[0]) {
			return rrset.Set{}, &transient{fmt.Errorf("the servers do not agree: at %s %s has %s, %s has %s", rrset.Bare(w.name), m.Servers[0], sets[0].InLineTTL(), m.Servers[i], s.InLineTTL())}
		}
	}
	return sets[0], nil
}

func (r *rfc2136) readOnce(ctx context.Context, w wanted) (rrset.Set, error) {
	s, err := r.session(ctx, w.zone)
	if err != nil {
		return rrset.Set{}, err
	}
	defer s.end()
	return s.read(ctx, w)
}

// surveyed are the types that the inventory wants to know.
var surveyed = []string{"SOA", "NS", "MX", "A", "AAAA", "TXT"}

// Zone looks at the apex, at a wildcard below it, and at the names of the settings
// that lie in the zone.
func (m *manual) Zone(ctx context.Context, zone string) ([]rrset.Set, error) {
	w, err := newWanted(zone, zone, "SOA")
	if err != nil {
		return nil, err
	}
	soa, err := m.servers[0].readOnce(ctx, w)
	switch {
	case err != nil:
		return nil, err
	case soa.Absent():
		return nil, fmt.Errorf("%w: %s at %s", ErrNoZone, rrset.Bare(w.zone), m.Servers[0])
	}
	names := []string{w.zone, "*." + strings.TrimPrefix(w.zone, ".")}
	for _, n := range m.Names {
		c, err := rrset.CanonicalName(n)
		if err != nil {
			return nil, fmt.Errorf("names: %w", err)
		}
		if rrset.Below(c, w.zone) && !slices.Contains(names, c) {
			names = append(names, c)
		}
	}
	var out []rrset.Set
	for _, n := range names {
		sets, err := m.at(ctx, w.zone, n)
		if err != nil {
			return nil, err
		}
		out = append(out, sets...)
	}
	slices.SortFunc(out, bySetName)
	return out, nil
}

// at are the RRsets of one name, or its CNAME.
func (m *manual) at(ctx context.Context, zone, name string) (out []rrset.Set, err error) {
	for _, typ := range surveyed {
		if (typ == "SOA" || typ == "NS") && name != zone {
			continue
		}
		w, err := newWanted(zone, name, typ)
		if err != nil {
			return nil, err
		}
		s, err := m.servers[0].readOnce(ctx, w)
		if errors.Is(err, ErrCNAME) {
			w, err = newWanted(zone, name, "CNAME")
			if err != nil {
				return nil, err
			}
			s, err = m.servers[0].readOnce(ctx, w)
			return []rrset.Set{s}, err
		}
		if err != nil {
			return nil, err
		}
		if !s.Absent() {
			out = append(out, s)
		}
	}
	return out, nil
}

// GetRecords is the same, for libdns.
func (m *manual) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	return libdnsOf(ctx, m, zone)
}

// Ask gives the words for the one who makes a change; see [Asker].
func (m *manual) Ask(_ context.Context, c rrset.Change) error {
	if _, err := recordsOf(c.After); err != nil {
		return err
	}
	return &AskedError{Change: c, Contact: m.Contact, Within: m.Within}
}

// Fence is 0: nothing of ours is under way.
func (m *manual) Fence() time.Duration { return 0 }

// Close closes the connections that are not in use.
func (m *manual) Close() error {
	var err error
	for _, s := range m.servers {
		err = errors.Join(err, s.Close())
	}
	return err
}

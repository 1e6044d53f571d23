// Package rrset holds the one canonical form of a DNS RRset, a Change of one,
// and how two of them compare. Everything that reads or writes DNS in
// mxcutover meets in this form: inventory builds it, the plan stores it, the
// journal snapshots it, providers write it, checks compare it.
//
// It does no I/O and knows no DNS library: names and data are text in
// presentation format (RFC 1035 section 5.1), made canonical once, by [New].
package rrset

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxTTL is the largest TTL of RFC 2181 section 8, in seconds.
const MaxTTL = 1<<31 - 1

// A Set is all records of one name and type. It is canonical: the name is in
// lower case and ends in a dot, the type in upper case, the data sorted and
// without duplicates. Sets share Data, so it is never changed in place. No Data means that the RRset does not exist; its TTL is
// then 0.
type Set struct {
	Name string   `json:"name"`
	Type string   `json:"type"`
	TTL  uint32   `json:"ttl"` // seconds
	Data []string `json:"data,omitempty"`
}

// New makes a canonical Set, or says what is wrong with its parts. The data of
// types that hold domain names (MX, NS, CNAME, PTR) is parsed; that of others
// is kept as it is, but for outer white space.
func New(name, typ string, ttl uint32, data ...string) (Set, error) {
	n, err := CanonicalName(name)
	if err != nil {
		return Set{}, err
	}
	s := Set{Name: n, Type: strings.ToUpper(typ)}
	if s.Type == "" {
		return Set{}, fmt.Errorf("%s: no record type", n)
	}
	if ttl > MaxTTL {
		return Set{}, fmt.Errorf("%s %s: TTL %d is above %d (RFC 2181 section 8)", n, s.Type, ttl, MaxTTL)
	}
	for _, d := range data {
		c, err := canonicalData(s.Type, d)
		if err != nil {
			return Set{}, fmt.Errorf("%s %s: %w", n, s.Type, err)
		}
		s.Data = append(s.Data, c)
	}
	slices.SortFunc(s.Data, compareData(s.Type))
	s.Data = slices.Compact(s.Data)
	if len(s.Data) > 0 {
		s.TTL = ttl
	}
	return s, nil
}

// Absent tells whether the RRset does not exist.
func (s Set) Absent() bool { return len(s.Data) == 0 }

// Equal compares name, type, data and TTL.
func (s Set) Equal(o Set) bool { return s.SameData(o) && s.TTL == o.TTL }

// SameData compares name, type and data; the TTL may differ.
func (s Set) SameData(o Set) bool {
	return s.Name == o.Name && s.Type == o.Type && slices.Equal(s.Data, o.Data)
}

// WithTTL is the same RRset with another TTL. An absent one stays absent.
func (s Set) WithTTL(ttl uint32) Set {
	s.Data = slices.Clone(s.Data)
	if !s.Absent() {
		s.TTL = ttl
	}
	return s
}

// Hash is the SHA-256 of the canonical text, in hexadecimal.
func (s Set) Hash() string {
	h := sha256.Sum256([]byte(s.String()))
	return hex.EncodeToString(h[:])
}

// String is the RRset as lines of a master file, each ended by a newline, or
// one comment line for an absent one.
func (s Set) String() string {
	if s.Absent() {
		return "; no " + s.Type + " at " + s.Name + "\n"
	}
	var b strings.Builder
	for _, d := range s.Data {
		b.WriteString(s.Name + "\t" + strconv.FormatUint(uint64(s.TTL), 10) + "\tIN\t" + s.Type + "\t" + d + "\n")
	}
	return b.String()
}

// InLine is the data in one line, as in "10 gw1.example., 20 gw2.example.".
func (s Set) InLine() string {
	if s.Absent() {
		return "no " + s.Type
	}
	return strings.Join(s.Data, ", ")
}

// InLineTTL is InLine with the TTL, as in "10 gw1.example. (TTL 300)", for errors and
// findings: what is long is cut off.
func (s Set) InLineTTL() string {
	if s.Absent() {
		return s.InLine()
	}
	return fmt.Sprintf("%.400s (TTL %d)", s.InLine(), s.TTL)
}

// A Change is one RRset's Before and After, in the zone that holds it.
type Change struct {
	Zone   string `json:"zone"`
	Before Set    `json:"before"`
	After  Set    `json:"after"`
}

// SameRRset tells whether two Changes are of one RRset.
func (c Change) SameRRset(o Change) bool {
	return c.After.Name == o.After.Name && c.After.Type == o.After.Type
}

// Inverse is the Change that undoes c.
func (c Change) Inverse() Change {
	return Change{Zone: c.Zone, Before: c.After, After: c.Before}
}

// Check says what makes a Change impossible to carry out: two names or types,
// or a name outside the zone.
func (c Change) Check() error {
	switch {
	case c.Before.Name != c.After.Name || c.Before.Type != c.After.Type:
		return fmt.Errorf("change of %s %s to %s %s: not one RRset", c.Before.Name, c.Before.Type, c.After.Name, c.After.Type)
	case !Below(c.After.Name, c.Zone):
		return fmt.Errorf("change of %s %s: the name is not in zone %s", c.After.Name, c.After.Type, c.Zone)
	}
	return nil
}

func canonicalData(typ, data string) (string, error) {
	data = strings.TrimSpace(data)
	if data == "" {
		return "", fmt.Errorf("empty data")
	}
	switch typ {
	case "MX":
		m, err := ParseMX(data)
		if err != nil {
			return "", err
		}
		return m.String(), nil
	case "NS", "CNAME", "PTR":
		return CanonicalName(data)
	case "AAAA":
		return strings.ToLower(data), nil
	case "SSHFP":
		return digest(data, 2), nil
	case "TLSA", "SMIMEA", "DS", "CDS":
		return digest(data, 3), nil
	}
	return data, nil
}

// digest spells some numbers and a text in hexadecimal, which may be in upper
// case and in pieces (RFC 6698 section 2.2), as it is read from a message. What
// is something else stays as it is.
func digest(data string, numbers int) string {
	f := strings.Fields(data)
	if len(f) <= numbers {
		return data
	}
	text := strings.ToLower(strings.Join(f[numbers:], ""))
	if _, err := hex.DecodeString(text); err != nil || f[0] == `\#` {
		return data
	}
	return strings.Join(append(f[:numbers:numbers], text), " ")
}

// compareData orders MX by preference, then host; all else as text.
func compareData(typ string) func(a, b string) int {
	if typ != "MX" {
		return strings.Compare
	}
	return func(a, b string) int {
		x, _ := ParseMX(a)
		y, _ := ParseMX(b)
		return x.Compare(y)
	}
}

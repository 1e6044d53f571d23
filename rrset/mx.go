package rrset

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// An MX is the data of one MX record (RFC 1035 section 3.3.9). The host "."
// with preference 0, alone in its RRset, is the null MX of RFC 7505.
type MX struct {
	Preference uint16 `json:"preference"`
	Host       string `json:"host"` // canonical
}

// ParseMX reads "10 mx.example.org.".
func ParseMX(data string) (MX, error) {
	f := strings.Fields(data)
	if len(f) != 2 {
		return MX{}, fmt.Errorf("MX data %.80q: expected a preference and a host", data)
	}
	p, err := strconv.ParseUint(f[0], 10, 16)
	if err != nil {
		return MX{}, fmt.Errorf("MX data %.80q: preference is no number from 0 to 65535", data)
	}
	h, err := CanonicalName(f[1])
	if err != nil {
		return MX{}, fmt.Errorf("MX data %.80q: %w", data, err)
	}
	return MX{Preference: uint16(p), Host: h}, nil
}

// String is the record's data in presentation format.
func (m MX) String() string { return strconv.Itoa(int(m.Preference)) + " " + m.Host }

// Compare orders by preference, then by host.
func (m MX) Compare(o MX) int {
	return cmp.Or(cmp.Compare(m.Preference, o.Preference), strings.Compare(m.Host, o.Host))
}

// Null tells whether this is the null MX, "0 .".
func (m MX) Null() bool { return m.Host == "." }

// MXSet makes the canonical MX RRset of a name.
func MXSet(name string, ttl uint32, members ...MX) (Set, error) {
	data := make([]string, len(members))
	for i, m := range members {
		data[i] = m.String()
	}
	return New(name, "MX", ttl, data...)
}

// MX lists the members of an MX RRset, by preference; nothing for another type.
func (s Set) MX() []MX {
	if s.Type != "MX" {
		return nil
	}
	out := make([]MX, 0, len(s.Data))
	for _, d := range s.Data {
		if m, err := ParseMX(d); err == nil {
			out = append(out, m)
		}
	}
	return out
}

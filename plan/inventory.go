package plan

import (
	"net/netip"

	"mxcutover/rrset"
)

// A PointsTo says where a domain's mail is delivered, judged by addresses.
type PointsTo string

// Where mail may lead.
const (
	ToOld      PointsTo = "old"      // only to the old server
	ToNew      PointsTo = "new"      // only to the planned gateway
	ToBoth     PointsTo = "both"     // to the gateway and the old server
	ToOther    PointsTo = "other"    // to neither
	ToImplicit PointsTo = "implicit" // no MX, but an address of the old server (RFC 5321 section 5.1)
	ToNull     PointsTo = "null"     // accepts no mail (RFC 7505)
)

// An Inventory is every name that receives mail today and where it leads.
type Inventory struct {
	Domains []Domain `json:"domains"`
}

// A Domain is a name that receives mail.
type Domain struct {
	Name     string    `json:"domain"` // canonical
	Zone     string    `json:"zone"`
	Provider string    `json:"provider"`
	MX       rrset.Set `json:"-"` // absent for an implicit MX
	PointsTo PointsTo  `json:"points_to"`
	Third    []string  `json:"third,omitempty"` // MX hosts of a third party beside the old server's
	Why      string    `json:"why"`             // by which host and address it was judged
	Traffic
	Signed  bool   `json:"signed,omitempty"`   // its zone has keys of DNSSEC
	SubZone bool   `json:"sub_zone,omitempty"` // its zone is delegated from another of ours
	Blocked string `json:"blocked,omitempty"`  // why nothing may be written at this name
}

// A Zone is one DNS zone as its provider shows it: every RRset.
type Zone struct {
	Name     string
	Provider string
	Sets     []rrset.Set
}

// Addresses tells the addresses of hosts, by canonical name, as resolved when
// the inventory was made. A host that is missing could not be resolved.
type Addresses map[string][]netip.Addr

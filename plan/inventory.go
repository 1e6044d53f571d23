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
	ToUnknown  PointsTo = "unknown"  // it could not be asked
)

// Old tells whether some of the mail is delivered to the old server.
func (p PointsTo) Old() bool { return p == ToOld || p == ToImplicit || p == ToBoth }

// An Inventory is every name that receives mail today and where it leads.
type Inventory struct {
	Domains   []Domain    `json:"domains"`
	Delegated []Delegated `json:"delegated,omitempty"` // sub-zones that were not read

	// Of several views alone; see [Beside].
	Views       []string    `json:"-"` // that in which domains move first
	Disparities []Disparity `json:"-"`
}

// A Delegated name begins a sub-zone of a zone of ours that was not read: nothing
// is known of the names in it.
type Delegated struct {
	Name string `json:"name"`
	Zone string `json:"zone"`           // that delegates it
	View string `json:"view,omitempty"` // that does, if it is not the one in which domains move
}

// A Source is how a name came into the inventory.
type Source string

// The sources.
const (
	FromZone Source = ""     // it stands in a zone that was read
	FromList Source = "list" // it was named, and asked for by DNS alone
	FromMail Source = "mail" // it was seen to receive mail, and asked for by DNS
)

// A Named is a name that was asked for by DNS alone.
type Named struct {
	Name      string // canonical
	Source    Source
	MX        rrset.Set    // absent: it has none
	Addresses []netip.Addr // of a name without MX
	Alias     string       // the canonical name, if it is an alias
	Failed    string       // why it could not be asked; "" = it was
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
	Alias   string `json:"alias,omitempty"` // canonical name, if it is a CNAME
	Source  Source `json:"source,omitempty"`
	Signed  bool   `json:"signed,omitempty"`   // its zone has keys of DNSSEC
	SubZone bool   `json:"sub_zone,omitempty"` // its zone is delegated from another of ours
	Blocked string `json:"blocked,omitempty"`  // why nothing may be written at this name

	View      string      `json:"view,omitempty"` // that alone has it, if it is not the one in which domains move
	Elsewhere []Elsewhere `json:"-"`              // where it leads in other views that have its name
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

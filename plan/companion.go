package plan

import "mxcutover/rrset"

// A Companion is a Change of another RRset that a cutover needs, so that nobody
// refuses mail on its new way: the id of a MTA-STS policy (RFC 8461), an SPF
// record that no longer depends on the MX (RFC 7208), TLSA records of the
// gateway (RFC 7672). Package verify finds them, a plan carries them.
type Companion struct {
	Change   rrset.Change `json:"change"`
	Provider string       `json:"provider"`
	Late     bool         `json:"late,omitempty"` // after the domain has settled; else before its MX is published
	Wait     Duration     `json:"wait"`           // from the last name server's serving it until the next step may build on it
	Why      string       `json:"why"`            // for people, with the RFC
}

package verify

import (
	"context"

	"mxcutover/plan"
)

// A Check is one question. Its page is docs/checks/<ID>.md.
type Check struct {
	ID, Title, RFC string
	When           []When
	Run            func(context.Context, *Checker, When, plan.Cutover) ([]plan.Finding, error)
}

// Checks are all checks, in the order in which they run. old.closed runs at no
// time of a domain; see [Checker.OldClosed].
func Checks() []Check {
	always := []When{Before, During, After}
	return []Check{
		{"mx.target", "every MX host has an address, is no alias, and is not the old server", "RFC 5321 section 5.1", always, mxTarget},
		{"ns.sync", "every authoritative server answers with the same RRset", "RFC 1034 section 4.3.5", always, nsSync},
		{"ns.ttl", "the TTLs that are served", "RFC 2181 section 5.2", []When{Before, During}, nsTTL},
		{"cache.resolver", "what each resolver answers, and when it must ask again", "RFC 1035 section 7.4", always, cacheResolver},
		{"gw.connect", "each planned MX host answers at each address", "RFC 5321 section 3.1", []When{Before, After}, gwConnect},
		{"gw.recipient", "the gateway accepts a valid recipient", "RFC 5321 section 3.3", always, gwRecipient},
		{"gw.unknown", "the gateway refuses an unknown recipient at RCPT", "RFC 5321 section 3.3", always, gwUnknown},
		{"probe.arrival", "a message arrives through the gateway at the old server", "RFC 5321 section 4.4", always, probeArrival},
		{"old.closed", "the old server refuses connections from outside", "", nil, nil},
	}
}

package plan

import (
	"fmt"
	"time"
)

// A Severity is how bad a finding is.
type Severity string

// The severities. Unknown is neither passed nor failed: it could not be asked.
const (
	Pass    Severity = "pass"
	Warn    Severity = "warn"
	Fail    Severity = "fail"
	Unknown Severity = "unknown"
)

// A Finding is the answer to one check or probe.
type Finding struct {
	Check    string    `json:"check"`  // "mx.target"; each has a page in docs/checks
	Target   string    `json:"target"` // the domain, host or server asked about
	Severity Severity  `json:"severity"`
	Detail   string    `json:"detail"`             // foreign text in it is made harmless by package report
	Evidence string    `json:"evidence,omitempty"` // what was seen, as it was seen, shortened
	RFC      string    `json:"rfc,omitempty"`      // "RFC 5321 section 5.1"
	Vantage  string    `json:"vantage,omitempty"`  // from where; "" is here
	At       time.Time `json:"at"`
}

// HandCheck is the check of a change that a person was asked to make: unknown
// until it is seen at every name server. Its evidence is the letter to them.
const HandCheck = "hand.change"

// HandFirewall is the check of a firewall that a person was asked to load or to open.
// Its target is the name of the table, its evidence the table; unknown until it is
// seen from outside. BeforeClosing is how things looked from outside before a person
// was asked: it is needed for as long as isolation lasts.
const (
	HandFirewall  = "hand.firewall"
	BeforeClosing = "old.before"
)

// Judge is the verdict of findings together: failed before inconclusive, then a
// warning. Nothing found is unknown, never passed.
func Judge(findings []Finding) Severity {
	if len(findings) == 0 {
		return Unknown
	}
	worst := 0
	for _, f := range findings {
		worst = max(worst, rank(f.Severity))
	}
	return [...]Severity{Pass, Warn, Unknown, Fail}[worst]
}

// rank puts an unknown word with the unknown, never with the passed.
func rank(s Severity) int {
	switch s {
	case Pass:
		return 0
	case Warn:
		return 1
	case Fail:
		return 3
	}
	return 2
}

// A Duration is written as Go writes it, "30m0s", in plans and journals.
type Duration time.Duration

// String is the duration as Go writes it.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes the duration as Go does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a duration as Go does.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("duration %.40q: expected a number with a unit, as in 90s, 30m, 24h", b)
	}
	*d = Duration(v)
	return nil
}

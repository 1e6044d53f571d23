package verify_test

import (
	"testing"

	"mxcutover/plan"
	"mxcutover/verify"
)

// matrixArrival are the rows of messages and what came of them.
func matrixArrival() []row {
	return []row{
		{check: "probe.arrival", breaks: "the password is wrong", when: verify.Before, good: in(nil), want: plan.Unknown, says: "mailbox could not be asked", broken: in(func(_ *testing.T, _ *bench, s *verify.Settings, _ *plan.Cutover) {
			s.IMAP.Password = func() (string, error) { return "wrong", nil }
		})},
	}
}

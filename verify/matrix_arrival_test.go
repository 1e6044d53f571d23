package verify_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"mxcutover/lab"
	"mxcutover/plan"
	"mxcutover/verify"
)

// matrixArrival are the rows of messages and what came of them.
func matrixArrival() []row {
	type spoil = func(*testing.T, *bench, *verify.Settings, *plan.Cutover)
	watched := func(more spoil) func(*testing.T) (*verify.Checker, plan.Cutover) {
		return in(func(t *testing.T, b *bench, s *verify.Settings, c *plan.Cutover) {
			s.Bounces, s.StrictSender = s.IMAP, b.facts.ProbeFrom
			if more != nil {
				more(t, b, s, c)
			}
		})
	}
	old := func(change func(*lab.OldServer)) spoil {
		return func(_ *testing.T, b *bench, _ *verify.Settings, _ *plan.Cutover) { change(b.world.Old) }
	}
	filter := func(f lab.Filter) spoil {
		return func(_ *testing.T, b *bench, _ *verify.Settings, _ *plan.Cutover) { b.world.Gateway.SetFilter(f) }
	}
	return []row{
		{check: "probe.arrival", breaks: "the password is wrong", when: verify.Before, good: in(nil), want: plan.Unknown, says: "mailbox could not be asked", broken: in(func(_ *testing.T, _ *bench, s *verify.Settings, _ *plan.Cutover) {
			s.IMAP.Password = func() (string, error) { return "wrong", nil }
		})},
		{
			check: "probe.arrival", breaks: "the old server refuses what the gateway took", when: verify.Before, good: watched(nil), says: "says a bounce: 5.7.23",
			broken: watched(old(func(o *lab.OldServer) { o.SetDoubts(true) })),
		},
		{
			check: "probe.arrival", breaks: "the old server is busy", when: verify.Before, good: watched(nil), says: "not in the mailbox after",
			broken: watched(old(func(o *lab.OldServer) { o.SetBusy(true) })),
		},
		{
			check: "probe.arrival", breaks: "the Maildir is another's", when: verify.Before, want: plan.Unknown, says: "Maildir",
			good: in(nil), broken: in(func(t *testing.T, _ *bench, s *verify.Settings, _ *plan.Cutover) {
				s.IMAP, s.Maildir, s.Arrival = verify.IMAP{}, filepath.Join(t.TempDir(), "nowhere"), time.Second
			}),
		},
		{
			check: "probe.arrival", breaks: "the log is not written to", when: verify.Before, want: plan.Unknown, says: "nothing was written to it",
			good: in(nil), broken: in(func(t *testing.T, _ *bench, s *verify.Settings, _ *plan.Cutover) {
				s.IMAP, s.OldLog, s.Arrival = verify.IMAP{}, filepath.Join(t.TempDir(), "log"), time.Second
				if err := os.WriteFile(s.OldLog, []byte("yesterday's\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}),
		},
		{check: "gw.spam", breaks: "nothing is marked", when: verify.Before, good: in(nil), broken: watched(filter(lab.Blind)), want: plan.Warn, says: "does not mark"},
		{check: "gw.spam", breaks: "everything is marked", when: verify.After, good: in(nil), broken: watched(filter(lab.Mad)), says: "no spam for spam: X-Spam-Flag: YES"},
		{check: "gw.spam", breaks: "another mark", when: verify.Before, good: in(nil), want: plan.Warn, says: "looked for X-Other: 1", broken: in(func(_ *testing.T, _ *bench, s *verify.Settings, _ *plan.Cutover) {
			s.SpamMarks = []string{"X-Other: 1"}
		})},
		{check: "gw.spam", breaks: "asked from inside", when: verify.Before, good: in(nil), want: plan.Unknown, says: "inside", broken: in(func(_ *testing.T, b *bench, s *verify.Settings, _ *plan.Cutover) {
			b.world.Gateway.SetFilter(lab.Blind)
			s.Vantages[0].Inside = true
		})},
		{check: "old.trusts_gateway", breaks: "it asks the gateway for the senders' SPF", when: verify.Before, good: watched(nil), says: "does not name the gateway: accepted by", broken: watched(old(func(o *lab.OldServer) { o.SetDoubts(true) }))},
		{check: "old.trusts_gateway", breaks: "it throttles the gateway", when: verify.Before, good: watched(nil), says: "messages at once", broken: watched(func(_ *testing.T, b *bench, s *verify.Settings, _ *plan.Cutover) {
			b.world.Old.SetLimit(8) // the checks before, and no burst
			s.Arrival = 2 * time.Second
		})},
		{check: "old.trusts_gateway", breaks: "the sender is not strict", when: verify.Before, good: watched(nil), want: plan.Unknown, says: "does not end in -all", broken: watched(func(_ *testing.T, _ *bench, s *verify.Settings, _ *plan.Cutover) {
			s.StrictSender = "a@choir.test"
		})},
	}
}

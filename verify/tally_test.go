package verify

import (
	"testing"

	"mxcutover/traffic"
)

// No probe of ours is real mail, whoever it says to be from.
func TestProbesAreNoRealMail(t *testing.T) {
	t.Parallel()
	c := &Checker{Settings: Settings{From: "mxprobe@probe.example", StrictSender: "mxprobe@strict.example"}}
	tally := c.tally(nil)
	for sender, ours := range map[string]bool{"mxprobe@probe.example": true, "MXprobe@strict.example": true, "a@sender.example": false, "": false} {
		if tally.Skip(&traffic.Record{Sender: []byte(sender)}) != ours {
			t.Errorf("%q: ours: %v", sender, !ours)
		}
	}
}

package verify

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// A turn that was booked counts once: the run that waited for it asks at once, and one
// that was not used is kept for the next try.
func TestTurnsAreGivenInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		addrs := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
		c := &Checker{Settings: Settings{RandomPerHour: 2, Arrival: time.Minute, Now: time.Now}}
		begun := time.Now()
		book := func(domain string) time.Duration {
			return c.random.book(domain, addrs, c.RandomPerHour, time.Now()).Sub(begun)
		}
		for i, domain := range []string{"a", "b", "c", "d", "e"} {
			if at, want := book(domain), time.Duration(i/2)*time.Hour; at != want {
				t.Errorf("the turn of %s is after %s, want %s", domain, at, want)
			}
		}
		if at := book("c"); at != time.Hour {
			t.Errorf("who asks again has another turn, after %s", at)
		}
		if err := c.draw(t.Context(), addrs[0], "c"); err == nil {
			t.Error("c asks before its turn")
		}
		for _, domain := range []string{"b", "a"} { // not in order, and at both addresses
			for _, a := range addrs {
				if err := c.draw(t.Context(), a, domain); err != nil {
					t.Error(err)
				}
			}
		}
		if err := c.draw(t.Context(), addrs[0], "a"); err == nil {
			t.Error("one turn is good for two addresses made up by chance")
		}
		time.Sleep(time.Hour)
		if err := c.draw(t.Context(), addrs[1], "c"); err != nil || time.Since(begun) != time.Hour {
			t.Errorf("c has its turn: %v after %s", err, time.Since(begun))
		}
		time.Sleep(90 * time.Minute)
		if at := book("d"); at < 150*time.Minute {
			t.Errorf("a turn that was let pass is kept for ever: %s", at)
		}
	})
}

func TestEstimate(t *testing.T) {
	t.Parallel()
	c := &Checker{Settings: Settings{RandomPerHour: 1000, Planned: []rrset.MX{{Host: "gw1.gw.test."}, {Preference: 10, Host: "gw1.gw.test."}}}}
	for n, want := range map[int]time.Duration{0: 0, 1: 0, 1000: 0, 1001: time.Hour, 10000: 9 * time.Hour} {
		if got, most := c.Estimate(make([]plan.Cutover, n)); got != want || most != n {
			t.Errorf("%d domains: %s, %d; want %s", n, got, most, want)
		}
	}
}

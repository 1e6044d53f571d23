package main

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
)

// Only what has come since the last look is shown, also when the counters began anew.
func TestSightings(t *testing.T) {
	t.Parallel()
	at := netip.MustParseAddrPort
	var out bytes.Buffer
	s := &streams{out: &out}
	before := map[netip.AddrPort]uint64{at("192.0.2.1:25"): 5, at("192.0.2.2:25"): 5, at("192.0.2.3:25"): 9}
	if err := s.sightings(before, map[netip.AddrPort]uint64{
		at("192.0.2.1:25"): 5, at("192.0.2.2:25"): 7, at("192.0.2.3:25"): 1, at("[2001:db8::1]:465"): 3,
	}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		f := strings.Fields(l)
		got = append(got, strings.Join(f[1:], " "))
	}
	want := "2001:db8::1 -> 465 3 of 3|192.0.2.2 -> 25 2 of 7|192.0.2.3 -> 25 1 of 1"
	if strings.Join(got, "|") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "|"), want)
	}
}

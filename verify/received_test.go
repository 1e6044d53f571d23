package verify

import (
	"net/netip"
	"testing"
)

func TestParseReceived(t *testing.T) {
	t.Parallel()
	hops := parseReceived("Return-Path: <a@b>\r\n" +
		"Received: from gw1.example (gw1.example [192.0.2.20])\r\n\tby mail.old.example (Postfix) with ESMTP id 4ABC\r\n\tfor <x@y>; Mon, 23 Nov 2026 20:00:00 +0000\r\n" +
		"Received: from [127.0.0.1] (helo=[10.0.0.9] [2001:db8::7]) by GW1.example with esmtp (Exim 4.96)\r\n (envelope-from <p@q>) id 1abc; Mon\r\n" +
		"Received: (qmail 99 invoked by uid 5); 1 Jan\r\n" +
		"Subject: Received: from x ([192.0.2.99]) by gw1.example\r\n\r\nReceived: from body ([192.0.2.66]) by gw1.example\r\n")
	want := []hop{
		{netip.MustParseAddr("192.0.2.20"), "mail.old.example"},
		{netip.MustParseAddr("2001:db8::7"), "gw1.example"},
		{netip.Addr{}, "uid"},
	}
	if len(hops) != len(want) {
		t.Fatalf("%d hops, want %d: %v", len(hops), len(want), hops)
	}
	for i := range want {
		if hops[i] != want[i] {
			t.Errorf("hop %d is %v, want %v", i, hops[i], want[i])
		}
	}
}

func TestChain(t *testing.T) {
	t.Parallel()
	c := &Checker{}
	gw := netip.MustParseAddr("192.0.2.20")
	planned := []endpoint{{"gw1.example.", gw}}
	outside := netip.MustParseAddr("198.51.100.1")
	for name, w := range map[string]struct {
		hops []hop
		ok   bool
	}{
		"through the gateway":             {[]hop{{gw, "mail.old.example"}, {outside, "gw1.example"}}, true},
		"by another name of the gateway":  {[]hop{{gw, "mail.old.example"}, {outside, "mx.internal"}}, true},
		"straight to the old server":      {[]hop{{outside, "mail.old.example"}}, false},
		"a forged line of the gateway":    {[]hop{{outside, "mail.old.example"}, {outside, "gw1.example"}}, false},
		"the gateway only":                {[]hop{{outside, "gw1.example"}}, false},
		"no line at all":                  {nil, false},
		"behind address translation":      {[]hop{{netip.MustParseAddr("10.0.0.1"), "mail.old.example"}, {outside, "gw1.example"}}, false},
		"filter behind the gateway's own": {[]hop{{gw, "mail.old.example"}, {netip.MustParseAddr("127.0.0.1"), "gw1.example"}, {outside, "gw1.example"}}, true},
	} {
		if why := c.chain(w.hops, planned); (why == "") != w.ok {
			t.Errorf("%s: %q", name, why)
		}
	}
}

func FuzzParseReceived(f *testing.F) {
	f.Add("Received: from a ([192.0.2.1]) by b\r\n\tid 1\r\n\r\n")
	f.Add("received : by\n by\n")
	f.Fuzz(func(t *testing.T, header string) {
		if hops := parseReceived(header); len(hops) > maxHops {
			t.Errorf("%d hops", len(hops))
		}
	})
}

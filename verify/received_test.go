package verify

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"mxcutover/plan"
)

func TestParseReceived(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)
	for line, want := range map[string]hop{
		// As servers write them.
		"from gw1.example (gw1.example [192.0.2.20])\r\n\tby mail.old.example (Postfix) with ESMTP id 4ABC\r\n\tfor <x@y>; Mon, 23 Nov 2026 20:00:00 +0000 (UTC)":                      {netip.MustParseAddr("192.0.2.20"), "mail.old.example", at},
		"from [192.0.2.20] (helo=gw1.example)\r\n\tby mail.old.example with esmtps (TLS1.3) tls TLS_AES_256_GCM_SHA384\r\n\t(Exim 4.96)\r\n\tid 1abc; Mon, 23 Nov 2026 21:00:00 +0100": {netip.MustParseAddr("192.0.2.20"), "mail.old.example", at},
		"from gw1.example ([2001:db8::7] helo=gw1) by GW2.example with esmtp (Exim 4.96)\r\n (envelope-from <p@q>) id 1abc; Mon, 23 Nov 2026 15:00:00 -0500 (EST)":                     {netip.MustParseAddr("2001:db8::7"), "gw2.example", at},
		"from gw1.example (gw1.example [192.0.2.20] (may be forged)) by a.example (8.15.2/8.15.2) with ESMTP id x; Mon, 23 Nov 2026 20:00:00 GMT":                                      {netip.MustParseAddr("192.0.2.20"), "a.example", at},
		"from x ([IPv6:2001:db8::7]) by b.example (Postfix); 23 Nov 2026 20:00:00 +0000":                                                                                               {netip.MustParseAddr("2001:db8::7"), "b.example", at},
		"(qmail 99 invoked by uid 5); 23 Nov 2026 20:00:00 -0000":                                                                                                                      {at: at},
		// A name that the peer gave for itself is no address of it.
		"from [192.0.2.20] (helo=[10.0.0.9]) by a.example; Mon, 23 Nov 2026 20:00:00 +0000":             {netip.MustParseAddr("192.0.2.20"), "a.example", at},
		"from [203.0.113.1] (unknown [192.0.2.20]) by a.example; Mon, 23 Nov 2026 20:00:00 +0000":       {netip.MustParseAddr("192.0.2.20"), "a.example", at},
		"from x (by gw1.example [192.0.2.20]) by a.example; Mon, 23 Nov 2026 20:00:00 +0000":            {netip.MustParseAddr("192.0.2.20"), "a.example", at},
		"from x ([192.0.2.20]) by a.example (by gw1.example ([192.0.2.9])); 23 Nov 2026 20:00:00 +0000": {netip.MustParseAddr("192.0.2.20"), "a.example", at},
		"from x (a \\) by b.example [192.0.2.20]) by a.example; 23 Nov 2026 20:00:00 +0000":             {netip.MustParseAddr("192.0.2.20"), "a.example", at},
		// What cannot be told is not told.
		"from x ([999.0.0.1]) by a.example; yesterday":                  {by: "a.example"},
		"from x ([192.0.2.20]) by":                                      {from: netip.MustParseAddr("192.0.2.20")},
		"from x ([192.0.2.20]) by a{b; Mon, 23 Nov 2026 20:00:00 +0000": {from: netip.MustParseAddr("192.0.2.20"), at: at},
		"by a gateway": {by: "a"},
		"":             {},
		"from x ([192.0.2.20] by a.example; Mon, 23 Nov 2026 20:00:00 +0000":                        {from: netip.MustParseAddr("192.0.2.20")},
		strings.Repeat("(", 100) + "[192.0.2.20] by a.example":                                      {from: netip.MustParseAddr("192.0.2.20")},
		"by a.example; Mon, 23 Nov 0001 20:00:00 +0000":                                             {by: "a.example"},
		"from x by a.example (; Mon, 23 Nov 2020 20:00:00 +0000) ; " + "23 Nov 2026 20:00:00 +0000": {by: "a.example", at: at},
	} {
		hops := parseReceived("Return-Path: <a@b>\r\nReceived: " + line + "\r\nSubject: Received: from x ([192.0.2.99]) by gw1.example\r\n\r\nReceived: from body ([192.0.2.66]) by gw1.example\r\n")
		if len(hops) != 1 || hops[0] != want {
			t.Errorf("%q\n  is %v, want %v", line, hops, want)
		}
	}
	if hops := parseReceived(strings.Repeat("Received: by a\r\n", 5000)); len(hops) != maxHops {
		t.Errorf("%d hops of five thousand", len(hops))
	}
}

func TestLegs(t *testing.T) {
	t.Parallel()
	gw, outside := netip.MustParseAddr("192.0.2.20"), netip.MustParseAddr("198.51.100.1")
	planned := []endpoint{{"gw1.example.", gw}}
	begun := time.Date(2026, 11, 23, 20, 0, 0, 400e6, time.UTC)
	sec := func(s int) time.Time { return begun.Truncate(time.Second).Add(time.Duration(s) * time.Second) }
	for what, w := range map[string]struct {
		old, gateway time.Time
		want         string
	}{
		"as it should be":         {sec(3), sec(0), "queued 2100ms, stored 7400ms"},
		"at once":                 {sec(0), sec(0), "queued 0ms, stored 9500ms"},
		"in its last second":      {sec(10), sec(0), "queued 9100ms, stored 400ms"},
		"old an hour ahead":       {sec(3603), sec(0), "old clock +3592600ms"},
		"old an hour behind":      {sec(-3597), sec(0), "old clock -3596400ms"},
		"gateway ahead":           {sec(3), sec(60), "queued 2100ms, stored 7400ms, gateway clock +59100ms"},
		"gateway behind":          {sec(3), sec(-60), "queued 2100ms, stored 7400ms, gateway clock -59400ms"},
		"both ahead":              {sec(603), sec(600), "gateway clock +599100ms, old clock +592600ms"},
		"no dates":                {want: ""},
		"within the first second": {sec(-1), sec(-1), "queued 0ms, stored 9500ms"},
	} {
		hops := []hop{{gw, "mail.old.example", w.old}, {outside, "gw1.example", w.gateway}}
		want := strings.TrimSuffix("accepted 500ms, arrived 10000ms, "+w.want, ", ")
		if got := legs(hops, planned, begun, 500*time.Millisecond, 10*time.Second).String(); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	if got := legs(nil, planned, begun, time.Second, 2*time.Second).String(); got != "accepted 1000ms, arrived 2000ms" {
		t.Errorf("without Received lines: %s", got)
	}
}

func TestChain(t *testing.T) {
	t.Parallel()
	c := &Checker{Settings: Settings{GatewaySends: []netip.Prefix{netip.MustParsePrefix("10.1.2.0/24")}}}
	gw := netip.MustParseAddr("192.0.2.20")
	planned := []endpoint{{"gw1.example.", gw}}
	outside := netip.MustParseAddr("198.51.100.1")
	for name, w := range map[string]struct {
		hops []hop
		ok   bool
	}{
		"through the gateway":             {[]hop{{from: gw, by: "mail.old.example"}, {from: outside, by: "gw1.example"}}, true},
		"by another name of the gateway":  {[]hop{{from: gw, by: "mail.old.example"}, {from: outside, by: "mx.internal"}}, true},
		"straight to the old server":      {[]hop{{from: outside, by: "mail.old.example"}}, false},
		"a forged line of the gateway":    {[]hop{{from: outside, by: "mail.old.example"}, {from: outside, by: "gw1.example"}}, false},
		"the gateway only":                {[]hop{{from: outside, by: "gw1.example"}}, false},
		"no line at all":                  {nil, false},
		"behind address translation":      {[]hop{{from: netip.MustParseAddr("10.0.0.1"), by: "mail.old.example"}, {from: outside, by: "gw1.example"}}, false},
		"filter behind the gateway's own": {[]hop{{from: gw, by: "mail.old.example"}, {from: netip.MustParseAddr("127.0.0.1"), by: "gw1.example"}, {from: outside, by: "gw1.example"}}, true},
		"from where the gateway sends":    {[]hop{{from: netip.MustParseAddr("10.1.2.3"), by: "mail.old.example"}, {from: outside, by: "gw1.example"}}, true},
		"the same, by another name":       {[]hop{{from: netip.MustParseAddr("10.1.2.3"), by: "mail.old.example"}, {from: outside, by: "mx.internal"}}, true},
	} {
		if why := c.chain(w.hops, planned); (why == "") != w.ok {
			t.Errorf("%s: %q", name, why)
		}
	}
}

func FuzzParseReceived(f *testing.F) {
	f.Add("Received: from a ([192.0.2.1]) by b\r\n\tid 1\r\n\r\n")
	f.Add("received : by\n by\n")
	f.Add("Received: from a (x [192.0.2.1]) by b (c (d)); Mon, 23 Nov 2026 20:00:00 +0000 (UTC)\nReceived: (a\\)) by c;;;")
	f.Fuzz(func(t *testing.T, header string) {
		hops := parseReceived(header)
		if len(hops) > maxHops {
			t.Errorf("%d hops", len(hops))
		}
		for _, h := range hops {
			if len(h.by) > 255 || strings.ContainsAny(h.by, "\r\n ;()[]<>") || h.from.Is4In6() {
				t.Errorf("%+v", h)
			}
		}
		l := legs(hops, []endpoint{{"gw.example.", netip.MustParseAddr("192.0.2.1")}}, time.Unix(1e9, 0), time.Second, time.Minute)
		if got, ok := plan.ParseLegs(l.String()); !ok || got.Queued < plan.Unmeasured || got.Stored < plan.Unmeasured {
			t.Errorf("%+v of %q", l, header)
		}
	})
}

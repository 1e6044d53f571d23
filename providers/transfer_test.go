package providers

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libdns/libdns"
	"github.com/miekg/dns"
)

func TestTransferIsBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, testZones(), nil)
	n := len(s.zones[siteZone])
	if _, err := Zone(t.Context(), s.bed().open(t, func(s *rfc2136Settings) { s.MaxRecords = n }), siteZone); err != nil {
		t.Errorf("%d records: %v", n, err)
	}
	_, err := Zone(t.Context(), s.bed().open(t, func(s *rfc2136Settings) { s.MaxRecords = n - 1 }), siteZone)
	if !errors.Is(err, errZoneSize) {
		t.Errorf("one record too many: %v", err)
	}
}

func TestTransferIsSignedThroughout(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(i int, m *dns.Msg, sign func(*dns.Msg)) bool{
		"third unsigned":  func(i int, _ *dns.Msg, _ func(*dns.Msg)) bool { return i != 2 },
		"second too late": func(i int, m *dns.Msg, sign func(*dns.Msg)) bool { sign(m); return i != 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, testZones(), func(s *server, w dns.ResponseWriter, req *dns.Msg) bool {
				if req.Question[0].Qtype != dns.TypeAXFR {
					return false
				}
				rrs := append(slices.Clone(s.zones[siteZone]), s.zones[siteZone][0])
				for part := range slices.Chunk(rrs, 9) {
					m := new(dns.Msg)
					m.SetReply(req)
					m.Authoritative, m.Answer = true, part
					i := slices.Index(rrs, part[0]) / 9
					if spoil(i, m, func(*dns.Msg) {}) {
						m.SetTsig(testKey, dns.HmacSHA256, 300, time.Now().Unix())
					} else if name == "second too late" {
						m.SetTsig(testKey, dns.HmacSHA256, 300, time.Now().Unix()-1000)
					}
					if w.WriteMsg(m) != nil {
						return true
					}
					w.TsigTimersOnly(true)
				}
				return true
			})
			if sets, err := Zone(t.Context(), s.bed().open(t), siteZone); err == nil {
				t.Errorf("%d RRsets were taken", len(sets))
			}
		})
	}
}

func TestFraming(t *testing.T) {
	t.Parallel()
	soa := func(serial int) string { return fmt.Sprintf("z. 60 IN SOA a. b. %d 1 1 1 1", serial) }
	for name, c := range map[string]struct {
		records []string
		says    string
	}{
		"whole":         {[]string{soa(1), "z. 60 IN MX 0 .", soa(1)}, ""},
		"no first SOA":  {[]string{"z. 60 IN MX 0 ."}, "does not begin"},
		"two serials":   {[]string{soa(1), soa(2)}, "ends with 2"},
		"after the end": {[]string{soa(1), soa(1), "z. 60 IN MX 0 ."}, "after the final"},
		"SOA below":     {[]string{soa(1), "a.z. 60 IN SOA a. b. 1 1 1 1 1"}, "below the apex"},
		"another zone":  {[]string{soa(1), "az. 60 IN MX 0 ."}, "not in the zone"},
		"another class": {[]string{soa(1), "z. 60 CH TXT x"}, "class CH"},
		"nothing":       {nil, "without records"},
	} {
		f := &framing{zone: "z.", maxRecords: 9, each: func(string, string, dns.RR) error { return nil }}
		var rrs []dns.RR
		for _, r := range c.records {
			rrs = append(rrs, must(dns.NewRR(r)))
		}
		err := f.add(rrs, 100)
		if ok := c.says == "" && err == nil && f.ended || c.says != "" && err != nil && strings.Contains(err.Error(), c.says); !ok {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

func TestGetRecords(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{"z.": "$TTL 60\n@ SOA a. b. 1 1 1 1 1\n@ MX 0 .\nx.notz A 127.0.0.1\nx TXT \"a \\\"b\" \"\\200c\"\n"}, nil)
	got, err := s.bed().open(t).GetRecords(t.Context(), "z.")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []libdns.Record{
		libdns.MX{Name: "@", TTL: time.Minute, Target: "."},
		libdns.Address{Name: "x.notz", TTL: time.Minute, IP: netip.MustParseAddr("127.0.0.1")},
		libdns.TXT{Name: "x", TTL: time.Minute, Text: "a \"b\xc8c"},
	} {
		if !slices.ContainsFunc(got, func(r libdns.Record) bool { return reflect.DeepEqual(r, want) }) {
			t.Errorf("%#v is missing in %#v", want, got)
		}
	}
}

package providers

import (
	"testing"

	"github.com/miekg/dns"
)

func FuzzAnswered(f *testing.F) {
	for _, text := range []string{"x.z. 60 IN MX 10 a.b.", "x.z. 60 IN CNAME y.", `x.z. 0 IN TXT "a"`, "x.z. 60 IN AAAA ::ffff:1.2.3.4", "z. 1 IN DNAME q."} {
		m := new(dns.Msg)
		m.SetQuestion("x.z.", dns.TypeMX)
		m.Answer = []dns.RR{must(dns.NewRR(text))}
		f.Add(must(m.Pack()), dns.TypeMX)
	}
	f.Fuzz(func(t *testing.T, wire []byte, typ uint16) {
		m := new(dns.Msg)
		if _, err := typeOf(dns.Type(typ).String()); err != nil || m.Unpack(wire) != nil {
			return
		}
		fr := &framing{zone: "z.", maxRecords: 100, each: func(zone, name string, rr dns.RR) error {
			_, err := toLibdns(rr, name, zone)
			return err
		}}
		_ = fr.add(m.Answer, len(wire))
		s, alias, err := answered(m, wanted{"z.", "x.z.", typ})
		if err != nil {
			return
		}
		if s.Name != "x.z." || s.Type != dns.Type(typ).String() || alias && !s.Absent() {
			t.Fatalf("answered %+v, %v", s, alias)
		}
		if err := canonical(s); err != nil {
			t.Fatal(err)
		}
		if rrs, err := recordsOf(s); err == nil {
			if back, err := setOf(s.Name, typ, rrs); err != nil || !back.Equal(s) {
				t.Fatalf("%+v comes back as %+v, %v", s, back, err)
			}
		} else if typ == dns.TypeMX {
			t.Fatalf("an MX RRset that was read cannot be written: %v", err)
		}
	})
}

package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestParityGolden(t *testing.T) {
	t.Parallel()
	pair := func(a string, before, now ParityReply) ParityPair {
		return ParityPair{Address: a, Server: "gw1.example 192.0.2.1", Old: before, New: now}
	}
	yes, no := ParityReply{Code: 250}, ParityReply{550, "5.1.1", "User \x1b[31munknown\u202e"}
	unasked := ParityCause{ID: "unknown"}
	for i := range 8 {
		unasked.Differs = append(unasked.Differs, pair(fmt.Sprintf("user%d@example.org", i), yes, ParityReply{}))
	}
	r := Parity{
		At: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), Old: "mail.example 192.0.2.9", Against: []string{"gw1.example 192.0.2.1", "gw2.example 192.0.2.2"},
		Alike: 40, Stopped: "gw2.example 192.0.2.2: refused",
		Causes: []ParityCause{
			{ID: "lost", Bad: true, Differs: []ParityPair{pair("info@example.org\n", yes, no)}},
			{ID: "backscatter", Bad: true, Differs: []ParityPair{pair("x@example.org", no, yes)}},
			{ID: "deferred"},
			unasked,
			{ID: "reply", Differs: []ParityPair{pair("y@example.org", no, ParityReply{554, "5.7.1", "Relay denied"})}},
		},
	}
	var text, data bytes.Buffer
	if err := (Printer{}).Parity(&text, r); err != nil {
		t.Fatal(err)
	}
	if err := ParityJSON(&data, r); err != nil {
		t.Fatal(err)
	}
	golden(t, "parity.txt", text.String())
	golden(t, "parity.json", data.String())
	if strings.ContainsAny(text.String(), "\x1b\u202e") {
		t.Error("foreign text is not harmless")
	}
}

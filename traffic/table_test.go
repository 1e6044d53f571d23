package traffic

import (
	"fmt"
	"testing"
	"time"
)

func TestTableOfRealLogs(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]map[string]Domain{
		// What the clients of these runs did, by hand: see testdata/README.md.
		"exim-16-pid":   {"choir.example": {Messages: 4, Delivered: 4, Rejected: 1}, "bakery.example": {Messages: 3, Delivered: 3}, "slow.example": {Messages: 1}, "bounce.example": {Messages: 1}},
		"postfix-short": {"choir.example": {Messages: 4, Delivered: 4, Rejected: 2}, "slow.example": {Messages: 1}, "bounce.example": {Messages: 1}},
		"postfix-long":  {"choir.example": {Messages: 1, Delivered: 1, Rejected: 1}, "bakery.example": {Messages: 1, Delivered: 1}},
	} {
		var table Table
		read(t, name, table.Add)
		for domain, c := range want {
			got := table.Get(domain)
			if got == nil || got.Messages != c.Messages || got.Delivered != c.Delivered || got.Rejected != c.Rejected || (got.Bytes == 0) != (got.Messages == 0) {
				t.Errorf("%s, %s: %+v, want %+v", name, domain, got, c)
			}
		}
		if table.Get("sender.example") != nil {
			t.Errorf("%s: what the server's own users sent was counted", name)
		}
	}
}

// A message for two recipients of a domain is one message, whose bytes count once.
func TestTableCountsMessagesOnce(t *testing.T) {
	t.Parallel()
	const log = `2026-11-25 18:42:54 1xWH1C-000653-15 <= a@sender.example H=c [192.0.2.68] P=esmtp S=1000 id=1@c for Info@Choir.example office@choir.example x@bakery.example
2026-11-25 18:42:55 1xWH1C-000653-15 => Info@Choir.example R=all T=smtp H=gw [192.0.2.3] C="250 Ok"
2026-11-25 19:42:55 1xWH1C-000653-15 -> office@choir.example R=all T=smtp H=gw [192.0.2.3] C="250 Ok"
2026-11-25 19:42:55 1xWH1C-000653-15 == x@bakery.example R=dead T=smtp defer (111): Connection refused
2026-11-25 19:59:55 1xWH1C-000653-15 == x@bakery.example R=dead T=smtp defer (111): Connection refused
`
	table := Table{Zone: time.FixedZone("", 3600)}
	l, err := NewLog(Options{Now: now}, table.Add)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = l.Write([]byte(log))
	choir, bakery := table.Get("choir.example"), table.Get("bakery.example")
	if choir == nil || choir.Messages != 1 || choir.Delivered != 2 || choir.Bytes != 1000 || choir.Hours[19] != 1 || choir.Last.Sub(choir.First) != time.Hour+time.Second {
		t.Errorf("%+v", choir)
	}
	if bakery == nil || bakery.Messages != 1 || bakery.Delivered != 0 || bakery.Bytes != 1000 {
		t.Errorf("%+v", bakery)
	}
	if hour, ok := choir.Peak(); hour != 19 || !ok {
		t.Error(hour, ok)
	}
	if ranked := table.Ranked(); len(ranked) != 2 || ranked[0].Name != "choir.example" {
		t.Error(ranked)
	}
	later := Table{Since: now.Add(-20 * time.Minute)}
	l, _ = NewLog(Options{Now: now}, later.Add)
	_, _ = l.Write([]byte(log))
	if c := later.Get("choir.example"); c == nil || c.Messages != 0 || c.Delivered != 1 {
		t.Errorf("%+v", c)
	}
}

// Names that somebody makes up push none of ours out, and what they had is told, however
// many there are.
func TestTableIsBounded(t *testing.T) {
	t.Parallel()
	const most = 1000
	table := Table{most: most, Always: func(d []byte) bool { return string(d) == "quiet.test" || string(d) == "late.test" }}
	add := func(e Event, to string) {
		r := record(now, e, to)
		r.Domain, r.Size = e == Delivered, 100
		table.Add(r)
	}
	add(Rejected, "x@quiet.test")
	add(Delivered, "x@real.test")
	for i := range most {
		add(Rejected, fmt.Sprintf("x@%d.spam.test", i))
	}
	for i := range 2 * most {
		add(Delivered, fmt.Sprintf("x@%d.wild.test", i))
	}
	add(Delivered, "x@late.test")
	add(Rejected, "x@quiet.test")
	for domain, want := range map[string][2]uint64{"quiet.test": {0, 2}, "late.test": {1, 0}, "real.test": {1, 0}, "0.wild.test": {1, 0}} {
		if d := table.Get(domain); d == nil || d.Delivered != want[0] || d.Rejected != want[1] || d.Hours[now.Hour()] != uint32(want[0]) {
			t.Errorf("%s: %+v, want %d delivered, %d rejected", domain, d, want[0], want[1])
		}
	}
	var sum Domain
	for _, d := range append(table.Ranked(), func() *Domain { o := table.Others(); return &o }()) {
		sum.Messages += d.Messages
		sum.Delivered += d.Delivered
		sum.Rejected += d.Rejected
		sum.Bytes += d.Bytes
	}
	const n = 2*most + 2
	if sum.Messages != n || sum.Delivered != n || sum.Rejected != most+2 || sum.Bytes != 100*n {
		t.Errorf("in all: %+v", sum)
	}
	if table.bounded > most || table.Left == 0 || table.Get("5.spam.test") != nil {
		t.Errorf("%d domains, %d left out", table.bounded, table.Left)
	}
	if part := table.Part(); table.Fits(part, 1) {
		t.Error("there is room for more")
	}
}

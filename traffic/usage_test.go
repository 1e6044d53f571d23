package traffic

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestUsageCountsDeliveriesFromOutside(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("east", 2*3600)
	u := &Usage{Zone: zone}
	at := time.Date(2026, 1, 1, 23, 30, 0, 0, time.UTC)
	add := func(r Record) {
		if r.At.IsZero() {
			r.At = at
		}
		u.Add(&r)
	}
	to := []byte("a@Choir.Test.")
	add(Record{Event: Delivered, Recipient: to, Origin: Outside})
	add(Record{Event: Delivered, Recipient: to})
	add(Record{Event: Delivered, Recipient: []byte("b@choir.test"), At: at.Add(-5 * time.Hour), Origin: Outside})
	for _, r := range []Record{
		{Event: Delivered, Recipient: to, Again: true},
		{Event: Delivered, Recipient: to, Origin: Internal},
		{Event: Delivered, Recipient: to, Origin: Submitted},
		{Event: Rejected, Recipient: to},
		{Event: Accepted, Recipient: to},
		{Event: Bounced, Recipient: to},
		{Event: Delivered, Recipient: []byte("nobody")},
	} {
		add(r)
	}
	var got []string
	u.Each(func(d string, n uint64, peak int) { got = append(got, fmt.Sprint(d, n, " ", peak)) })
	if s := strings.Join(got, ","); s != "choir.test3 1" {
		t.Errorf("usage %q, want choir.test with 3 and its peak at 1 in the zone", s)
	}
}

func TestUsageIsBounded(t *testing.T) {
	t.Parallel()
	u := &Usage{domains: map[string]*used{}}
	for i := range maxUsed {
		u.domains[fmt.Sprint(i)] = nil
	}
	u.Add(&Record{Event: Delivered, Recipient: []byte("a@new.test"), At: time.Unix(0, 0)})
	if u.Left != 1 || len(u.domains) != maxUsed {
		t.Errorf("%d domains, %d left out", len(u.domains), u.Left)
	}
}

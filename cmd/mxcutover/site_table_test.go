//go:build site

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	real "mxcutover/lab/site"
)

// A tableRow is what a run's mail came to, and how long the engine took.
type tableRow struct {
	name                            string
	before, migrated, closed, ended time.Time // mail begins; the engine begins; the old server is closed; all is over
	counted                         real.Count
	worldBefore, worldAfter         float64 // connections a minute
	siteBefore, siteAfter           float64
	median, late                    [2]time.Duration // to arrive, before and after
	steps, late1                    time.Duration    // of one domain: its steps, on average and of the 95th of a hundred
	busy, wall                      time.Duration    // when some step was under way; from the beginning to the end
	domains                         int
}

// count ends the mail, waits until all of it has arrived, and counts: no message may be
// lost, doubled or bounced.
func (s *story) count(row *tableRow) {
	s.Helper()
	if _, err := s.mail.End(); err != nil {
		s.Error(err)
	}
	ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
	defer cancel()
	if err := s.w.Drain(ctx); err != nil {
		s.Error(err)
	}
	s.countOf(s.mail, row)
}

// countOf counts one stream; another may go on.
func (s *story) countOf(mail *real.Stream, row *tableRow) {
	s.Helper()
	sent, err := mail.End()
	if err != nil {
		s.Errorf("the senders' server did not take: %v", err)
	}
	var c real.Count
	err = s.asks(time.Minute, func() (err error) {
		if c, err = s.w.Fates(sent); err == nil && (c.Accepted < c.Sent || c.Delivered < c.Accepted) {
			err = fmt.Errorf("of %d messages sent %d were accepted, %d delivered", c.Sent, c.Accepted, c.Delivered)
		}
		return err
	})
	if err != nil {
		s.Error(err)
	}
	row.counted = c
	if c.Sent == 0 || c.Accepted != c.Sent || c.Delivered != c.Sent || c.Lost > 0 || c.Doubled > 0 || c.Bounced > 0 {
		s.Errorf("%s: of %d messages sent %d were accepted, %d delivered; %d lost, %d doubled, %d bounced", row.name, c.Sent, c.Accepted, c.Delivered, c.Lost, c.Doubled, c.Bounced)
		for _, f := range c.Fates {
			if len(f.Accepted) != 1 || len(f.Delivered) != 1 || f.Bounced {
				s.Errorf("%+v", f)
			}
		}
	}
	for i, of := range [][2]time.Time{{row.before, row.migrated}, {row.closed, row.ended}} {
		row.median[i], row.late[i] = arrival(c, of[0], of[1])
	}
	perMinute := func(from, until time.Time) (world, site float64) {
		w, i, err := s.w.Connections(from, until)
		if err != nil {
			s.Fatal(err)
		}
		minutes := until.Sub(from).Minutes()
		return float64(w) / minutes, float64(i) / minutes
	}
	row.worldBefore, row.siteBefore = perMinute(row.before, row.migrated)
	if !row.closed.IsZero() {
		row.worldAfter, row.siteAfter = perMinute(row.closed, row.ended)
	}
}

// arrival is how long messages took that were sent in a time.
func arrival(c real.Count, from, until time.Time) (median, late time.Duration) {
	var took []time.Duration
	for _, f := range c.Fates {
		if len(f.Delivered) > 0 && !f.At.Before(from) && f.At.Before(until) {
			took = append(took, f.Delivered[0].Sub(f.At))
		}
	}
	return quantile(took, 0.5), quantile(took, 0.95)
}

// took adds up, by the journal, how long the engine was at work for each domain: from
// each step's beginning to its end, without the waits for caches and the soak.
func (s *story) took(row *tableRow) {
	s.Helper()
	row.domains = len(s.w.Hosted())
	row.wall = row.ended.Sub(row.migrated)
	_, out, _ := command(s.T, s.dir, "ip", s.at("events")...)
	var each []time.Duration
	all := 0 * time.Second
	times := stepTimes(out)
	for _, steps := range times.of {
		sum := 0 * time.Second
		for _, d := range steps {
			sum += d
		}
		each, all = append(each, sum), all+sum
	}
	if len(each) < row.domains {
		s.Errorf("the journal tells of %d domains:\n%.2000s", len(each), out)
		return
	}
	row.steps, row.late1, row.busy = all/time.Duration(len(each)), quantile(each, 0.95), times.busy()
	for _, k := range slices.Sorted(maps.Keys(times.kinds)) {
		s.Logf("  step %-16s %v for one domain", k, (times.kinds[k] / time.Duration(len(each))).Round(time.Millisecond))
	}
}

// table prints all runs.
func table(rows []tableRow) string {
	var b strings.Builder
	ms := func(d time.Duration) string { return d.Round(10 * time.Millisecond).String() }
	b.WriteString("\nmail             sent  accepted  delivered  lost  doubled  bounced  put off\n")
	for _, r := range rows {
		c := r.counted
		fmt.Fprintf(&b, "%-15s %5d %9d %10d %5d %8d %8d %8d\n", r.name, c.Sent, c.Accepted, c.Delivered, c.Lost, c.Doubled, c.Bounced, c.Deferred)
	}
	if len(rows) == 1 && rows[0].closed.IsZero() { // by hand: nobody told when it was closed, or moved
		return b.String()
	}
	b.WriteString("\nthe old server, calls a minute      before                 after\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "%-15s %10.0f from the world, %.0f from the site %10.0f, %.0f\n", r.name, r.worldBefore, r.siteBefore, r.worldAfter, r.siteAfter)
	}
	b.WriteString("\ntime to arrive      before: median, p95       after: median, p95\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "%-15s %12s %10s %15s %10s\n", r.name, ms(r.median[0]), ms(r.late[0]), ms(r.median[1]), ms(r.late[1]))
	}
	b.WriteString("\ntime per domain, apart from TTL and soak\n")
	for _, r := range rows {
		if r.domains > 0 {
			fmt.Fprintf(&b, "%-15s %d domains: %s each (%s when any step was under way); one domain's steps, among others, %s on average, p95 %s; from begin to end %s\n",
				r.name, r.domains, ms(r.busy/time.Duration(r.domains)), r.busy.Round(time.Second), ms(r.steps), ms(r.late1), r.wall.Round(time.Second))
		}
	}
	return b.String()
}

package report

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"time"

	"mxcutover/traffic"
)

// A Traffic is what mail logs tell of recipient domains.
type Traffic struct {
	traffic.Stats
	First, Last time.Time         // of what was counted
	Domains     []*traffic.Domain // the most messages first
	More        int               // domains that are not shown
	Left        uint64            // records that are of none of these, since there were too many domains
	Others      traffic.Domain    // what those had
	Zone        *time.Location    // of the times that are shown; nil = UTC
	Files       []TrafficFile
}

// A TrafficFile is one file of a mail log.
type TrafficFile struct {
	traffic.Stats
	Path, Kind, Format string // Kind: of compression; Format: of package traffic
	Bytes              int64
	Samples            []string // lines that were not understood
	Fault              string   // what kept it from being read to its end
}

const trafficTime = "2006-01-02 15:04"

func (r Traffic) clock(t time.Time) string {
	switch {
	case t.IsZero():
		return "-"
	case r.Zone == nil:
		t = t.UTC()
	default:
		t = t.In(r.Zone)
	}
	return t.Format(trafficTime)
}

// Traffic writes the table of domains, then what was read.
func (p Printer) Traffic(w io.Writer, r Traffic) error {
	b := bufio.NewWriter(w)
	rows := [][]string{{"DOMAIN", "MESSAGES", "DELIVERED", "BYTES", "REJECTED", "FIRST", "LAST", "PEAK HOUR"}}
	for _, d := range r.Domains {
		peak := "-"
		if h, ok := d.Peak(); ok {
			peak = fmt.Sprintf("%02d", h)
		}
		rows = append(rows, []string{d.Name, fmt.Sprint(d.Messages), fmt.Sprint(d.Delivered), Bytes(d.Bytes), fmt.Sprint(d.Rejected), r.clock(d.First), r.clock(d.Last), peak})
	}
	table(b, rows)
	if r.More > 0 {
		fmt.Fprintf(b, "and %d more domains\n", r.More)
	}
	fmt.Fprintf(b, "%d lines of %d files: %d understood, %d not", r.Lines, len(r.Files), r.Parsed, r.Skipped)
	if r.Long > 0 {
		fmt.Fprintf(b, ", %d cut at %d KiB", r.Long, traffic.MaxLine>>10)
	}
	fmt.Fprintf(b, "; from %s to %s\n", r.clock(r.First), r.clock(r.Last))
	if r.Left > 0 {
		fmt.Fprintf(b, "%s others, since there are more than %d domains: %d messages, %d delivered, %s, %d rejected\n", p.paint(Wary, p.Symbol(Wary)), traffic.MaxRanked, r.Others.Messages, r.Others.Delivered, Bytes(r.Others.Bytes), r.Others.Rejected)
	}
	for _, f := range r.Files {
		if f.Fault != "" {
			fmt.Fprintf(b, "%s %s: %s\n", p.paint(Wary, p.Symbol(Wary)), Harmless(f.Path), Harmless(f.Fault))
		}
		for _, s := range f.Samples {
			fmt.Fprintf(b, "not understood in %s: %s\n", Harmless(f.Path), Harmless(s))
		}
	}
	return b.Flush()
}

// Bytes is a size in words.
func Bytes(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1024, 0
	for f >= 1024 {
		f, i = f/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", f, units[i])
}

// JSON writes the same for programs.
func (r Traffic) JSON(w io.Writer) error {
	domains, files := make([]object, 0, len(r.Domains)), make([]object, 0, len(r.Files))
	for _, d := range r.Domains {
		o := object{"domain": d.Name, "messages": d.Messages, "recipients": d.Delivered, "rejected": d.Rejected, "bytes": d.Bytes, "first": d.First.UTC(), "last": d.Last.UTC(), "peak_hour": nil}
		if h, ok := d.Peak(); ok {
			o["peak_hour"] = h
		}
		domains = append(domains, o)
	}
	for _, f := range r.Files {
		o := object{"path": f.Path, "compression": f.Kind, "format": f.Format, "bytes": f.Bytes, "lines": f.Lines, "parsed": f.Parsed, "skipped": f.Skipped, "long": f.Long}
		if f.Fault != "" {
			o["fault"] = f.Fault
		}
		if len(f.Samples) > 0 {
			o["samples"] = f.Samples
		}
		files = append(files, o)
	}
	return encode(w, object{
		"v": version, "lines": r.Lines, "parsed": r.Parsed, "skipped": r.Skipped, "long": r.Long, "left_out": r.Left,
		"others": object{"messages": r.Others.Messages, "recipients": r.Others.Delivered, "rejected": r.Others.Rejected, "bytes": r.Others.Bytes}, "more": r.More, "domains": domains, "files": files,
	})
}

// CSV writes the domains alone, for spreadsheets.
func (r Traffic) CSV(w io.Writer) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"domain", "messages", "recipients", "rejected", "bytes", "first", "last", "peak_hour"}) // told by Error
	for _, d := range r.Domains {
		peak := ""
		if h, ok := d.Peak(); ok {
			peak = fmt.Sprint(h)
		}
		name := Harmless(d.Name)
		if strings.ContainsAny(name[:min(1, len(name))], "=+-@\t") {
			name = "'" + name // no formula
		}
		_ = c.Write([]string{name, fmt.Sprint(d.Messages), fmt.Sprint(d.Delivered), fmt.Sprint(d.Rejected), fmt.Sprint(d.Bytes), d.First.UTC().Format(time.RFC3339), d.Last.UTC().Format(time.RFC3339), peak}) // the same
	}
	c.Flush()
	return c.Error()
}

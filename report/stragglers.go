package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"mxcutover/rrset"
	"mxcutover/traffic"
)

// Stragglers are those who come to the old server directly for domains that moved.
type Stragglers struct {
	From, To time.Time // what the logs are of
	List     []traffic.Straggler
	Left     traffic.Left // that are not in List for want of room
}

// A Replay tells whom firewall rules would have cut off.
type Replay struct {
	From, To time.Time // what the logs are of
	Since    time.Time // from when on it counts
	Ports    []uint16
	Cuts     []ReplayCut
	Stale    bool // the logs ended long ago
	Unsure   bool // others may be cut off, for whom there was no room
}

// Lacks are the reasons for which the logs are not enough to tell who is cut off; nil =
// they are.
func (r *Replay) Lacks() (lacks []string) {
	if r.From.After(r.Since) {
		lacks = append(lacks, "the log begins later than what is to be looked back over: nobody knows what was before")
	}
	if r.Stale {
		lacks = append(lacks, "the log ended long ago: is it the right one? Nobody knows what came since")
	}
	if r.Unsure {
		lacks = append(lacks, "others may be cut off: a log could not be read whole, or does not tell from where its mail comes, or has so many sources and names that they are not told apart")
	}
	return lacks
}

// A ReplayCut is one use of the old server that would end.
type ReplayCut struct {
	traffic.Cut
	Words  string // foreign in part
	Agreed bool   // a person has said that it may end
}

const minute = "2006-01-02 15:04"

// Stragglers writes them, with the evidence of what they are guessed to be.
func (p Printer) Stragglers(w io.Writer, r Stragglers) error {
	b := bufio.NewWriter(w)
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	if len(r.List) > 0 {
		fmt.Fprintln(t, "DOMAIN\tSOURCE\tTAKEN\tPUT OFF\tREFUSED\tFIRST\tLAST\tGUESS\tEVIDENCE")
	}
	for i := range r.List {
		x := &r.List[i]
		source := x.Source.String()
		if x.Reverse.Name != "" {
			source += " " + Harmless(x.Reverse.Name)
		}
		evidence := x.Evidence()
		if len(x.Senders) > 0 {
			evidence += "; from " + strings.Join(x.Senders, ", ")
		}
		if x.More {
			evidence += " and others"
		}
		first, last := "", ""
		if !x.First.IsZero() {
			first, last = x.First.UTC().Format(minute), x.Last.UTC().Format(minute)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", Harmless(rrset.Bare(x.Domain)), source, x.Accepted, x.Deferred, x.Refused, first, last, x.Guess, Harmless(evidence))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(b, "%d stragglers in the log from %s to %s UTC\n", len(r.List), r.From.UTC().Format(minute), r.To.UTC().Format(minute))
	if r.Left != (traffic.Left{}) {
		fmt.Fprintf(b, "%s so many others that %d recipients, and %d that were refused, are not told apart\n", p.paint(Wary, p.Symbol(Wary)), r.Left.Accepted, r.Left.Refused)
	}
	return b.Flush()
}

// StragglersJSON writes the same as JSON.
func StragglersJSON(w io.Writer, r Stragglers) error {
	out := make([]object, 0, len(r.List))
	for i := range r.List {
		out = append(out, straggler(&r.List[i]))
	}
	return encode(w, object{"v": version, "from": when(r.From), "to": when(r.To), "stragglers": out, "left": r.Left})
}

func straggler(x *traffic.Straggler) object {
	o := object{
		"domain": rrset.Bare(x.Domain), "source": x.Source.String(), "reverse": nil,
		"accepted": x.Accepted, "deferred": x.Deferred, "refused": x.Refused, "nobody": x.Nobody, "blocked": x.Blocked,
		"first": when(x.First), "last": when(x.Last), "moved": when(x.Moved), "senders": list(x.Senders), "more_senders": x.More,
		"guess": x.Guess, "evidence": x.Evidence(), "legitimate": x.Legitimate(), "numbers": x.Numbers,
		"observed_seconds": int64(x.Numbers.Observed.Seconds()), "interval_seconds": x.Numbers.Interval.Seconds(),
	}
	if x.Reverse.Asked {
		o["reverse"] = x.Reverse.Name // "" = it has none; null = not known
	}
	return o
}

// when is a time, or null.
func when(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC()
}

// Replay writes who would have been cut off, the worst first.
func (p Printer) Replay(w io.Writer, r Replay) error {
	b := bufio.NewWriter(w)
	bad := 0
	for i := range r.Cuts {
		x := &r.Cuts[i]
		tone, agreed := Bad, ""
		if x.Agreed {
			tone, agreed = Wary, "; that was agreed to"
		} else {
			bad++
		}
		fmt.Fprintf(b, "%s %-13s  %s%s\n", p.paint(tone, p.Symbol(tone)), x.Use, Harmless(x.Words), agreed)
	}
	fmt.Fprintf(b, "with %s closed, %d legitimate uses since %s UTC would be cut off, %d of them without anybody's word; the log is from %s to %s UTC\n",
		portWords(r.Ports), len(r.Cuts), r.Since.UTC().Format(minute), bad, r.From.UTC().Format(minute), r.To.UTC().Format(minute))
	for _, why := range r.Lacks() {
		fmt.Fprintf(b, "%s %s\n", p.paint(Wary, p.Symbol(Wary)), why)
	}
	return b.Flush()
}

// ReplayJSON writes the same as JSON.
func ReplayJSON(w io.Writer, r Replay) error {
	cuts := make([]object, 0, len(r.Cuts))
	bad := 0
	for i := range r.Cuts {
		x := &r.Cuts[i]
		o := object{"use": x.Use, "name": rrset.Bare(x.Name), "source": nil, "sources": x.Sources, "port": x.Port, "count": x.Count, "last": when(x.Last), "agreed": x.Agreed, "detail": x.Words}
		if x.Source.IsValid() {
			o["source"] = x.Source.String()
		}
		if x.Straggler != nil {
			o["straggler"] = straggler(x.Straggler)
		}
		if !x.Agreed {
			bad++
		}
		cuts = append(cuts, o)
	}
	return encode(w, object{"v": version, "from": when(r.From), "to": when(r.To), "since": when(r.Since), "ports": r.Ports, "cuts": cuts, "cut_off": bad, "unsure": r.Lacks() != nil})
}

package report

import (
	"bufio"
	"fmt"
	"io"
	"time"
)

// A Parity is what two mail servers said to the same recipients.
type Parity struct {
	At      time.Time
	Old     string   // the old server, by name and address
	Against []string // the gateway's servers
	Alike   int      // pairs of answers that agree
	Stopped string   // why it ended before all were asked; "" = it did not
	Causes  []ParityCause
}

// A ParityCause is a reason for which answers differ, the worst first.
type ParityCause struct {
	ID      string // stable: lost, backscatter, deferred, unknown, reply
	Bad     bool   // mail would be lost or bounced
	Differs []ParityPair
}

// A ParityPair is one address that is judged differently.
type ParityPair struct {
	Address  string
	Server   string // the gateway's
	Old, New ParityReply
}

// A ParityReply is one server's answer to RCPT; Code 0 is none.
type ParityReply struct {
	Code           int
	Enhanced, Text string
}

// parityWords say what each cause means.
var parityWords = map[string]string{
	"lost":        "the gateway refuses what the old server accepts: mail would be lost",
	"backscatter": "the gateway accepts what the old server refuses: it would have to bounce it, to forged senders",
	"deferred":    "one of them said \"later\" as often as it was asked",
	"unknown":     "not asked at both, or not to the end",
	"reply":       "both refuse, with another code",
}

// fewUnknown are enough to see why addresses were not asked for: it is one reason for
// all.
const fewUnknown = 5

func (r ParityReply) String() string {
	switch {
	case r.Code == 0 && r.Text == "":
		return "not asked"
	case r.Code/100 == 2:
		return "accepted"
	}
	out := fmt.Sprint(r.Code)
	if r.Enhanced != "" {
		out += " " + r.Enhanced
	}
	return Harmless(out + " " + r.Text)
}

// Parity writes every address that is judged differently, by cause.
func (p Printer) Parity(w io.Writer, r Parity) error {
	b := bufio.NewWriter(w)
	for _, c := range r.Causes {
		if len(c.Differs) == 0 {
			continue
		}
		t := Wary
		if c.Bad {
			t = Bad
		}
		fmt.Fprintf(b, "%s %s (%d)\n", p.paint(t, p.Symbol(t)), parityWords[c.ID], len(c.Differs))
		for i, d := range c.Differs {
			if c.ID == "unknown" && i == fewUnknown {
				fmt.Fprintf(b, "  and %d more\n", len(c.Differs)-i)
				break
			}
			fmt.Fprintf(b, "  %s at %s\n    old server: %s\n    gateway:    %s\n", Harmless(d.Address), Harmless(d.Server), d.Old, d.New)
		}
		fmt.Fprintln(b)
	}
	fmt.Fprintf(b, "old server %s beside", Harmless(r.Old))
	for i, s := range r.Against {
		if i > 0 {
			fmt.Fprint(b, ",")
		}
		fmt.Fprintf(b, " %s", Harmless(s))
	}
	fmt.Fprintf(b, ": %s judged alike", Counted(r.Alike, "answer"))
	for _, c := range r.Causes {
		if len(c.Differs) > 0 {
			fmt.Fprintf(b, ", %d %s", len(c.Differs), c.ID)
		}
	}
	fmt.Fprintln(b)
	if r.Stopped != "" {
		fmt.Fprintf(b, "%s it ended early: %s\n", p.paint(Bad, p.Symbol(Bad)), Harmless(r.Stopped))
	}
	return b.Flush()
}

// ParityJSON writes the same as JSON.
func ParityJSON(w io.Writer, r Parity) error {
	differs, summary := []object{}, object{"alike": r.Alike}
	reply := func(x ParityReply) object { return object{"code": x.Code, "enhanced": x.Enhanced, "text": x.Text} }
	for _, c := range r.Causes {
		summary[c.ID] = len(c.Differs)
		for _, d := range c.Differs {
			differs = append(differs, object{"cause": c.ID, "address": d.Address, "server": d.Server, "old": reply(d.Old), "new": reply(d.New)})
		}
	}
	return encode(w, object{
		"v": version, "at": r.At.UTC(), "old": r.Old, "gateway": list(r.Against), "differences": differs, "summary": summary, "stopped": r.Stopped,
	})
}

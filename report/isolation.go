package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// Rules are the old server's firewall rules as they would be, and as they are.
type Rules struct {
	Text       string    // as nft reads it
	Asked      bool      // whether the machine was asked for what follows
	Closed     []uint16  // ports that are closed now
	Until      time.Time // when the kernel opens them; zero = not before the next boot
	Kept       bool      // closed after the next boot too
	Difference []string  // what loading would change: "+ closed port 25"
}

// State says what is closed now.
func (r Rules) State() string {
	switch {
	case len(r.Closed) == 0:
		return "loaded now: nothing; all ports are open"
	case !r.Until.IsZero():
		return fmt.Sprintf("loaded now: closed %s until %s, when the kernel opens it unless that is renewed", portWords(r.Closed), r.Until.UTC().Format(time.RFC3339))
	case !r.Kept:
		return fmt.Sprintf("loaded now: closed %s until the next boot (confirm-incomplete)", portWords(r.Closed))
	}
	return fmt.Sprintf("loaded now: closed %s for good", portWords(r.Closed))
}

func portWords(all []uint16) string {
	word := "port"
	if len(all) > 1 {
		word = "ports"
	}
	return word + " " + ports(all)
}

// Rules writes what is loaded, and what would change.
func (p Printer) Rules(w io.Writer, r Rules) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, r.State())
	for _, l := range r.Difference {
		fmt.Fprintln(b, "  "+Harmless(l))
	}
	if r.Text != "" && len(r.Difference) == 0 {
		fmt.Fprintln(b, "  no difference")
	}
	return b.Flush()
}

// RulesJSON writes the same for programs.
func RulesJSON(w io.Writer, r Rules) error {
	out := struct {
		V          int        `json:"v"`
		Text       string     `json:"text"`
		Closed     *[]uint16  `json:"closed,omitempty"`
		Until      *time.Time `json:"until,omitempty"`
		Kept       *bool      `json:"kept,omitempty"`
		Difference *[]string  `json:"difference,omitempty"`
	}{V: 1, Text: r.Text}
	if r.Asked {
		closed, lines := append([]uint16{}, r.Closed...), append([]string{}, r.Difference...)
		out.Closed, out.Kept, out.Difference = &closed, &r.Kept, &lines
		if !r.Until.IsZero() {
			until := r.Until.UTC()
			out.Until = &until
		}
	}
	return encode(w, out)
}

// Refused is one source that was refused at one port.
type Refused struct {
	At     time.Time  `json:"at"`
	Source netip.Addr `json:"source"`
	Port   uint16     `json:"port"`
	Since  uint64     `json:"since"` // how often since the last look
	Count  uint64     `json:"count"` // in all
}

// Refused writes a line for each.
func (p Printer) Refused(w io.Writer, all []Refused) error {
	b := bufio.NewWriter(w)
	for _, r := range all {
		fmt.Fprintf(b, "%s  %-39s -> %-5d  %6d  of %d\n", r.At.UTC().Format(time.TimeOnly+"Z"), r.Source, r.Port, r.Since, r.Count)
	}
	return b.Flush()
}

// RefusedJSON writes them as JSON Lines.
func RefusedJSON(w io.Writer, all []Refused) error {
	e := json.NewEncoder(w)
	for _, r := range all {
		r.At = r.At.UTC()
		if err := e.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"mxcutover/report"
)

// A question is one thing that init must know, named as its flag.
type question struct {
	flag, usage string
	text        string // as it is asked
	many        bool   // the answer is a list
	optional    bool   // no answer is an answer
	quiet       bool   // never asked: found, or said by the flag
	source      string // where an answer was found, in words
	find        func(context.Context, *initiation) ([]string, error)
}

// questions are all of them, in the order in which answers help to find others.
func questions() []question {
	return []question{
		{flag: "migration", usage: "the migration's name", text: "A name for the migration", find: thisYear, source: "by the year"},
		{flag: "resolver", usage: "caching DNS servers, ADDRESS or ADDRESS:PORT", text: "Caching DNS servers to ask", many: true, find: foundResolvers, source: "by /etc/resolv.conf"},
		{flag: "zone", usage: "the DNS zones whose mail moves", text: "DNS zones whose mail moves, with spaces between", many: true},
		{flag: "gateway", usage: "the new gateway's MX hosts, the preferred one first, HOST or PREFERENCE:HOST", text: "MX hosts of the new gateway, the preferred one first (HOST, or PREFERENCE:HOST)", many: true},
		{flag: "old", usage: "names of the old server, as MX records have them", text: "Names of the old server", many: true, find: foundOld, source: "by the zone's MX"},
		{flag: "old-address", usage: "all addresses of the old server", text: "All its addresses, IPv4 and IPv6", many: true, find: foundOldAddresses, source: "by DNS"},
		{flag: "provider", usage: "the kind of the zones' DNS provider", text: "Kind of the zones' DNS provider (" + strings.Join(kindNames(), ", ") + ")"},
		{flag: "from", usage: "sender of the probes; its domain has an MX of its own, and never moves", text: "Sender of the probes (its domain has an MX of its own, and never moves)"},
		{
			flag: "recipient", usage: "the local part that probes go to at each domain (default postmaster)", optional: true,
			text: "Local part of the probes' recipients, behind a rule of the old server (none: postmaster)",
		},
		{flag: "log", usage: "logs of the old server, on this machine", many: true, optional: true, quiet: true, find: foundLogs, source: "a mail server's log is here, and the old server's address"},
		{flag: "time-zone", usage: "of windows and peak hours", optional: true, quiet: true, find: foundTimeZone, source: "this machine's"},
	}
}

// An asker asks on a terminal.
type asker struct {
	out   io.Writer
	lines chan string
	ended chan error
}

// newAsker begins to read answers. What reads ends with the process: a read from a
// terminal cannot be taken back.
func newAsker(in io.Reader, out io.Writer) *asker {
	a := &asker{out: out, lines: make(chan string), ended: make(chan error, 1)}
	go func() {
		lines := bufio.NewScanner(in)
		for lines.Scan() {
			a.lines <- lines.Text()
		}
		a.ended <- lines.Err()
	}()
	return a
}

// line asks for one line.
func (a *asker) line(ctx context.Context, prompt string) (string, error) {
	fmt.Fprint(a.out, prompt)
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.out)
		return "", ctx.Err()
	case text := <-a.lines:
		return strings.TrimSpace(text), nil
	case err := <-a.ended:
		fmt.Fprintln(a.out)
		a.ended <- err
		return "", errors.Join(usagef("the answers ended; nothing was written"), err)
	}
}

// list asks until the answer is right: words, with spaces or commas between.
func (a *asker) list(ctx context.Context, text string, found []string, optional bool, wrong func([]string) error) ([]string, error) {
	prompt := text
	if len(found) > 0 {
		prompt += " [" + report.Harmless(strings.Join(found, " ")) + "]"
	}
	for {
		line, err := a.line(ctx, prompt+": ")
		if err != nil {
			return nil, err
		}
		got := strings.Fields(strings.ReplaceAll(line, ",", " "))
		if len(got) == 0 {
			got = found
		}
		switch err := error(nil); {
		case len(got) == 0 && optional:
			return nil, nil
		case len(got) == 0:
			fmt.Fprintln(a.out, "  An answer is needed here.")
			continue
		default:
			if err = wrong(got); err == nil {
				return got, nil
			}
			fmt.Fprintln(a.out, "  "+report.Harmless(err.Error()))
		}
	}
}

// text asks for one text as it is written, until it is right.
func (a *asker) text(ctx context.Context, text, found string, wrong func(string) error) (string, error) {
	prompt := text
	if found != "" {
		prompt += " [" + found + "]"
	}
	for {
		got, err := a.line(ctx, prompt+": ")
		if err != nil {
			return "", err
		}
		if got == "" {
			got = found
		}
		err = wrong(got)
		if got != "" && err == nil {
			return got, nil
		}
		if got != "" {
			fmt.Fprintln(a.out, "  "+report.Harmless(err.Error()))
		}
	}
}

package verify

import (
	"context"
	"errors"
	"slices"
	"strings"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// gtube is the text that every spam filter takes for spam (the Generic Test for
// Unsolicited Bulk Email).
const gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

// lacksHeaders tells what is missing to read a message's header once it arrived.
func lacksHeaders(c *Checker) string {
	if c.IMAP.Address == "" && c.Maildir == "" {
		return "probe.arrival.imap or probe.arrival.maildir"
	}
	return ""
}

// gwSpam sends a message that is spam and one that is not, through each address of
// each planned host, once for all domains, and reads in the mailbox what the
// gateway wrote on them: its own word about a rule is not enough.
func gwSpam(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	rcpt, err := c.recipient(cut.Domain)
	if err != nil {
		return nil, err
	}
	return c.sharedAtEach(ctx, "gw.spam", cut, func(ctx context.Context, e endpoint) plan.Finding {
		return c.spamAt(ctx, e, rcpt, rrset.Bare(cut.Domain))
	})
}

// sharedAtEach asks at every endpoint what is asked once for all domains.
func (c *Checker) sharedAtEach(ctx context.Context, id string, cut plan.Cutover, ask func(context.Context, endpoint) plan.Finding) ([]plan.Finding, error) {
	ends, err := c.endpoints(ctx, cut)
	if err != nil {
		return nil, err
	}
	found := make([][]plan.Finding, len(ends))
	errs := make([]error, len(ends))
	inParallel(len(ends), func(i int) {
		found[i], errs[i] = c.rarely(ctx, id+" "+ends[i].String(), func(ctx context.Context) ([]plan.Finding, error) {
			f := ask(ctx, ends[i])
			f.Vantage = c.here().Name
			return []plan.Finding{f}, ctx.Err()
		})
	})
	return slices.Concat(found...), errors.Join(errs...)
}

func (c *Checker) spamAt(ctx context.Context, e endpoint, rcpt, domain string) plan.Finding {
	probes := [2]probe{c.newProbe(rcpt, domain), c.newProbe(rcpt, domain)}
	probes[1].text = "What follows is what every spam filter takes for spam, to see that it does:\r\n\r\n" + gtube
	var came [2]sent
	var errs [2]error
	inParallel(len(probes), func(i int) { came[i], _, errs[i] = c.dispatch(ctx, probes[i], []endpoint{e}) })
	clean, spam := came[0], came[1]
	switch code, said := reply(errs[1]); {
	case errs[0] != nil:
		f := refusal(e.String(), errs[0])
		f.Detail = "a message that is no spam: " + f.Detail
		return f
	case clean.err != nil:
		f := clean.missing(e.String(), e, c.Arrival)
		f.Detail = "a message that is no spam: " + f.Detail
		return f
	case c.marked(clean) != "":
		f := fail(e.String(), "it takes a message that is no spam for spam: %s", c.marked(clean))
		f.Evidence = c.marked(clean)
		return f
	case code >= 500:
		f := pass(e.String(), "it refuses spam: %s", said)
		f.Evidence = said
		return f
	case errs[1] != nil:
		return refusal(e.String(), errs[1])
	case errors.Is(spam.err, errBounced):
		return warn(e.String(), "it accepted spam and then sent it back, to a sender that is mostly forged: %s", spam.outcome.failed)
	case errors.Is(spam.err, errNotArrived) && spam.outcome.waits == "":
		return warn(e.String(), "it accepted spam, which then did not arrive: if it is put somewhere else, who looks there?")
	case spam.err != nil:
		return spam.missing(e.String(), e, c.Arrival)
	case c.marked(spam) != "":
		f := pass(e.String(), "it marks spam: %s", c.marked(spam))
		f.Evidence = c.marked(spam)
		return f
	case c.here().Inside:
		return unknown(e.String(), "inside: a gateway may not look for spam in mail from a place that it trusts")
	}
	return warn(e.String(), "it does not mark what every filter takes for spam; looked for %s", strings.Join(c.SpamMarks, ", "))
}

// marked is the header field by which a message that arrived is marked as spam; ""
// if it is not.
func (c *Checker) marked(s sent) string {
	for _, line := range unfold(s.outcome.header) {
		name, value, ok := strings.Cut(line, ":")
		for _, mark := range c.SpamMarks {
			wantName, want, _ := strings.Cut(mark, ":")
			if want = strings.TrimSpace(want); ok && want != "" && strings.EqualFold(strings.TrimSpace(name), strings.TrimSpace(wantName)) &&
				len(strings.TrimSpace(value)) >= len(want) && strings.EqualFold(strings.TrimSpace(value)[:len(want)], want) {
				return oneLine(line)
			}
		}
	}
	return ""
}

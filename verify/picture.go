package verify

import (
	"fmt"
	"math"
	"time"

	"mxcutover/plan"
	"mxcutover/traffic"
)

// A picture is what the logs tell of one domain's mail: at the gateway since it was
// published, and at the old server before.
type picture struct {
	stats traffic.Stats // of the gateway's log
	since time.Time
	lasts time.Duration  // from then to now
	last  time.Time      // when the gateway's log tells of anything at all
	now   traffic.Counts // at the gateway
	own   traffic.Counts // before, at the old server
	all   traffic.Counts // the same, of all domains
	span  time.Duration  // that its log covers; 0 = there is none
}

// A share is a part of a number of messages.
type share struct{ part, of uint64 }

// least is what a share is at least, with 99.5 per cent of certainty, however few
// the messages are: the lower bound of Wilson's interval for z = 2.576.
func (s share) least() float64 {
	if s.of == 0 {
		return 0
	}
	const z = 2.576
	n := float64(s.of)
	p := float64(min(s.part, s.of)) / n
	mid, off := p+z*z/(2*n), z*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return max(0, (mid-off)/(1+z*z/n))
}

func (s share) value() float64 {
	if s.of == 0 {
		return 0
	}
	return float64(s.part) / float64(s.of)
}

// nobodys is the share of mail that was refused as nobody's at addresses that are
// known to have had mail before. Spammers' guesses do not count, nor does a flood of
// them, nor what a gateway refuses for what its sender is.
func nobodys(c traffic.Counts) share { return share{c.Known, c.Accepted + c.Known} }

func bounced(c traffic.Counts) share { return share{c.Bounced, c.Accepted} }

// before is what a share was at the old server: the domain's own if that is enough
// mail, else that of all domains.
func (p *picture) before(of func(traffic.Counts) share, enough int) share {
	if own := of(p.own); own.of >= uint64(enough) {
		return own
	}
	return of(p.all)
}

// judge tells what a picture shows. What fails a domain is only what is sure not to
// be as before; what is slow, or looks odd, is a warning.
func (p *picture) judge(m Mail) (plan.Severity, string) {
	words := p.words()
	waiting := share{p.now.Accepted - min(p.now.Accepted, p.now.Delivered+p.now.Bounced), p.now.Accepted}
	for _, x := range []struct {
		what string
		of   func(traffic.Counts) share
	}{{"refused as nobody's at addresses that had mail before", nobodys}, {"accepted, then bounced", bounced}} {
		share, was := x.of(p.now), p.before(x.of, m.Messages)
		if share.least() <= was.value()+m.Excess {
			continue
		}
		told := fmt.Sprintf("%d of %d messages were %s, %.0f%%, and %.0f%% before: %s", share.part, share.of, x.what, 100*share.value(), 100*was.value(), words)
		if share.of < uint64(m.Messages) {
			return plan.Warn, told + "; so few messages fail no domain"
		}
		return plan.Fail, told
	}
	expected := p.expected()
	switch {
	case waiting.least() > m.Excess:
		return plan.Warn, fmt.Sprintf("%d of %d accepted messages are not forwarded yet: %s", waiting.part, waiting.of, words)
	case p.now.Accepted == 0 && p.span <= 0 && p.now.Rejected >= uint64(m.Messages):
		return plan.Warn, "everything was refused, and how it was before is not known (traffic.logs): " + words
	case p.now.Delivered > 0 && p.now.Accepted >= uint64(m.Messages):
		return plan.Pass, words
	case p.now.Delivered > 0:
		return plan.Pass, fmt.Sprintf("real mail passes, though fewer than %d messages: %s", m.Messages, words)
	case expected >= float64(m.Messages) && p.lasts >= m.Quiet:
		return plan.Warn, fmt.Sprintf("no real mail passed, and about %.0f messages would have come to the old server: %s", expected, words)
	case p.lasts >= m.Quiet && p.now.Accepted == 0:
		return plan.Pass, fmt.Sprintf("little traffic, below %d messages, so that real mail tells nothing: %s", m.Messages, words)
	}
	return plan.Unknown, "no real mail has passed yet: " + words
}

// expected is how much mail the domain would have had at the old server since it was
// published, going by its log.
func (p *picture) expected() float64 {
	if p.span < time.Hour {
		return 0
	}
	return float64(p.own.Accepted) * float64(p.lasts) / float64(p.span)
}

func (p *picture) words() string {
	if p.since.IsZero() {
		return "the gateway's log tells of no mail at all"
	}
	out := fmt.Sprintf("since %s the gateway accepted %d, forwarded %d, deferred %d, bounced %d", p.since.UTC().Format("2006-01-02 15:04Z"), p.now.Accepted, p.now.Delivered, p.now.Deferred, p.now.Bounced)
	out += fmt.Sprintf("; at RCPT it rejected %d (%d at addresses that had mail before) and postponed %d", p.now.Rejected, p.now.Known, p.now.Postponed)
	if p.last.Before(p.since) {
		out += "; its log tells of nothing at all since then: is it the right one?"
	}
	return out
}

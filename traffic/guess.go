package traffic

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// By these numbers a straggler is guessed at, in this order. A guess of spammer is
// what lets a source be cut off unasked, so it wants much; the others only tell a
// person where to look.
const (
	spamUnknown  = 5    // distinct recipients that are nobody's, and
	spamAccepted = 0.10 // at most this share of its recipients taken or put off; or, without a name in DNS,
	noNameUnkn   = 2    // so many of nobody's, and
	noNameAccept = 0.50 // this share

	regularTimes  = 6                // intervals at least,
	regularSpread = 0.10             // whose standard deviation is at most this share of their mean,
	regularLeast  = 10 * time.Second // which is no shorter than this,
	regularMost   = time.Hour        // and no longer: a nightly report is mail

	staleSoon   = 72 * time.Hour // a stale resolver was last seen no later after the move,
	staleSeen   = time.Hour      // was watched for so long at least,
	staleFalls  = 0.5            // and has at most this share of its first half's mail in the second half
	steadyMail  = 5              // a hard-coded route had so much mail taken,
	steadyShare = 0.90           // this share of all that came,
	steadyFrom  = 2              // from at most so many domains of senders, and was seen after staleSoon, not falling

	// StaleGone is for how long a stale resolver must be silent to count as gone: a
	// cache is asked again by the day.
	StaleGone = 24 * time.Hour
)

func (c *caller) numbers(end time.Time) Numbers {
	n := Numbers{Observed: end.Sub(c.moved), Recipients: c.to.count(), Unknown: c.unknown.count(), SenderDomains: c.domains.count(), Intervals: c.gaps.n}
	n.Early, n.Late = c.halves(end)
	if c.gaps.n > 1 && c.gaps.mean > 0 {
		n.Interval = time.Duration(c.gaps.mean * float64(time.Second))
		n.Spread = math.Sqrt(c.gaps.squa/float64(c.gaps.n)) / c.gaps.mean
	}
	return n
}

func guess(x *Straggler) Guess {
	n, all := &x.Numbers, float64(x.Count())
	taken := float64(x.Accepted+x.Deferred) / all
	falls := float64(n.Late) <= staleFalls*float64(n.Early)
	late := x.Last.Sub(x.Moved) > staleSoon
	switch {
	case n.Unknown >= spamUnknown && taken <= spamAccepted,
		x.Reverse.Asked && x.Reverse.Name == "" && n.Unknown >= noNameUnkn && taken <= noNameAccept:
		return Spammer
	case n.Intervals >= regularTimes && n.Spread <= regularSpread && n.Interval >= regularLeast && n.Interval <= regularMost && n.Recipients == 1 && n.SenderDomains <= 1:
		return Monitoring
	case !late && n.Observed >= staleSeen && falls && x.Accepted > 0:
		return StaleResolver
	case late && !falls && x.Accepted >= steadyMail && float64(x.Accepted) >= steadyShare*all && n.SenderDomains >= 1 && n.SenderDomains <= steadyFrom:
		return HardRoute
	}
	return Undetermined
}

// Legitimate tells whether mail may be lost when the source is cut off: anything but
// a spammer, and those who send no mail.
func (x *Straggler) Legitimate() bool { return x.Guess != Spammer && x.Guess != OnlyConnects }

// Gone tells whether it has been silent for so long that it does not count any more:
// quiet, or for a stale resolver StaleGone if that is less.
func (x *Straggler) Gone(now time.Time, quiet time.Duration) bool {
	if x.Guess == StaleResolver {
		quiet = min(quiet, StaleGone)
	}
	return now.Sub(x.Last) >= quiet
}

// Evidence says on what the guess rests.
func (x *Straggler) Evidence() string {
	n := &x.Numbers
	switch x.Guess {
	case Spammer:
		name := ""
		if x.Reverse.Asked && x.Reverse.Name == "" {
			name = ", and its address has no name"
		}
		return fmt.Sprintf("%d of %d refused, for %s unknown recipients%s", x.Refused, x.Count(), upTo(n.Unknown), name)
	case Monitoring:
		return fmt.Sprintf("one recipient, every %s within %.0f%%, %d times", rounded(n.Interval), 100*n.Spread, n.Intervals+1)
	case StaleResolver:
		return fmt.Sprintf("last %s after the move, and falling: %d and %d in the halves of %s", rounded(x.Last.Sub(x.Moved)), n.Early, n.Late, rounded(n.Observed))
	case HardRoute:
		return fmt.Sprintf("still there %s after the move, and steady: %d and %d in the halves of %s, from %d domain(s) of senders", rounded(x.Last.Sub(x.Moved)), n.Early, n.Late, rounded(n.Observed), n.SenderDomains)
	case OnlyConnects:
		return fmt.Sprintf("%d connections refused by the firewall, and no mail in the log", x.Blocked)
	}
	words := []string{fmt.Sprintf("%d taken, %d put off, %d refused", x.Accepted, x.Deferred, x.Refused)}
	words = append(words, fmt.Sprintf("%d and %d in the halves of %s", n.Early, n.Late, rounded(n.Observed)), upTo(n.SenderDomains)+" domain(s) of senders", upTo(n.Recipients)+" recipient(s)")
	return strings.Join(words, ", ")
}

// upTo is a count of things told apart.
func upTo(n int) string {
	if n >= maxApart {
		return fmt.Sprintf("%d or more", n)
	}
	return fmt.Sprint(n)
}

// rounded is a time in the unit that matters.
func rounded(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.0fd", d.Hours()/24)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.0fh", d.Hours())
	case d >= 2*time.Minute:
		return fmt.Sprintf("%.0fm", d.Minutes())
	}
	return fmt.Sprintf("%.0fs", d.Seconds())
}

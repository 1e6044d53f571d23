package verify

import (
	"strings"
	"time"
)

// A probe is one synthetic message.
type probe struct {
	token, from, to, domain string
	at                      time.Time
	text                    string // more of it; ""
}

// newProbe is a probe of a domain, by its bare name.
func (c *Checker) newProbe(to, domain string) probe {
	return probe{token: newToken(), from: c.From, to: to, domain: domain, at: c.Now()}
}

// tokenHeader carries a probe's token.
const tokenHeader = "X-Mxcutover-Probe"

// message is the text of a probe. It says what it is, and that no machine should
// answer (RFC 3834).
func (p probe) message() string {
	_, sender, _ := strings.Cut(p.from, "@")
	return strings.Join([]string{
		"From: <" + p.from + ">",
		"To: <" + p.to + ">",
		"Subject: mxcutover probe " + p.token,
		"Date: " + p.at.Format(time.RFC1123Z),
		"Message-ID: <" + p.token + "@" + sender + ">",
		"Auto-Submitted: auto-generated",
		"X-Auto-Response-Suppress: All",
		"Precedence: bulk",
		tokenHeader + ": " + p.token,
		"MIME-Version: 1.0",
		"Content-Type: text/plain; charset=utf-8",
		"",
		"This is a synthetic message. mxcutover sent it to see that mail for",
		p.domain + " passes the new gateway. It is deleted once it is found.",
		p.text,
	}, "\r\n")
}

package logfile

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// A made log is one that no server wrote: n bytes at least, the same from the same
// seed. Domains are used as in life: few have most of the mail.
type made struct {
	rand    *rand.Rand
	domains int
	at      time.Time
	open    []func(w io.Writer) bool // messages under way: each writes its next line
}

// makeLog writes a log of "exim" or "postfix" with so many domains.
func makeLog(to io.Writer, format string, size, domains int) error {
	m := &made{rand: rand.New(rand.NewPCG(7, 11)), domains: domains, at: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
	w := &counting{w: bufio.NewWriterSize(to, 1<<20)}
	begin := m.exim
	if format == "postfix" {
		begin = m.postfix
	}
	for n := 0; w.n < int64(size) || len(m.open) > 0; n++ {
		if w.n < int64(size) && len(m.open) < 40 {
			m.open = append(m.open, begin(n))
			continue
		}
		m.at = m.at.Add(time.Duration(m.rand.IntN(400)) * time.Millisecond)
		if i := m.rand.IntN(len(m.open)); !m.open[i](w) {
			m.open[i] = m.open[len(m.open)-1]
			m.open = m.open[:len(m.open)-1]
		}
	}
	return w.w.Flush()
}

type counting struct {
	w *bufio.Writer
	n int64
}

func (c *counting) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.w.Write(p)
}

func (m *made) domain() string {
	f := m.rand.Float64()
	return fmt.Sprintf("d%d.example", int(f*f*f*float64(m.domains)))
}

func (m *made) exim(n int) func(io.Writer) bool {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	id := []byte("1x0000-000000-00")
	for i, x := 5, n; x > 0 && i > 1; i, x = i-1, x/62 {
		id[i] = letters[x%62]
	}
	for i := 7; i < 13; i++ {
		id[i] = letters[m.rand.IntN(62)]
	}
	peer := fmt.Sprintf("192.0.2.%d", m.rand.IntN(250)+1)
	var to []string
	for range 1 + m.rand.IntN(3)/2 {
		to = append(to, fmt.Sprintf("user%d@%s", m.rand.IntN(500), m.domain()))
	}
	step := 0
	if m.rand.IntN(5) == 0 {
		return func(w io.Writer) bool {
			fmt.Fprintf(w, "%s H=(client%d.example) [%s] F=<s%d@sender.example> rejected RCPT <%s>: Unrouteable address\n", m.at.Format(time.DateTime), n%977, peer, n%4999, to[0])
			return false
		}
	}
	return func(w io.Writer) bool {
		now := m.at.Format(time.DateTime)
		switch {
		case step == 0:
			fmt.Fprintf(w, "%s %s <= sender%d@client%d.example H=mail%d.client.example (client%d.example) [%s] P=esmtps X=TLS1.3:ECDHE_X25519__RSA_PSS_RSAE_SHA256__AES_256_GCM:256 CV=no S=%d id=%d.%d@client%d.example for", now, id, n%4999, n%977, n%31, n%977, peer, 800+m.rand.IntN(90000), n, m.rand.IntN(1e9), n%977)
			for _, a := range to {
				fmt.Fprintf(w, " %s", a)
			}
			fmt.Fprintln(w)
		case step <= len(to):
			arrow := "=>"
			if step > 1 {
				arrow = "->"
			}
			fmt.Fprintf(w, "%s %s %s %s R=central T=remote_smtp H=mail.inside.example [192.0.2.253] X=TLS1.3:ECDHE_X25519__RSA_PSS_RSAE_SHA256__AES_256_GCM:256 CV=yes C=\"250 2.0.0 Ok: queued as %X\"\n", now, id, arrow, to[step-1], m.rand.Uint32())
		default:
			fmt.Fprintf(w, "%s %s Completed\n", now, id)
			return false
		}
		step++
		return true
	}
}

func (m *made) postfix(n int) func(io.Writer) bool {
	id, peer := fmt.Sprintf("%010X", 0x4000000000+int64(n)*977), fmt.Sprintf("client%d.example[192.0.2.%d]", n%977, m.rand.IntN(250)+1)
	to, step, pid := fmt.Sprintf("user%d@%s", m.rand.IntN(500), m.domain()), 0, 1000+m.rand.IntN(9000)
	lines := []func() string{
		func() string { return fmt.Sprintf("smtpd[%d]: connect from %s", pid, peer) },
		func() string { return fmt.Sprintf("smtpd[%d]: %s: client=%s", pid, id, peer) },
		func() string {
			return fmt.Sprintf("cleanup[%d]: %s: message-id=<%d.%d@client%d.example>", pid+1, id, n, m.rand.IntN(1e9), n%977)
		},
		func() string {
			return fmt.Sprintf("qmgr[913]: %s: from=<sender%d@client%d.example>, size=%d, nrcpt=1 (queue active)", id, n%4999, n%977, 800+m.rand.IntN(90000))
		},
		func() string {
			return fmt.Sprintf("smtpd[%d]: disconnect from %s ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7", pid, peer)
		},
		func() string {
			return fmt.Sprintf("smtp[%d]: %s: to=<%s>, relay=mail.inside.example[192.0.2.253]:25, delay=0.4, delays=0.1/0/0.1/0.2, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as %X)", pid+2, id, to, m.rand.Uint32())
		},
		func() string { return fmt.Sprintf("qmgr[913]: %s: removed", id) },
	}
	if m.rand.IntN(5) == 0 {
		lines = []func() string{lines[0], func() string {
			return fmt.Sprintf("smtpd[%d]: NOQUEUE: reject: RCPT from %s: 550 5.1.1 <%s>: Recipient address rejected: User unknown in relay recipient table; from=<s%d@sender.example> to=<%s> proto=ESMTP helo=<client%d.example>", pid, peer, to, n%4999, to, n%977)
		}, lines[4]}
	}
	return func(w io.Writer) bool {
		fmt.Fprintf(w, "%s gw postfix/%s\n", m.at.Format(time.Stamp), lines[step]())
		step++
		return step < len(lines)
	}
}

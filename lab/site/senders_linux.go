package site

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Stream is mail from everybody else to all domains of a site, at a steady rate: each
// message is handed by smtp-source to the senders' mail server, which looks up its
// domain's MX, delivers it, and tries again as such servers do. A message is known by
// the local part of its sender, which is its number.
type Stream struct {
	w       *World
	stop    context.CancelFunc
	running sync.WaitGroup

	mu   sync.Mutex
	sent []Sent
	bad  []error
}

// Sent is a message that the senders' server has.
type Sent struct {
	ID     string
	Domain string
	At     time.Time
}

// Send begins a stream: one message each period, to the site's domains in turn, until
// End.
func (w *World) Send(ctx context.Context, every time.Duration) *Stream {
	s := &Stream{w: w}
	ctx, s.stop = context.WithCancel(ctx)
	s.running.Go(func() {
		err := w.Senders.In(func() error { s.run(ctx, every); return nil })
		if err != nil {
			s.note(Sent{}, err)
		}
	})
	return s
}

// run starts one smtp-source after the other, in the senders' namespace.
func (s *Stream) run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	domains := s.w.Hosted()
	program := find("smtp-source")
	for {
		n := int(s.w.numbered.Add(1))
		m := Sent{ID: fmt.Sprintf("m%06d", n), Domain: domains[n%len(domains)]}
		c := exec.Command(program, "-m", "1", "-l", "600", "-M", "mx."+SenderZone, "-f", m.ID+"@"+SenderZone, "-t", "info@"+m.Domain, "-S", m.ID, "127.0.0.1:25") //nolint:noctx // what was begun is finished
		var words strings.Builder
		c.Stdout, c.Stderr = &words, &words
		m.At = time.Now()
		if err := c.Start(); err != nil {
			s.note(Sent{}, err)
			return
		}
		s.running.Go(func() {
			if err := c.Wait(); err != nil {
				s.note(Sent{}, fmt.Errorf("smtp-source: %w: %s", err, words.String()))
				return
			}
			s.note(m, nil)
		})
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Stream) note(m Sent, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.bad = append(s.bad, err)
	} else {
		s.sent = append(s.sent, m)
	}
}

// Sent is how many messages the senders' server has taken so far.
func (s *Stream) Sent() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sent)
}

// End ends the stream. What the senders' server took is given, and why it did not take
// others.
func (s *Stream) End() ([]Sent, error) {
	s.stop()
	s.running.Wait()
	return s.sent, errors.Join(s.bad...)
}

// Greets tells whether the old server lets the world in, in both families.
func (w *World) Greets(ctx context.Context) error {
	return w.Spammer.In(func() error {
		for _, a := range []netip.Addr{OldAddr.V4(), OldAddr.V6()} {
			conn, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "tcp", netip.AddrPortFrom(a, 25).String())
			if err != nil {
				return err
			}
			conn.Close()
		}
		return nil
	})
}

// A Fate is what became of a message.
type Fate struct {
	Sent
	Accepted  []time.Time // when another server accepted it, in whole seconds
	By        []string    // the hosts that did
	Deferred  int         // how often it was put off
	Bounced   bool        // some server gave it up
	Delivered []time.Time // when it came into a mailbox
}

// A Count is what became of a stream.
type Count struct {
	Sent, Accepted, Deferred, Delivered, Lost, Doubled, Bounced int
	Fates                                                       []Fate
}

// Fates tells what became of each message, by the senders' log, the mailboxes, and the
// logs of the servers behind.
func (w *World) Fates(sent []Sent) (Count, error) {
	fates := map[string]*Fate{}
	var c Count
	for _, m := range sent {
		fates[m.ID] = &Fate{Sent: m}
	}
	if err := eachLine(w.Elsewhere.Log(), w.departures(fates)); err != nil {
		return c, err
	}
	if err := w.arrivals(fates); err != nil {
		return c, err
	}
	for _, log := range []string{w.Exim[0].Log(), w.Exim[1].Log(), w.Postfix.Log()} {
		if err := eachLine(log, givenUp(fates)); err != nil {
			return c, err
		}
	}
	for _, m := range sent {
		f := fates[m.ID]
		c.Fates = append(c.Fates, *f)
		c.Sent++
		c.Deferred += f.Deferred
		if len(f.Accepted) > 0 {
			c.Accepted++
			if len(f.Delivered) == 0 {
				c.Lost++
			}
		}
		if len(f.Delivered) > 0 {
			c.Delivered++
		}
		if len(f.Delivered) > 1 {
			c.Doubled++
		}
		if f.Bounced {
			c.Bounced++
		}
	}
	return c, nil
}

var (
	queuedAs  = regexp.MustCompile(`postfix/qmgr\[\d+\]: (\w+): from=<(m\d{6})@`)
	delivered = regexp.MustCompile(`postfix/smtp\[\d+\]: (\w+): to=<[^>]*>, relay=([^,]*), .*status=(\w+)`)
	bouncesTo = regexp.MustCompile(`(?:\*\* |status=bounced|Completed.*\*\*).*`)
	someID    = regexp.MustCompile(`\bm\d{6}@`)
)

// departures reads the senders' log.
func (w *World) departures(fates map[string]*Fate) func(line string) {
	ids := map[string]string{} // of the queue -> ours
	return func(line string) {
		if m := queuedAs.FindStringSubmatch(line); m != nil {
			ids[m[1]] = m[2]
			return
		}
		m := delivered.FindStringSubmatch(line)
		if m == nil {
			return
		}
		f := fates[ids[m[1]]]
		if f == nil {
			return
		}
		switch m[3] {
		case "sent":
			host, _, _ := strings.Cut(m[2], "[")
			f.By = append(f.By, host)
			f.Accepted = append(f.Accepted, stamped(line))
		case "deferred":
			f.Deferred++
		case "bounced":
			f.Bounced = true
		}
	}
}

// givenUp reads a log of a server behind: what it gives up names the sender.
func givenUp(fates map[string]*Fate) func(line string) {
	senders := map[string]string{} // of the queue -> ours
	return func(line string) {
		f := strings.Fields(line)
		if m := queuedAs.FindStringSubmatch(line); m != nil {
			senders[m[1]] = m[2]
			return
		}
		if len(f) > 4 && f[3] == "<=" && someID.MatchString(f[4]) { // Exim's: date time id <= sender
			senders[f[2]] = strings.SplitN(f[4], "@", 2)[0]
			return
		}
		switch {
		case len(f) > 3 && f[3] == "**":
			if x := fates[senders[f[2]]]; x != nil {
				x.Bounced = true
			}
		case bouncesTo.MatchString(line) && strings.Contains(line, "status=bounced") && len(f) > 5:
			if x := fates[senders[strings.TrimSuffix(f[5], ":")]]; x != nil {
				x.Bounced = true
			}
		}
	}
}

// stamped is the time of a line of Postfix's log, which has no year.
func stamped(line string) time.Time {
	if len(line) < 15 {
		return time.Time{}
	}
	t, err := time.ParseInLocation("Jan _2 15:04:05 2006", line[:15]+time.Now().Format(" 2006"), time.Local)
	if err != nil {
		return time.Time{}
	}
	return t
}

func eachLine(path string, f func(line string)) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		f(lines.Text())
	}
	return lines.Err()
}

// arrivals looks into all mailboxes, and into that of the senders, where bounces go.
func (w *World) arrivals(fates map[string]*Fate) error {
	for _, box := range []struct {
		mail    string
		bounces bool
	}{{w.Postfix.Mail, false}, {w.Elsewhere.Mail, true}} {
		for _, folder := range []string{"new", "cur"} {
			files, err := filepath.Glob(filepath.Join(box.mail, "*", "*", folder, "*"))
			if err != nil {
				return err
			}
			for _, file := range files {
				id, to, err := written(file)
				if err != nil {
					return err
				}
				switch f := fates[id]; {
				case box.bounces:
					if f := fates[to]; f != nil {
						f.Bounced = true
					}
				case f != nil && strings.Contains(file, string(filepath.Separator)+f.Domain+string(filepath.Separator)):
					f.Delivered = append(f.Delivered, arrivedAt(file))
				case f != nil:
					return fmt.Errorf("%s is in the wrong mailbox: %s", id, file)
				}
			}
		}
	}
	return nil
}

var (
	fromHeader = regexp.MustCompile(`(?m)^From: <?(m\d{6})@`)
	forHeader  = regexp.MustCompile(`(?m)^(?:Delivered-To|X-Original-To): <?(m\d{6})@`)
)

// written tells a message's sender, and for whom it was delivered, if they are ours.
func written(file string) (from, to string, err error) {
	in, err := os.Open(file)
	if err != nil {
		return "", "", err
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, 8<<10))
	if m := fromHeader.FindSubmatch(text); m != nil {
		from = string(m[1])
	}
	if m := forHeader.FindSubmatch(text); m != nil {
		to = string(m[1])
	}
	return from, to, err
}

var maildirTime = regexp.MustCompile(`^(\d+)\.V\w+M(\d+)\.`)

// arrivedAt is when Postfix wrote a message, by its file's name: 1700000000.V801I2aM3456.host
func arrivedAt(file string) time.Time {
	m := maildirTime.FindStringSubmatch(filepath.Base(file))
	if m == nil {
		return time.Time{}
	}
	seconds, _ := strconv.ParseInt(m[1], 10, 64) // digits
	micros, _ := strconv.ParseInt(m[2], 10, 64)
	return time.Unix(seconds, micros*1000)
}

var connects = regexp.MustCompile(`postfix/smtpd\[\d+\]: connect from [^\[]*\[([^\]]*)\]`)

// Connections are how many times the old server was called, by the minute at which each
// began: from the world, and from the site itself.
func (w *World) Connections(from, until time.Time) (world, site int, err error) {
	err = eachLine(w.Postfix.Log(), func(line string) {
		m := connects.FindStringSubmatch(line)
		if m == nil {
			return
		}
		at := stamped(line)
		a, perr := netip.ParseAddr(m[1])
		switch {
		case perr != nil || at.Before(from) || !at.Before(until):
		case ofTheSite(a):
			site++
		default:
			world++
		}
	})
	return world, site, err
}

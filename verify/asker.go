package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
	"golang.org/x/time/rate"

	"mxcutover/traffic"
)

// Bounds of one conversation in which recipients are asked for. Servers take many
// refused recipients for an attack: Postfix hangs up at 20 errors, and delays each
// reply from 10 on.
const (
	askBatch   = 20  // recipients after one MAIL
	askTalk    = 200 // after one connect
	askRefused = 8   // that were refused, after one connect
	askTries   = 3   // connections in vain, and questions that were put off
)

// errKeep means that answers cannot be kept: asking on would be in vain.
var errKeep = errors.New("the answers cannot be kept")

// errNoUTF8 means that a server takes no address beyond ASCII.
var errNoUTF8 = errors.New("it does not offer SMTPUTF8")

// An asker asks one server, in one conversation at a time.
type asker struct {
	*Checker
	server Server
	p      Parity
	keep   func(Answer) error
	pace   *rate.Limiter

	talk    *talk
	utf8    bool // this MAIL allows for such addresses
	batch   int  // asked since MAIL; -1 = there is no MAIL
	total   int  // since the connect
	refused int
}

func newAsker(c *Checker, s Server, p Parity, keep func(Answer) error) *asker {
	a := &asker{Checker: c, server: s, p: p, keep: keep, pace: rate.NewLimiter(rate.Inf, 1), batch: -1}
	if p.Rate > 0 {
		a.pace = rate.NewLimiter(rate.Limit(p.Rate), 1)
	}
	return a
}

// A later question is one that was put off.
type later struct {
	address string
	due     time.Time
}

// run asks for all addresses, and again for those that were put off, with the same
// sender from the same place, as greylisting wants it.
func (a *asker) run(ctx context.Context) error {
	defer a.hangUp()
	var wait []later
	for _, address := range a.p.Addresses {
		known, ok := a.p.Known[[2]string{a.server.String(), address}]
		if ok && (known.Accepted() || known.Refused()) || !a.server.takes(address) {
			continue
		}
		wait = append(wait, later{address: address})
	}
	for try := 1; len(wait) > 0; try++ {
		var again []later
		for _, w := range wait {
			if time.Until(w.due) > time.Second {
				a.hangUp() // nobody keeps a line open for minutes
			}
			if err := sleepUntil(ctx, w.due); err != nil {
				return err
			}
			got, err := a.patient(ctx, w.address)
			if err != nil {
				return err
			}
			if got.Code/100 == 4 && try < askTries && !stops(got) {
				again = append(again, later{w.address, time.Now().Add(a.GreylistRetry)})
				continue
			}
			if err := a.keep(got); err != nil {
				return fmt.Errorf("%w: %w", errKeep, err)
			}
			if stops(got) {
				return &StopError{got}
			}
		}
		wait = again
	}
	return nil
}

func sleepUntil(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stops tells whether an answer is about us, and not about the recipient.
func stops(a Answer) bool {
	policy := a.Code == 554 || a.Code >= 500 && strings.HasPrefix(a.Enhanced, "5.7.")
	return a.Code == 421 || policy && !traffic.Nobody([]byte(a.Enhanced+" "+a.Text))
}

// patient asks for one address, over a new connection if that one breaks.
func (a *asker) patient(ctx context.Context, address string) (Answer, error) {
	for try := 1; ; try++ {
		got, err := a.ask(ctx, address)
		if err == nil {
			return got, nil
		}
		a.hangUp()
		if code, _ := reply(err); code != 0 { // of the greeting, or of MAIL
			got := a.answer(address, err)
			if stops(got) || code >= 500 {
				return got, &StopError{got}
			}
		}
		if ctx.Err() != nil || try >= askTries {
			return got, err
		}
		if err := sleepUntil(ctx, time.Now().Add(time.Duration(try)*a.Connect/10)); err != nil {
			return got, err
		}
	}
}

// ask asks once. An error is one of the conversation, not of the recipient.
func (a *asker) ask(ctx context.Context, address string) (Answer, error) {
	for {
		switch err := a.ready(ctx, address); {
		case errors.Is(err, errNoUTF8): // nor can anybody send mail there (RFC 6531 section 3.1)
			got := a.answer(address, err)
			got.Code, got.Enhanced = 553, "5.6.7"
			return got, nil
		case err != nil:
			return Answer{}, err
		}
		if err := a.pace.Wait(ctx); err != nil {
			return Answer{}, err
		}
		err := a.talk.Rcpt(address, nil)
		got := a.answer(address, err)
		switch {
		case err != nil && got.Code == 0:
			return Answer{}, err
		case got.Code == 452 && a.batch > 0: // too many recipients (RFC 5321 section 4.5.3.1.10)
			a.batch = askBatch
			continue
		case got.Code == 421:
			a.hangUp()
		case !got.Accepted():
			a.refused++
		}
		a.batch++
		a.total++
		return got, nil
	}
}

// ready makes a conversation in which RCPT may be said.
func (a *asker) ready(ctx context.Context, address string) error {
	utf8 := strings.ContainsFunc(address, func(r rune) bool { return r >= 0x80 })
	if a.talk != nil && (a.refused >= askRefused || a.total >= askTalk) {
		a.hangUp()
	}
	if a.talk == nil {
		t, err := a.greet(ctx, a.here(), a.server.Addr)
		if err != nil {
			return err
		}
		a.talk, a.total, a.refused = t, 0, 0
	}
	if a.batch >= 0 && (a.batch >= askBatch || utf8 != a.utf8) {
		if err := a.talk.Reset(); err != nil {
			return fmt.Errorf("RSET: %w", err)
		}
		a.batch = -1
	}
	if offered, _ := a.talk.Extension("SMTPUTF8"); utf8 && !offered {
		return errNoUTF8
	}
	if a.batch < 0 {
		if err := a.talk.Mail(a.From, &smtp.MailOptions{UTF8: utf8}); err != nil {
			return fmt.Errorf("MAIL FROM: %w", err)
		}
		a.batch, a.utf8 = 0, utf8
	}
	return nil
}

// hangUp ends the conversation, so that nothing is delivered: RSET comes before QUIT,
// which would do as well, and DATA was never said.
func (a *asker) hangUp() {
	if a.talk == nil {
		return
	}
	if a.batch >= 0 {
		_ = a.talk.Reset() // it may be over already
	}
	a.talk.Close()
	a.talk, a.batch = nil, -1
}

func (a *asker) answer(address string, err error) Answer {
	got := Answer{Server: a.server.String(), Address: address, Code: 250, At: a.Now().UTC()}
	if err == nil {
		return got
	}
	got.Code, got.Text = 0, short(err.Error())
	var e *smtp.SMTPError
	if errors.As(err, &e) {
		got.Code, got.Text = e.Code, short(e.Message)
		if ec := e.EnhancedCode; ec != smtp.NoEnhancedCode && ec != smtp.EnhancedCodeNotSet {
			got.Enhanced = fmt.Sprintf("%d.%d.%d", ec[0], ec[1], ec[2])
		}
	}
	return got
}

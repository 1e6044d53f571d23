package lab

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

// A mainlog is the gateway's log, in the form of Exim's. Whoever writes holds the
// gateway's lock.
type mainlog struct{ file *os.File }

// LogTo makes the gateway log to a file, from now on: what it accepts, forwards,
// defers, gives up and refuses, as Exim does in its main log.
func (w *World) LogTo(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	w.Gateway.mu.Lock()
	defer w.Gateway.mu.Unlock()
	if err := w.Gateway.log.close(); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	w.Gateway.log.file = f
	return nil
}

// endLog closes the log, when all servers have stopped.
func (w *World) endLog() error {
	if w.Gateway == nil {
		return nil // the start failed
	}
	w.Gateway.mu.Lock()
	defer w.Gateway.mu.Unlock()
	return w.Gateway.log.close()
}

func (l *mainlog) close() error {
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

func (l *mainlog) line(now time.Time, format string, args ...any) {
	if l.file != nil {
		_, _ = fmt.Fprintf(l.file, now.Format("2006-01-02 15:04:05.000 -0700 ")+format+"\n", args...) // mail goes on without a log
	}
}

// logID is a message's id in the form of Exim 4.97.
func logID(n uint64) string { return fmt.Sprintf("1xLAB0-%011d-0000", n) }

func (in *inbound) logged() string { return fmt.Sprintf("H=(%s) [%s]", in.helo, in.peer) }

func (l *mainlog) refused(now time.Time, in *inbound, to string, err error) {
	how := "rejected"
	if !lasting(err) {
		how = "temporarily rejected"
	}
	l.line(now, "%s F=<%s> %s RCPT <%s>: %s", in.logged(), in.from, how, to, said(err))
}

func (l *mainlog) accepted(now time.Time, in *inbound, id uint64, size int) {
	from := in.from
	if from == "" {
		from = "<>"
	}
	l.line(now, "%s <= %s %s P=esmtp S=%d for %s", logID(id), from, in.logged(), size, strings.Join(in.to, " "))
}

// forwarded logs what became of a message for one recipient.
func (l *mainlog) forwarded(now time.Time, m *outgoing, to string, err error) {
	switch {
	case err == nil:
		l.line(now, `%s => %s R=old T=smtp H=%s [%s] C="250 2.0.0 OK"`, logID(m.id), to, oldHost, m.host.old.Addr())
	case lasting(err):
		l.line(now, "%s ** %s R=old T=smtp H=%s [%s]: %s", logID(m.id), to, oldHost, m.host.old.Addr(), said(err))
	default:
		l.line(now, "%s == %s R=old T=smtp defer (-44): %s", logID(m.id), to, said(err))
	}
}

// said is an error in one line.
func said(err error) string {
	text := err.Error()
	var reply *smtp.SMTPError
	if errors.As(err, &reply) {
		text = fmt.Sprintf("%d %d.%d.%d %s", reply.Code, reply.EnhancedCode[0], reply.EnhancedCode[1], reply.EnhancedCode[2], reply.Message)
	}
	return strings.Join(strings.Fields(text), " ")
}

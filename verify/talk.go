package verify

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

// talk is one SMTP conversation (RFC 5321), as a client. It is our own, for what a
// probe wants to know and to say: how a server greets, TLS begun under the same
// name on the same connection, and addresses that no honest client would write.
// See docs/decisions/smtp-conversations.md. Replies that are not 2xx or 3xx are
// [smtp.SMTPError].
type talk struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte // the next command
	wait time.Duration
	end  func()
	heed func(verb string, err error) // is told each reply; may be nil

	banner  string            // the greeting's text (section 4.2)
	greeted time.Duration     // until it came
	name    string            // how the server calls itself in reply to EHLO (section 4.1.1.1)
	ext     map[string]string // what it offers, by upper case keyword
	clear   map[string]string // what it offered before TLS

	secure *tls.ConnectionState // nil = in clear text
	noTLS  error                // STARTTLS was offered, and came to nothing
}

// Bounds of a reply. RFC 5321 section 4.5.3.1.5 allows 512 bytes a line.
const (
	maxLine  = 2048
	maxLines = 200
)

// newTalk reads the greeting.
func newTalk(conn net.Conn, wait time.Duration) (*talk, error) {
	t := &talk{conn: conn, in: bufio.NewReaderSize(conn, maxLine), wait: wait, end: func() {}}
	if err := t.deadline(wait); err != nil {
		return t, err
	}
	begun := time.Now()
	text, err := t.reply()
	t.greeted = time.Since(begun)
	if err != nil {
		return t, err
	}
	t.banner, _, _ = strings.Cut(text, "\n")
	return t, nil
}

func (t *talk) deadline(wait time.Duration) error { return t.conn.SetDeadline(time.Now().Add(wait)) }

// command says one line and gives the reply's text.
func (t *talk) command(verb, rest string) (string, error) {
	if strings.ContainsAny(rest, "\r\n") {
		return "", fmt.Errorf("%s: a line break within a command", verb)
	}
	if err := t.deadline(t.wait); err != nil {
		return "", err
	}
	t.out = append(append(append(t.out[:0], verb...), rest...), "\r\n"...)
	if _, err := t.conn.Write(t.out); err != nil {
		return "", err
	}
	text, err := t.reply()
	if t.heed != nil {
		t.heed(verb, err)
	}
	return text, err
}

// reply reads one reply, of one line or many (section 4.2.1).
func (t *talk) reply() (string, error) {
	var code int
	var text strings.Builder
	for n := 0; ; n++ {
		line, err := t.in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull), n == maxLines:
			return "", errors.New("its reply has no end")
		case errors.Is(err, io.EOF):
			return "", io.ErrUnexpectedEOF
		case err != nil:
			return "", err
		}
		c, more, words, err := replyLine(line)
		if err != nil || n > 0 && c != code {
			return "", fmt.Errorf("%.80q is no reply of SMTP", line)
		}
		if code = c; n > 0 {
			text.WriteByte('\n')
		}
		text.WriteString(words)
		if !more {
			break
		}
	}
	if code >= 400 {
		return "", refused(code, text.String())
	}
	return text.String(), nil
}

// replyLine takes one line of a reply apart: its code, whether another one
// follows, its text.
func replyLine(line []byte) (code int, more bool, text string, err error) {
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || line[1] < '0' || line[1] > '9' || line[2] < '0' || line[2] > '9' {
		return 0, false, "", errors.New("no code")
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, false, "", nil
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, false, "", errors.New("no code")
	}
	return code, line[3] == '-', string(line[4:]), nil
}

// refused is a reply as an error, with its enhanced code (RFC 3463) apart. The code
// stands in each line (RFC 2034 section 4).
func refused(code int, text string) *smtp.SMTPError {
	e := &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCodeNotSet, Message: text}
	word, _, _ := strings.Cut(text, " ")
	var c smtp.EnhancedCode
	if n, err := fmt.Sscanf(word, "%1d.%3d.%3d", &c[0], &c[1], &c[2]); n != 3 || err != nil || c[0] != code/100 || word != fmt.Sprintf("%d.%d.%d", c[0], c[1], c[2]) {
		return e
	}
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimSpace(strings.TrimPrefix(l, word))
	}
	e.EnhancedCode, e.Message = c, strings.Join(lines, "\n")
	return e
}

// hello says EHLO, or HELO to a server that does not know that (section 3.2).
func (t *talk) hello(name string) error {
	text, err := t.command("EHLO", " "+name)
	if code, _ := reply(err); code == 500 || code == 502 {
		text, err = t.command("HELO", " "+name)
	}
	if err != nil {
		return err
	}
	lines := strings.Split(text, "\n")
	t.name, _, _ = strings.Cut(lines[0], " ")
	t.ext = make(map[string]string, len(lines))
	for _, l := range lines[1:] {
		keyword, rest, _ := strings.Cut(l, " ")
		t.ext[strings.ToUpper(keyword)] = rest
	}
	return nil
}

// Extension tells whether the server offers an extension, and its parameters.
func (t *talk) Extension(keyword string) (bool, string) {
	rest, ok := t.ext[keyword]
	return ok, rest
}

// startTLS begins TLS (RFC 3207), whatever the certificate. Who waits for EHLO in
// clear text may be told what never was said by the server: nothing is kept.
func (t *talk) startTLS(ctx context.Context, conf *tls.Config) error {
	if _, err := t.command("STARTTLS", ""); err != nil {
		return err
	}
	if t.in.Buffered() > 0 {
		return errors.New("it says more before TLS begins than its reply to STARTTLS")
	}
	secure := tls.Client(t.conn, conf)
	if err := t.deadline(t.wait); err != nil {
		return err
	}
	if err := secure.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	state := secure.ConnectionState()
	t.conn, t.secure, t.name, t.ext, t.clear = secure, &state, "", nil, t.ext
	t.in.Reset(secure)
	return nil
}

// Mail begins a message. Of the options, size, 8BITMIME and SMTPUTF8 are said if
// the server offers them.
func (t *talk) Mail(from string, o *smtp.MailOptions) error {
	rest := " FROM:<" + from + ">"
	if o != nil {
		if _, ok := t.ext["SIZE"]; ok && o.Size > 0 {
			rest += fmt.Sprintf(" SIZE=%d", o.Size)
		}
		if _, ok := t.ext["8BITMIME"]; ok && o.Body == smtp.Body8BitMIME {
			rest += " BODY=8BITMIME"
		}
		if _, ok := t.ext["SMTPUTF8"]; ok && o.UTF8 {
			rest += " SMTPUTF8"
		}
	}
	_, err := t.command("MAIL", rest)
	return err
}

// Rcpt names a recipient.
func (t *talk) Rcpt(to string, _ *smtp.RcptOptions) error {
	_, err := t.command("RCPT", " TO:<"+to+">")
	return err
}

// Reset takes back what was said of a message.
func (t *talk) Reset() error {
	_, err := t.command("RSET", "")
	return err
}

// Data begins the text. Closing the writer ends it, and gives the reply.
func (t *talk) Data() (io.WriteCloser, error) {
	if _, err := t.command("DATA", ""); err != nil {
		return nil, err
	}
	if err := t.deadline(2 * t.wait); err != nil {
		return nil, err
	}
	b := bufio.NewWriter(t.conn)
	return &dataWriter{t, b, textproto.NewWriter(b).DotWriter()}, nil
}

type dataWriter struct {
	t   *talk
	out *bufio.Writer
	io.WriteCloser
}

// Close says that the text is whole, and waits for the server to take it.
func (w *dataWriter) Close() error {
	if err := w.WriteCloser.Close(); err != nil {
		return err
	}
	if err := w.out.Flush(); err != nil {
		return err
	}
	if err := w.t.deadline(2 * w.t.wait); err != nil {
		return err
	}
	_, err := w.t.reply()
	if w.t.heed != nil {
		w.t.heed("end of DATA", err)
	}
	return err
}

// quitTime is how long a server may take to say good-bye.
const quitTime = 2 * time.Second

// Close ends the conversation, politely if that is still possible.
func (t *talk) Close() {
	if t.deadline(min(t.wait, quitTime)) == nil {
		if _, err := t.conn.Write([]byte("QUIT\r\n")); err == nil {
			_, _ = t.reply() // it may be over already
		}
	}
	t.conn.Close()
	t.end()
}

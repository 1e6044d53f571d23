package verify

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/textproto"
)

// Bounds of a bounce.
const (
	maxBounce  = 256 << 10 // bytes read of it
	maxParts   = 40
	maxNested  = 6
	maxReports = 20 // recipients in one delivery status
)

// A bounce is a message to our sender about one that could not be delivered, or
// not yet.
type bounce struct {
	text   string // all that can be read in it: where a token is looked for
	action string // "failed", "delayed", ... (RFC 3464 section 2.3.3); "" if it has no report
	said   string // the status and what the server said, or the subject
}

var (
	errNoBounce = errors.New("no bounce")
	statusCode  = regexp.MustCompile(`[245]\.\d{1,3}\.\d{1,3}`)
)

// parseBounce reads a delivery status notification (RFC 3464), or a mail without
// a sender that says what happened in its own words. A probe that comes back as it
// is, and mail from people, is none.
func parseBounce(text string) (bounce, error) {
	e, err := message.Read(strings.NewReader(text))
	if err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
		return bounce{}, err
	}
	if e.Header.Has(tokenHeader) {
		return bounce{}, errNoBounce
	}
	kind, _, _ := e.Header.ContentType() // an odd one is no report
	null := strings.TrimSpace(e.Header.Get("Return-Path")) == "<>" || strings.Contains(strings.ToLower(e.Header.Get("From")), "mailer-daemon")
	if kind != "multipart/report" && !null {
		return bounce{}, errNoBounce
	}
	b := &reader{left: maxBounce, parts: maxParts}
	b.read(e, maxNested)
	out := bounce{text: b.text.String(), action: b.action, said: b.said}
	if out.said == "" {
		out.said = e.Header.Get("Subject")
		if code := statusCode.FindString(out.text); code != "" {
			out.said = code + " " + out.said
		}
	}
	out.said = oneLine(out.said)
	return out, nil
}

// A reader collects what the parts of a bounce say.
type reader struct {
	left, parts  int
	text         strings.Builder
	action, said string
}

func (r *reader) read(e *message.Entity, depth int) {
	if r.parts--; r.parts < 0 || depth == 0 {
		return
	}
	if parts := e.MultipartReader(); parts != nil {
		for r.parts >= 0 {
			p, err := parts.NextPart()
			if p == nil || err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
				return // what comes after is cut off
			}
			r.read(p, depth-1)
		}
		return
	}
	body, err := io.ReadAll(io.LimitReader(e.Body, int64(max(0, r.left))))
	r.left -= len(body)
	r.text.Write(body)
	r.text.WriteByte('\n')
	kind, _, _ := e.Header.ContentType() // an odd one is text
	if err == nil && (kind == "message/delivery-status" || kind == "message/global-delivery-status") {
		r.report(body)
	}
}

// report reads a delivery status: one group of fields about the message, and one
// for each recipient. Of several recipients, what failed counts.
func (r *reader) report(body []byte) {
	in := bufio.NewReader(bytes.NewReader(body))
	for range maxReports + 1 {
		h, err := textproto.ReadHeader(in)
		if action := strings.ToLower(strings.TrimSpace(h.Get("Action"))); action != "" && r.action != "failed" {
			r.action = action
			r.said = h.Get("Status")
			if said := h.Get("Diagnostic-Code"); said != "" {
				r.said += " " + said
			}
		}
		if err != nil {
			return
		}
	}
}

// bounced reads a bounce, and tells whose probe came back; false if it is about
// none that anybody waits for.
func (a *arrivals) bounced(text string) bool {
	b, err := parseBounce(text)
	if err != nil {
		return false
	}
	ours := false
	for _, token := range a.tokens() {
		if !strings.Contains(b.text, token) {
			continue
		}
		switch b.action {
		case "delayed":
			ours = a.tell(token, outcome{where: "a delay notice", waits: b.said}) || ours
		case "delivered", "relayed", "expanded": // nobody asked for these
		default:
			ours = a.tell(token, outcome{where: "a bounce", failed: b.said}) || ours
		}
	}
	return ours
}

// maxSaid bounds what is quoted of a server's words, in bytes.
const maxSaid = 400

// oneLine is foreign text on one line, shortened.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return strings.ToValidUTF8(s[:min(len(s), maxSaid)], "")
}

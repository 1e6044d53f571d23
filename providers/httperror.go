package providers

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Repeats of what may be repeated.
const (
	maxRepeats = 5
	firstPause = 200 * time.Millisecond // doubled each time, and a random part of it
	maxWait    = 30 * time.Second       // of what Retry-After asks for
)

// again tells whether a call is repeated after an error, and after what pause.
func (a *api) again(c call, err error, try int) (time.Duration, bool) {
	if err == nil || try >= maxRepeats || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) && c.writes() {
		return 0, false
	}
	var e *apiError
	answered := errors.As(err, &e)
	switch {
	case !errors.Is(err, ErrTransient):
		return 0, false
	case c.writes() && !answered: // nothing was sent; the caller decides
		return 0, false
	case answered && e.wait > maxWait:
		return 0, false
	}
	pause := firstPause << (try - 1)
	pause = pause/2 + rand.N(pause/2)
	if answered {
		pause = max(pause, e.wait)
	}
	return pause, true
}

func pauseFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cut is the error of a request without a whole answer.
func (a *api) cut(where string, c call, sent bool, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // the text around it has the whole address
	}
	err = &cleaned{a.clean(err.Error()), err} // it may quote what is no HTTP
	told := fmt.Errorf("%s: no answer: %w", where, err)
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.As(err, &certificate), errors.As(err, &authority):
		return fmt.Errorf("%s: the server is not who it should be: %w", where, err)
	case errors.Is(err, errTooLong):
		told = fmt.Errorf("%s: %w", where, err)
	}
	switch {
	case c.writes() && sent:
		return Unanswered(a.fence, told)
	case c.writes():
		return Transient(fmt.Errorf("%w; nothing was sent", told))
	case errors.Is(err, errTooLong):
		return told
	}
	return Transient(told)
}

// refused is the error of an answer that is none of success.
func (a *api) refused(where string, c call, answer *http.Response, text []byte) error {
	e := &apiError{Status: answer.StatusCode, wait: retryAfter(answer.Header.Get("Retry-After"), time.Now())}
	if e.wait == 0 && a.wait != nil {
		e.wait = a.wait(answer.Header, time.Now())
	}
	e.words = strings.TrimSpace(string(text))
	if a.complaint != nil {
		e.Code, e.words = a.complaint(e.Status, text)
	}
	e.Code, e.words = a.clean(e.Code), a.clean(e.words)
	told := fmt.Errorf("%s: %w", where, e)
	busy := e.Status == http.StatusTooManyRequests || a.throttled != nil && a.throttled(e.Status, e.Code)
	switch {
	case busy:
		return Transient(fmt.Errorf("%w; the account's requests are limited, lower per_second or writes", told))
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden, a.expired != nil && a.expired(e.Status, e.Code):
		return fmt.Errorf("%w: %s: renew it, and allow it to read and change the zone; %w", ErrCredential, a.credential, told)
	case e.Status == http.StatusNotFound:
		return fmt.Errorf("%w: %w", ErrNoZone, told)
	case e.Status < 500 && e.Status != http.StatusRequestTimeout:
		return told
	case c.writes():
		return Unanswered(a.fence, told)
	}
	return Transient(told)
}

// retryAfter reads the header of RFC 9110 section 10.2.3: seconds or a date.
func retryAfter(v string, now time.Time) time.Duration {
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}

var errTooLong = errors.New("the answer is too long")

// readBounded reads at most limit octets; more are an error.
func readBounded(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		return b[:limit], fmt.Errorf("%w: above %d octets", errTooLong, limit)
	}
	return b, err
}

// clean takes secrets out of a text that others wrote, and bounds it. It is
// quoted where it is shown.
func (a *api) clean(s string) string {
	secrets := a.secrets
	if a.fresh != nil {
		secrets = append(a.fresh(), secrets...)
	}
	for _, secret := range secrets {
		for _, form := range spellings(secret) {
			s = strings.ReplaceAll(s, form, "***")
		}
	}
	return fmt.Sprintf("%.2000s", s)
}

// spellings are the ways in which a text is written into addresses, JSON and
// HTML.
func spellings(secret string) []string {
	if secret == "" {
		return nil
	}
	out := []string{secret}
	for _, e := range []string{url.QueryEscape(secret), url.PathEscape(secret)} {
		out = append(out, e, lowerHex(e))
	}
	j, err := json.Marshal(secret)
	if err == nil {
		in := unquote(string(j))
		plain := strings.NewReplacer(`\u0026`, "&", `\u003c`, "<", `\u003e`, ">").Replace(in)
		out = append(out, in, plain, strings.ReplaceAll(plain, "/", `\/`), strings.ReplaceAll(in, "/", `\/`))
	}
	h := html.EscapeString(secret)
	out = append(out, h, strings.NewReplacer("&#34;", "&quot;", "&#39;", "&apos;").Replace(h))
	for _, form := range out { // as errors of the library quote them
		out = append(out, unquote(strconv.Quote(form)))
	}
	return slices.Compact(slices.Sorted(slices.Values(out)))
}

// unquote takes the outer quotes off, and leaves escapes.
func unquote(s string) string { return s[1 : len(s)-1] }

// lowerHex is an address's text with %2f for %2F.
func lowerHex(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

// A cleaned error is one whose text has no secrets any more.
type cleaned struct {
	text string
	err  error
}

func (e *cleaned) Error() string { return e.text }
func (e *cleaned) Unwrap() error { return e.err }

// maxPages bounds one listing.
const maxPages = 10_000

// A page is what a listing needs to know of one page.
type page struct {
	next  string // the next page's number or mark; empty: this was the last
	first string // what tells this page from others, such as its first record's ID
}

// pages reads a listing page by page, from the page called first. A page that
// comes twice is an error: its vendor does not know our way of asking on.
func pages(first string, read func(at string) (page, error)) error {
	asked, seen := map[string]bool{}, map[string]bool{}
	for at, n := first, 0; ; n++ {
		if n == maxPages || asked[at] {
			return fmt.Errorf("the listing does not end: page %.40q comes again", at)
		}
		asked[at] = true
		p, err := read(at)
		switch {
		case err != nil:
			return err
		case p.first != "" && seen[p.first]:
			return fmt.Errorf("the listing repeats itself: page %.40q begins with %.60q again", at, p.first)
		case p.next == "":
			return nil
		}
		seen[p.first] = true
		at = p.next
	}
}

// nextLink is what a parameter is in the link to the next page (RFC 8288),
// within a listing that is asked on by that parameter alone. Empty: there is no
// such link.
func nextLink(head http.Header, parameter string) (string, error) {
	for _, field := range head.Values("Link") {
		for link := range strings.SplitSeq(field, ",") {
			target, attributes, _ := strings.Cut(strings.TrimSpace(link), ";")
			if !strings.Contains(strings.NewReplacer(" ", "", `"`, "").Replace(attributes), "rel=next") {
				continue
			}
			u, err := url.Parse(strings.Trim(target, "<>"))
			if err != nil || u.Query().Get(parameter) == "" {
				return "", fmt.Errorf("the link to the next page cannot be read: %.200q", link)
			}
			return u.Query().Get(parameter), nil
		}
	}
	return "", nil
}

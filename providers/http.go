package providers

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"mxcutover/rrset"

	"golang.org/x/time/rate"
)

// Bounds of a conversation with an API.
const (
	maxPage     = 32 << 20 // octets of one answer
	maxComplain = 64 << 10 // octets of an answer that is an error
	maxDetour   = 3        // redirections of one reading, all within the same host
)

// apiSettings are what all providers that are spoken to by HTTP have.
type apiSettings struct {
	Endpoint  string        `yaml:"endpoint" json:"endpoint"`
	Timeout   time.Duration `yaml:"timeout" json:"timeout"`
	PerSecond float64       `yaml:"per_second" json:"per_second"`
}

// apiDoc are their lines in a kind's settings.
const apiDoc = `  endpoint     the API's address, to reach it by another way; https, or http to a loopback address
  timeout      for one request and its answer (default 30s)
  per_second   requests a second at most, to stay below the account's limit (default: see the kind)`

// An apiKind says how one vendor's API is spoken to.
type apiKind struct {
	endpoint  string  // of the vendor; empty if each site has its own
	perSecond float64 // what the vendor allows an account, with room to spare
	// burst is how many requests may be sent at once after a rest; 0: those of a
	// second.
	burst int
	// sign adds the credential. It sees the body, for APIs that sign it, and must
	// not read r.Body.
	sign func(r *http.Request, body []byte) error
	// secrets are never shown, whoever sends them.
	secrets []string
	// fresh are those that come and go, such as access tokens; nil: there are none.
	fresh func() []string
	// complaint reads the vendor's error body: a code for the provider to branch
	// on, and its words. Nil: the body is shown as it is, bounded and quoted.
	complaint func(status int, body []byte) (code, words string)
	// throttled says that an answer means that nothing was done and that it may be
	// asked again, beside 429. Nil: none does.
	throttled func(status int, code string) bool
	// expired says that an answer means that the credential was not accepted, beside
	// 401 and 403. Nil: none does.
	expired func(status int, code string) bool
	// wait is for how long an answer asks to stay away, where the vendor has other
	// headers than Retry-After. Nil: it has none.
	wait func(h http.Header, now time.Time) time.Duration
	// fence is for how long a request may be carried out after it was sent; 0: the
	// time-out and a minute.
	fence time.Duration
	// credential is the setting to look at when it was not accepted.
	credential string
}

// An api is an account at one vendor, spoken to by HTTP. A provider embeds it:
// it has the methods Fence and Close.
type api struct {
	apiKind
	base    *url.URL
	client  *http.Client
	timeout time.Duration
	limit   *rate.Limiter
	pause   func(ctx context.Context, d time.Duration) error
}

// newAPI checks the settings. Nothing is sent.
func newAPI(k apiKind, s apiSettings) (*api, error) {
	if s.Endpoint == "" {
		s.Endpoint = k.endpoint
	}
	base, err := url.Parse(s.Endpoint)
	if err != nil || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		// It is not shown: what is too much in it may be a secret.
		return nil, errors.New(`endpoint: an address as in "https://api.example.net/v1" was expected, without a user, a query or a fragment`)
	}
	if base.Scheme != "https" && (base.Scheme != "http" || !loopback(base.Hostname())) {
		return nil, fmt.Errorf("endpoint %.80q: https was expected; http is for loopback addresses alone, since the credential would be readable on the way", s.Endpoint)
	}
	switch {
	case s.Timeout == 0:
		s.Timeout = 30 * time.Second
	case s.Timeout < 0 || s.Timeout > time.Hour:
		return nil, fmt.Errorf("timeout %v: more than 0 and at most 1h was expected", s.Timeout)
	}
	switch {
	case s.PerSecond == 0:
		s.PerSecond = k.perSecond
	case !(s.PerSecond > 0 && s.PerSecond <= 10_000): // no number, too
		return nil, fmt.Errorf("per_second %v: more than 0 and at most 10000 was expected", s.PerSecond)
	}
	if k.fence == 0 {
		k.fence = s.Timeout + time.Minute
	}
	base.Path = strings.TrimSuffix(base.Path, "/")
	a := &api{apiKind: k, base: base, timeout: s.Timeout, pause: pauseFor}
	a.limit = rate.NewLimiter(rate.Limit(s.PerSecond), max(1, k.burst, int(s.PerSecond)))
	a.client = &http.Client{
		CheckRedirect: a.redirected,
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: min(10*time.Second, s.Timeout)}).DialContext,
			TLSHandshakeTimeout: min(10*time.Second, s.Timeout), TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
			MaxIdleConnsPerHost: 8, MaxConnsPerHost: 16, IdleConnTimeout: time.Minute,
			ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 256 << 10,
		},
	}
	return a, nil
}

// loopback tells whether a host is this machine, by its address alone.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// redirected follows a reading within the API's own host: the credential goes
// nowhere else. A write is never repeated elsewhere.
func (a *api) redirected(r *http.Request, via []*http.Request) error {
	switch {
	case via[0].Method != http.MethodGet, len(via) > maxDetour, r.URL.Host != a.base.Host, r.URL.Scheme != a.base.Scheme:
		return http.ErrUseLastResponse
	}
	return nil
}

// Fence is for how long a write that got no answer may yet be carried out.
func (a *api) Fence() time.Duration { return a.fence }

// Close closes the connections that are not in use.
func (a *api) Close() error {
	a.client.CloseIdleConnections()
	return nil
}

// A call is one request.
type call struct {
	method string
	path   string // below the endpoint, segments escaped by url.PathEscape
	query  url.Values
	header http.Header
	body   any          // []byte as it is, else JSON
	into   any          // *[]byte as it is, else JSON; nil: not looked at
	head   *http.Header // of a good answer, for pages that are told there; nil: not looked at
	// reads tells that a method other than GET changes nothing, and may be
	// repeated.
	reads bool
	zone  string // canonical, for errors
}

// An apiError is an answer that is an error. Its text is bounded, quoted, and
// without secrets.
type apiError struct {
	Status int
	Code   string // the vendor's
	words  string
	wait   time.Duration // that was asked for
}

func (e *apiError) Error() string {
	s := fmt.Sprintf("HTTP status %d %s", e.Status, http.StatusText(e.Status))
	if e.Code != "" {
		s += fmt.Sprintf(", code %.60q", e.Code)
	}
	if e.words != "" {
		s += fmt.Sprintf(": %.300q", e.words)
	}
	return s
}

// do makes a call and decodes its answer. A reading is repeated while that may
// help. A write is repeated only where the answer says that nothing was done.
//
// Errors: [ErrCredential] (401, 403), [ErrNoZone] (404), [ErrTransient] if
// nothing was written and a repeat may help, [Unanswered] if a write was sent
// and it is not known what it did, and for all of them [apiError] if there was
// an answer.
func (a *api) do(ctx context.Context, c call) error {
	body, err := encoded(c.body)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		err := a.once(ctx, c, body)
		wait, again := a.again(c, err, try)
		if !again {
			return err
		}
		if perr := a.pause(ctx, wait); perr != nil {
			return err
		}
	}
}

// once makes one request.
func (a *api) once(ctx context.Context, c call, body []byte) error {
	where := a.where(c)
	if err := a.limit.Wait(ctx); err != nil {
		return Transient(fmt.Errorf("%s: nothing was sent: %w", where, err))
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	var got, sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { got.Store(true) }, WroteHeaders: func() { sent.Store(true) },
	})
	r, err := a.request(ctx, c, body)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	answer, err := a.client.Do(r)
	if err != nil {
		// HTTP/2 gives up without waiting for what is being written just then.
		over := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
		return a.cut(where, c, sent.Load() || over && got.Load(), err)
	}
	defer answer.Body.Close()
	limit := int64(maxPage)
	if answer.StatusCode/100 != 2 {
		limit = maxComplain
	}
	text, err := readBounded(answer.Body, limit)
	if answer.StatusCode/100 != 2 {
		return a.refused(where, c, answer, text)
	}
	if err != nil {
		return a.cut(where, c, true, err)
	}
	if c.head != nil {
		*c.head = answer.Header
	}
	return a.decoded(where, c, text)
}

// request is a signed request. The body can be sent once.
func (a *api) request(ctx context.Context, c call, body []byte) (*http.Request, error) {
	u := *a.base
	u.RawPath = a.base.EscapedPath() + c.path
	var err error
	if u.Path, err = url.PathUnescape(u.RawPath); err != nil {
		return nil, err
	}
	u.RawQuery = c.query.Encode()
	r, err := http.NewRequestWithContext(ctx, c.method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	r.Header.Set("User-Agent", "mxcutover")
	r.Header.Set("Accept", "application/json")
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	for k, v := range c.header {
		r.Header[k] = v
	}
	if a.sign != nil {
		return r, a.sign(r, body)
	}
	return r, nil
}

func encoded(body any) ([]byte, error) {
	switch v := body.(type) {
	case nil:
		return nil, nil
	case []byte:
		return v, nil
	}
	return json.Marshal(body)
}

// decoded reads a good answer. One to a write that cannot be read leaves it
// unknown what was done.
func (a *api) decoded(where string, c call, text []byte) error {
	var err error
	switch into := c.into.(type) {
	case nil:
	case *[]byte:
		*into = text
	default:
		if err = json.Unmarshal(text, into); err == nil && string(bytes.TrimSpace(text)) == "null" {
			err = errors.New("there is nothing in it")
		}
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: the answer cannot be read: %s", where, a.clean(err.Error()))
	if c.writes() {
		return Unanswered(a.fence, err)
	}
	return err
}

func (c call) writes() bool {
	return !c.reads && c.method != http.MethodGet && c.method != http.MethodHead
}

// where names what was asked for in errors, without query and credential.
func (a *api) where(c call) string {
	w := fmt.Sprintf("%s %s%s", c.method, a.base.Host, a.clean(c.path))
	if c.zone != "" {
		w += ", zone " + rrset.Bare(c.zone)
	}
	return w
}

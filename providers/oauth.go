package providers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Bounds of an access token.
const (
	maxToken     = 16 << 10         // octets
	maxTokenLife = 24 * time.Hour   // whatever the answer says
	tokenLife    = 5 * time.Minute  // where the answer says nothing
	tokenMargin  = 30 * time.Second // before its end, in which it is fetched anew
	maxShown     = 16               // tokens and grants that are kept out of errors
)

// A bearer fetches the access token of an account when it is needed, and again
// before it ends or when it is no longer accepted (RFC 6749 section 4, RFC 6750).
type bearer struct {
	api *api // of the token endpoint
	// grant is what is asked with: the form, and what in it must not be shown.
	grant func(now time.Time) (form url.Values, hide string, err error)
	now   func() time.Time
	turn  chan struct{} // holds one: whoever took it fetches, others wait

	mu    sync.Mutex
	token string
	until time.Time
	shown []string
}

// newBearer makes one for the token endpoint at k.endpoint.
func newBearer(k apiKind, s apiSettings, grant func(now time.Time) (url.Values, string, error)) (*bearer, error) {
	b := &bearer{grant: grant, now: time.Now, turn: make(chan struct{}, 1)}
	b.turn <- struct{}{}
	k.fresh, k.complaint = b.fresh, oauthComplaint
	s.Endpoint = ""
	var err error
	b.api, err = newAPI(k, s)
	return b, err
}

// Close closes the connections that are not in use.
func (b *bearer) Close() error { return b.api.Close() }

// do makes a call of a with the access token. One that is no longer accepted is
// fetched anew once: an answer of 401 means that nothing was done.
func (b *bearer) do(ctx context.Context, a *api, c call) error {
	for again := false; ; again = true {
		token, err := b.get(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", a.where(c), err)
		}
		with := c
		with.header = http.Header{"Authorization": {"Bearer " + token}}
		for k, v := range c.header {
			with.header[k] = v
		}
		err = a.do(ctx, with)
		var e *apiError
		if again || !errors.As(err, &e) || e.Status != http.StatusUnauthorized {
			return err
		}
		b.drop(token)
	}
}

// get gives the token. Many who ask at the same time fetch it once.
func (b *bearer) get(ctx context.Context) (string, error) {
	select {
	case <-b.turn:
	case <-ctx.Done():
		return "", Transient(fmt.Errorf("no access token: %w", ctx.Err()))
	}
	defer func() { b.turn <- struct{}{} }()
	now := b.now()
	b.mu.Lock()
	token := b.token
	if !now.Before(b.until) {
		token = ""
	}
	b.mu.Unlock()
	if token != "" {
		return token, nil
	}
	token, life, err := b.fetch(ctx, now)
	if err != nil {
		return "", err
	}
	b.hide(token)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.token, b.until = token, now.Add(life-min(tokenMargin, life/2))
	return token, nil
}

// drop forgets a token that was not accepted, unless there is another already.
func (b *bearer) drop(token string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.token == token {
		b.token = ""
	}
}

func (b *bearer) hide(s string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shown = append(b.shown, s)
	b.shown = b.shown[max(0, len(b.shown)-maxShown):]
}

// fresh are the secrets that came since the account was opened.
func (b *bearer) fresh() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.shown...)
}

// fetch asks the token endpoint (RFC 6749 section 5.1).
func (b *bearer) fetch(ctx context.Context, now time.Time) (token string, life time.Duration, err error) {
	form, hide, err := b.grant(now)
	if err != nil {
		return "", 0, err
	}
	b.hide(hide)
	var answer struct {
		Token string      `json:"access_token"`
		Type  string      `json:"token_type"`
		Life  json.Number `json:"expires_in"` // seconds; some send a string
	}
	err = b.api.do(ctx, call{
		method: http.MethodPost, reads: true, body: []byte(form.Encode()), into: &answer,
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	})
	var e *apiError
	switch {
	case errors.Is(err, ErrTransient), errors.Is(err, ErrCredential), err != nil && !errors.As(err, &e):
		return "", 0, err
	case err != nil: // invalid_grant and others (RFC 6749 section 5.2), an unknown tenant
		return "", 0, fmt.Errorf("%w: %s: no access token: %w", ErrCredential, b.api.credential, e)
	}
	if !strings.EqualFold(answer.Type, "Bearer") || !validToken(answer.Token) {
		return "", 0, fmt.Errorf("%s: the answer holds no access token", b.api.base.Host)
	}
	life = tokenLife
	if s, err := answer.Life.Int64(); err == nil && s > 0 {
		life = min(time.Duration(min(s, int64(maxTokenLife/time.Second)))*time.Second, maxTokenLife)
	}
	return answer.Token, life, nil
}

// validToken tells whether a token may stand in a header (RFC 6750 section 2.1).
func validToken(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != "" && len(s) <= maxToken
}

// oauthComplaint reads {"error": "...", "error_description": "..."} (RFC 6749
// section 5.2).
func oauthComplaint(_ int, body []byte) (code, words string) {
	var e struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &e) != nil || e.Error == "" {
		return "", strings.TrimSpace(string(body))
	}
	return e.Error, e.Description
}

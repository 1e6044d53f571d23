package providers

import (
	"context"
	"crypto/sha1" //nolint:gosec // the API's own signatures are of SHA-1
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"mxcutover/secret"
)

// ovhSettings is the section of the configuration.
type ovhSettings struct {
	Region   string      `yaml:"region" json:"region"`
	Key      string      `yaml:"application_key" json:"application_key"`
	Secret   secret.Ref  `yaml:"application_secret" json:"application_secret"`
	Consumer secret.Ref  `yaml:"consumer_key" json:"consumer_key"`
	ClientID string      `yaml:"client_id" json:"client_id"`
	Client   secret.Ref  `yaml:"client_secret" json:"client_secret"`
	TokenURL string      `yaml:"token_url" json:"token_url"`
	API      apiSettings `yaml:",inline" json:"api"`
}

// An ovhRegion is where accounts are, and where access tokens are had
// (https://github.com/ovh/go-ovh).
type ovhRegion struct{ endpoint, tokens string }

// ovhRegions is never changed.
var ovhRegions = map[string]ovhRegion{
	"ovh-eu": {"https://eu.api.ovh.com/1.0", "https://www.ovh.com/auth/oauth2/token"},
	"ovh-ca": {"https://ca.api.ovh.com/1.0", "https://ca.ovh.com/auth/oauth2/token"},
	"ovh-us": {"https://api.us.ovhcloud.com/1.0", "https://us.ovhcloud.com/auth/oauth2/token"},
}

// An ovh is one account at OVHcloud. Either it has a bearer, or its requests are
// signed.
type ovh struct {
	*api
	bearer *bearer
	signer *ovhSigner
}

func openOVH(decode func(into any) error) (Provider, error) {
	s := ovhSettings{Region: "ovh-eu"}
	if err := decode(&s); err != nil {
		return nil, err
	}
	region, ok := ovhRegions[s.Region]
	if !ok {
		return nil, fmt.Errorf("region %.40q: ovh-eu, ovh-ca or ovh-us was expected", s.Region)
	}
	keys, oauth := s.Key != "" || !s.Secret.IsZero() || !s.Consumer.IsZero(), s.ClientID != "" || !s.Client.IsZero()
	kind := apiKind{endpoint: region.endpoint, perSecond: 10, complaint: ovhComplaint, expired: ovhExpired}
	switch {
	case keys == oauth:
		return nil, errors.New("application_key, application_secret and consumer_key were expected, or else client_id and client_secret")
	case keys:
		return openSigned(s, kind)
	}
	return openService(s, kind, region.tokens)
}

// openSigned opens an account by an application's keys.
func openSigned(s ovhSettings, kind apiKind) (Provider, error) {
	if s.Key == "" {
		return nil, errors.New("application_key: is missing")
	}
	x := &ovhSigner{key: s.Key, now: time.Now}
	var err error
	if x.secret, err = s.Secret.Read(); err != nil {
		return nil, fmt.Errorf("application_secret: %w", err)
	}
	if x.consumer, err = s.Consumer.Read(); err != nil {
		return nil, fmt.Errorf("consumer_key: %w", err)
	}
	kind.secrets, kind.credential, kind.sign = []string{x.secret, x.consumer}, "consumer_key", x.sign
	a, err := newAPI(kind, s.API)
	if err != nil {
		return nil, err
	}
	return &ovh{api: a, signer: x}, nil
}

// openService opens an account by a service account
// (https://help.ovhcloud.com/csm/en-manage-service-account?id=kb_article_view&sysparm_article=KB0059343).
func openService(s ovhSettings, kind apiKind, tokens string) (Provider, error) {
	if s.ClientID == "" {
		return nil, errors.New("client_id: is missing")
	}
	key, err := s.Client.Read()
	if err != nil {
		return nil, fmt.Errorf("client_secret: %w", err)
	}
	if s.TokenURL != "" {
		tokens = s.TokenURL
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {s.ClientID}, "client_secret": {key}, "scope": {"all"}}
	of := apiKind{endpoint: tokens, perSecond: 1, secrets: []string{key}, credential: "client_secret"}
	b, err := newBearer(of, s.API, func(time.Time) (url.Values, string, error) { return form, key, nil })
	if err != nil {
		return nil, fmt.Errorf("token_url: %w", err)
	}
	kind.secrets, kind.credential, kind.fresh = []string{key}, "client_secret", b.fresh
	a, err := newAPI(kind, s.API)
	if err != nil {
		return nil, err
	}
	return &ovh{api: a, bearer: b}, nil
}

// Close closes the connections that are not in use.
func (p *ovh) Close() error {
	if p.bearer != nil {
		return errors.Join(p.api.Close(), p.bearer.Close())
	}
	return p.api.Close()
}

// call makes a call with the account's credential. A signature whose time is not
// accepted is made anew once, by the API's clock as it is now: nothing was done.
func (p *ovh) call(ctx context.Context, c call) error {
	if p.bearer != nil {
		return p.bearer.do(ctx, p.api, c)
	}
	for again := false; ; again = true {
		if !p.signer.set.Load() {
			if err := p.clock(ctx); err != nil {
				return err
			}
		}
		err := p.do(ctx, c)
		var e *apiError
		if again || !errors.As(err, &e) || e.Code != "QUERY_TIME_OUT" {
			return err
		}
		p.signer.set.Store(false)
	}
}

// clock asks for the API's time. Nobody is asked to sign that.
func (p *ovh) clock(ctx context.Context) error {
	var seconds int64
	if err := p.do(ctx, call{method: http.MethodGet, path: ovhClock, into: &seconds}); err != nil {
		return err
	}
	if seconds < 0 || seconds > 1<<40 {
		return fmt.Errorf("%s: its time is %d seconds", p.base.Host, seconds)
	}
	p.signer.ahead.Store(seconds - p.signer.now().Unix())
	p.signer.set.Store(true)
	return nil
}

const ovhClock = "/auth/time"

// An ovhSigner signs requests
// (https://help.ovhcloud.com/csm/en-api-getting-started-ovhcloud-api?id=kb_article_view&sysparm_article=KB0042784).
type ovhSigner struct {
	key, secret, consumer string
	now                   func() time.Time
	set                   atomic.Bool
	ahead                 atomic.Int64 // seconds that the API's clock is ahead of ours
}

func (x *ovhSigner) sign(r *http.Request, body []byte) error {
	r.Header.Set("X-Ovh-Application", x.key)
	if strings.HasSuffix(r.URL.Path, ovhClock) {
		return nil
	}
	at := strconv.FormatInt(x.now().Unix()+x.ahead.Load(), 10)
	text := strings.Join([]string{x.secret, x.consumer, r.Method, r.URL.String(), string(body), at}, "+")
	sum := sha1.Sum([]byte(text)) //nolint:gosec // see above
	r.Header.Set("X-Ovh-Consumer", x.consumer)
	r.Header.Set("X-Ovh-Timestamp", at)
	r.Header.Set("X-Ovh-Signature", "$1$"+hex.EncodeToString(sum[:]))
	return nil
}

// ovhComplaint reads {"errorCode", "httpCode", "message"}, or {"class",
// "message"}, and what rights are missing of an IAM policy.
func ovhComplaint(_ int, body []byte) (code, words string) {
	var e struct {
		Code    string `json:"errorCode"`
		Class   string `json:"class"`
		Message string `json:"message"`
		Details struct {
			Authentication string `json:"unauthorizedActionsByAuthentication"`
			IAM            string `json:"unauthorizedActionsByIAM"`
		} `json:"details"`
	}
	if json.Unmarshal(body, &e) != nil || e.Message == "" {
		return "", strings.TrimSpace(string(body))
	}
	for _, action := range []string{e.Details.Authentication, e.Details.IAM} {
		if action != "" {
			e.Message += "; missing right: " + action
		}
	}
	if e.Code == "" {
		e.Code = e.Class
	}
	return e.Code, e.Message
}

// ovhExpired knows the codes for a credential that is not accepted, some of which
// come with status 400.
func ovhExpired(_ int, code string) bool {
	return slices.Contains([]string{"INVALID_SIGNATURE", "INVALID_KEY", "INVALID_CREDENTIAL", "NOT_CREDENTIAL", "NOT_GRANTED_CALL"}, code)
}

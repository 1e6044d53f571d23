package providers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"mxcutover/rrset"
	"mxcutover/secret"
)

// dnsimpleAbout is what people are told.
var dnsimpleAbout = About{
	Title: "DNSimple",
	Settings: `  token        required; an account's or a user's API token: {file: PATH}, {env: NAME} or {credential: NAME}
  account_id   the account's number; needed where the token is a user's with several accounts
  batch        true: one atomic request changes an RRset, which is then of mode set; the Enterprise plan has it (default false)
  endpoint     the API's address (default https://api.dnsimple.com/v2; the sandbox is https://api.sandbox.dnsimple.com/v2)
  timeout      for one request and its answer (default 30s)
  per_second   requests a second at most (default 0.6: an account has 2400 an hour)`,
	Example: `token: {file: /etc/mxcutover/dnsimple.token}
account_id: 1010
batch: false
`,
	Quirks: []string{
		"Records are changed one by one, by their IDs. The batch request, which changes several at once or none, is only on the Enterprise plan: see batch. It names each record of Before by its ID, so that one that was deleted meanwhile refuses all of it; one that was edited meanwhile and kept its ID does not.",
		"An account has 2400 requests an hour, and changing one RRset takes about eight. When they are used up, X-RateLimit-Reset tells until when: the write is tried again then.",
		"Records of some regions alone are listed, and an RRset that has such is never changed.",
		"A text with quotes, backslashes or other than printable ASCII is not kept as it is: it is refused. So are types that the service does not have, like TLSA.",
		"What is written to a zone that is linked to other DNS services (integrated zones) is written there by DNSimple, too. Such a zone takes no batch.",
	},
	Proven: "a fake beside the code that speaks HTTP as documented.",
	Docs:   "https://developer.dnsimple.com/v2/zones/records/",
}

// dnsimpleSettings is the section of the configuration.
type dnsimpleSettings struct {
	Token   secret.Ref  `yaml:"token,required" json:"token"`
	Account uint64      `yaml:"account_id" json:"account_id"`
	Batch   bool        `yaml:"batch" json:"batch"`
	API     apiSettings `yaml:",inline" json:"api"`
}

// A dnsimple is an account at DNSimple, by its API v2.
type dnsimple struct {
	*api

	mu      sync.Mutex
	account uint64          // 0: not known yet
	primary map[string]bool // zones that were seen to be written here
}

func openDNSimple(decode func(into any) error) (Provider, error) {
	var s dnsimpleSettings
	if err := decode(&s); err != nil {
		return nil, err
	}
	token, err := s.Token.Read()
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	a, err := newAPI(apiKind{
		endpoint: "https://api.dnsimple.com/v2", perSecond: 0.6,
		secrets: []string{token}, credential: "token", complaint: dnsimpleComplaint, wait: dnsimpleWait,
		sign: func(r *http.Request, _ []byte) error {
			r.Header.Set("Authorization", "Bearer "+token)
			return nil
		},
	}, s.API)
	if err != nil {
		return nil, err
	}
	d := &dnsimple{api: a, account: s.Account, primary: map[string]bool{}}
	if s.Batch {
		return &dnsimpleBatch{d}, nil
	}
	return d, nil
}

// dnsimpleComplaint reads {"message": "...", "errors": {...}}
// (https://developer.dnsimple.com/v2/#errors).
func dnsimpleComplaint(_ int, body []byte) (code, words string) {
	var e struct {
		Message string          `json:"message"`
		Errors  json.RawMessage `json:"errors"`
	}
	if json.Unmarshal(body, &e) != nil || e.Message == "" {
		return "", strings.TrimSpace(string(body))
	}
	if errs := string(e.Errors); errs != "" && errs != "null" && errs != "{}" {
		e.Message += ": " + errs
	}
	return "", e.Message
}

// dnsimpleWait reads the time at which the hour's requests begin anew
// (https://developer.dnsimple.com/v2/#rate-limiting).
func dnsimpleWait(h http.Header, now time.Time) time.Duration {
	reset, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 40)
	if err != nil {
		return 0
	}
	return max(0, time.Unix(reset, 0).Sub(now))
}

// accountID asks once whose token it is.
func (d *dnsimple) accountID(ctx context.Context) (string, error) {
	d.mu.Lock()
	id := d.account
	d.mu.Unlock()
	if id == 0 {
		var err error
		if id, err = d.ownAccount(ctx); err != nil {
			return "", err
		}
		d.mu.Lock()
		d.account = id
		d.mu.Unlock()
	}
	return strconv.FormatUint(id, 10), nil
}

// dnsimpleAccount is whom a token belongs to
// (https://developer.dnsimple.com/v2/#account-scope).
type dnsimpleAccount struct {
	ID    uint64 `json:"id"`
	Email string `json:"email"`
}

// ownAccount is the account of the token, or the only one of its user.
func (d *dnsimple) ownAccount(ctx context.Context) (uint64, error) {
	var who struct {
		Data struct {
			Account *dnsimpleAccount `json:"account"`
		} `json:"data"`
	}
	if err := d.do(ctx, call{method: http.MethodGet, path: "/whoami", into: &who}); err != nil {
		return 0, err
	}
	if a := who.Data.Account; a != nil && a.ID != 0 {
		return a.ID, nil
	}
	var users struct {
		Data []dnsimpleAccount `json:"data"`
	}
	if err := d.do(ctx, call{method: http.MethodGet, path: "/accounts", into: &users}); err != nil {
		return 0, err
	}
	if len(users.Data) == 1 && users.Data[0].ID != 0 {
		return users.Data[0].ID, nil
	}
	var which strings.Builder
	for _, a := range users.Data[:min(len(users.Data), 20)] {
		fmt.Fprintf(&which, " %d (%.60q)", a.ID, d.clean(a.Email))
	}
	return 0, fmt.Errorf("%w: account_id is needed, since the token is a user's with %d accounts:%s", ErrNoZone, len(users.Data), which.String())
}

// zonePath is the path of a zone that is written here.
func (d *dnsimple) zonePath(ctx context.Context, zone string) (string, error) {
	account, err := d.accountID(ctx)
	if err != nil {
		return "", err
	}
	path := "/" + account + "/zones/" + url.PathEscape(rrset.Bare(zone))
	d.mu.Lock()
	known := d.primary[zone]
	d.mu.Unlock()
	if known {
		return path, nil
	}
	var z struct {
		Data struct {
			Name      string `json:"name"`
			Secondary bool   `json:"secondary"`
		} `json:"data"`
	}
	if err := d.do(ctx, call{method: http.MethodGet, path: path, into: &z, zone: zone}); err != nil {
		return "", err
	}
	name, err := fullName(z.Data.Name)
	switch {
	case err != nil || name != zone:
		return "", fmt.Errorf("zone %s: the service answered with zone %.80q", rrset.Bare(zone), z.Data.Name)
	case z.Data.Secondary:
		return "", fmt.Errorf("zone %s: it is a secondary zone at DNSimple: write at its primary", rrset.Bare(zone))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.primary[zone] = true
	return path, nil
}

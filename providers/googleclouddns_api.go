package providers

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"mxcutover/rrset"
)

// googleSets are the RRsets of what was listed: those with a routing policy with
// the data of all its items.
func googleSets(zone string, all []googleSet) ([]rrset.Set, error) {
	z := newZoneData(zone)
	for _, s := range all {
		if _, err := typeOf(s.Type); err != nil {
			continue // ALIAS
		}
		if s.TTL == nil {
			return nil, fmt.Errorf("%.80q %.20q: the service sent no TTL", s.Name, s.Type)
		}
		routed, err := s.routedData()
		if err != nil {
			return nil, fmt.Errorf("%.80q %.20q: %w", s.Name, s.Type, err)
		}
		for _, d := range append(slices.Clone(s.Rrdatas), routed...) {
			data, err := parseData(s.Type, d)
			if err != nil {
				return nil, fmt.Errorf("%.80q: %w", s.Name, err)
			}
			if err := z.add(s.Name, s.Type, *s.TTL, data); err != nil {
				return nil, err
			}
		}
	}
	return z.sets()
}

// routedData are the data of a routing policy's items
// (https://cloud.google.com/dns/docs/reference/rest/v1/resourceRecordSets#RRSetRoutingPolicy).
func (s googleSet) routedData() (out []string, err error) {
	if !s.routed() {
		return nil, nil
	}
	type items struct {
		Items []struct {
			Rrdatas []string `json:"rrdatas"`
		} `json:"items"`
	}
	var p struct {
		WRR    items `json:"wrr"`
		Geo    items `json:"geo"`
		Backup struct {
			Geo items `json:"backupGeoTargets"`
		} `json:"primaryBackup"`
	}
	if err := json.Unmarshal(s.Routing, &p); err != nil {
		return nil, fmt.Errorf("its routing policy cannot be read: %.200q", err.Error())
	}
	for _, l := range []items{p.WRR, p.Geo, p.Backup.Geo} {
		for _, i := range l.Items {
			out = append(out, i.Rrdatas...)
		}
	}
	return out, nil
}

// googleComplaint reads {"error": {"code": 412, "message": "...", "errors":
// [{"reason": "conditionNotMet", ...}], "status": "..."}}
// (https://cloud.google.com/dns/docs/error-messages).
func googleComplaint(_ int, body []byte) (code, words string) {
	var e struct {
		Error struct {
			Message string `json:"message"`
			Status  string `json:"status"`
			Errors  []struct {
				Reason string `json:"reason"`
			} `json:"errors"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &e) != nil || e.Error.Message == "" {
		return "", strings.TrimSpace(string(body))
	}
	if len(e.Error.Errors) > 0 {
		return e.Error.Errors[0].Reason, e.Error.Message
	}
	return e.Error.Status, e.Error.Message
}

// googleThrottled: too many requests, by the status 403.
func googleThrottled(status int, code string) bool {
	return status == http.StatusForbidden && slices.Contains([]string{"rateLimitExceeded", "userRateLimitExceeded"}, code)
}

// googleScope is what an access token is asked for.
const googleScope = "https://www.googleapis.com/auth/ndev.clouddns.readwrite"

// A googleAccount is the key file of a service account.
type googleAccount struct {
	Type       string `json:"type"`
	Project    string `json:"project_id"`
	KeyID      string `json:"private_key_id"`
	PrivateKey string `json:"private_key"`
	Email      string `json:"client_email"`
	TokenURI   string `json:"token_uri"`
	key        *rsa.PrivateKey
}

// parseGoogleAccount reads a key file. No error shows what it holds.
func parseGoogleAccount(text string) (a googleAccount, err error) {
	if json.Unmarshal([]byte(text), &a) != nil {
		return a, fmt.Errorf("it is no JSON key file")
	}
	if a.Type != "service_account" || a.Email == "" {
		return a, fmt.Errorf("it is no key of a service account: type %.40q, and a client_email, were looked for", a.Type)
	}
	block, _ := pem.Decode([]byte(a.PrivateKey))
	if block == nil {
		return a, fmt.Errorf("its private_key is no PEM block")
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		any, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	key, ok := any.(*rsa.PrivateKey)
	if err != nil || !ok {
		return a, fmt.Errorf("its private_key is no RSA key")
	}
	a.key = key
	if a.TokenURI == "" {
		a.TokenURI = "https://oauth2.googleapis.com/token"
	}
	return a, nil
}

// grant asks for an access token by a signed assertion (RFC 7523;
// https://developers.google.com/identity/protocols/oauth2/service-account#httprest).
func (a googleAccount) grant(now time.Time) (form url.Values, hide string, err error) {
	header := map[string]string{"alg": "RS256", "typ": "JWT", "kid": a.KeyID}
	claims := map[string]any{"iss": a.Email, "scope": googleScope, "aud": a.TokenURI, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	var parts []string
	for _, v := range []any{header, claims} {
		b, err := json.Marshal(v)
		if err != nil {
			return nil, "", err
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(b))
	}
	text := strings.Join(parts, ".")
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, sum[:])
	if err != nil {
		return nil, "", fmt.Errorf("service_account: the assertion cannot be signed: %w", err)
	}
	assertion := text + "." + base64.RawURLEncoding.EncodeToString(signature)
	return url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}, assertion, nil
}

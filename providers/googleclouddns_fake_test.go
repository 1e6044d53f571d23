package providers_test

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
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"mxcutover/providers/conformance"
)

// googleFake speaks Cloud DNS v1 as documented at
// https://cloud.google.com/dns/docs/reference/rest/v1: managed zones, RRsets and
// changes, with error bodies of https://cloud.google.com/dns/docs/error-messages;
// and the token endpoint of
// https://developers.google.com/identity/protocols/oauth2/service-account#httprest.
type googleFake struct {
	zone, twin *conformance.Zone // the twin is private, of the same name
	twins      bool              // the twin is seen
	private    bool              // the zone is private
	key        *rsa.PrivateKey
	uri        string // of the token endpoint
	extra      []map[string]any

	mu     sync.Mutex
	tokens []string
}

type googleFakeSet struct {
	Kind    string   `json:"kind"`
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	TTL     *int64   `json:"ttl"`
	Rrdatas []string `json:"rrdatas"`
	Signed  []string `json:"signatureRrdatas"`
}

const googleFakeEmail = "cutover@example-dns.iam.gserviceaccount.com"

func googleError(w http.ResponseWriter, status int, reason, message string) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{
		"code": status, "message": message, "errors": []any{map[string]any{"message": message, "domain": "global", "reason": reason}},
	}})
}

func googleAnswers() conformance.Answers {
	return conformance.Answers{
		Busy: func(w http.ResponseWriter, r *http.Request, wait time.Duration) {
			w.Header().Set("Retry-After", fmt.Sprint(int(wait.Seconds())))
			if r.Method == http.MethodGet || strings.HasSuffix(r.URL.Path, "/token") {
				googleError(w, http.StatusTooManyRequests, "rateLimitExceeded", "Quota exceeded for quota metric 'Read requests'")
				return
			}
			googleError(w, http.StatusForbidden, "rateLimitExceeded", "Rate Limit Exceeded")
		},
		Broken: func(w http.ResponseWriter, _ *http.Request) {
			googleError(w, http.StatusServiceUnavailable, "backendError", "The service is currently unavailable.")
		},
		Refused: func(w http.ResponseWriter, _ *http.Request) {
			googleError(w, http.StatusForbidden, "quotaExceeded", "The resource record sets per managed zone quota has been exceeded.")
		},
		Expired: func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/token") {
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprintf(w, `{"error":"invalid_grant","error_description":"Invalid JWT Signature: %s"}`, r.FormValue("assertion"))
				return
			}
			googleError(w, http.StatusUnauthorized, "authError", "Request had invalid authentication credentials: "+r.Header.Get("Authorization"))
		},
		Writes: func(r *http.Request) bool {
			return r.Method != http.MethodGet && !strings.HasSuffix(r.URL.Path, "/token")
		},
	}
}

func (f *googleFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const project = "/dns/v1/projects/example-dns/managedZones"
	f.mu.Lock()
	known := slices.Contains(f.tokens, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	f.mu.Unlock()
	path, q := r.URL.Path, r.URL.Query()
	switch {
	case path == "/token" && r.Method == http.MethodPost:
		f.token(w, r)
		return
	case !known:
		googleError(w, http.StatusUnauthorized, "authError", "Request had invalid authentication credentials.")
		return
	case path == project && r.Method == http.MethodGet:
		f.named(w, q)
		return
	case !strings.HasPrefix(path, project+"/"):
		googleError(w, http.StatusForbidden, "forbidden", "Forbidden")
		return
	}
	name, rest, _ := strings.Cut(strings.TrimPrefix(path, project+"/"), "/")
	z := f.zone
	switch {
	case name == f.twin.ID && f.twins:
		z = f.twin
	case name != f.zone.ID:
		googleError(w, http.StatusNotFound, "notFound", "The 'parameters.managedZone' resource named '"+name+"' does not exist.")
		return
	}
	switch {
	case rest == "" && r.Method == http.MethodGet:
		json.NewEncoder(w).Encode(f.managed(z))
	case rest == "rrsets" && r.Method == http.MethodGet:
		f.list(w, q, z)
	case rest == "changes" && r.Method == http.MethodPost:
		f.change(w, r, z)
	default:
		googleError(w, http.StatusNotFound, "notFound", "Not Found")
	}
}

func (f *googleFake) managed(z *conformance.Zone) map[string]any {
	visibility := "public"
	if z == f.twin || f.private {
		visibility = "private"
	}
	return map[string]any{"kind": "dns#managedZone", "name": z.ID, "dnsName": z.Name, "description": "", "id": "1000", "visibility": visibility, "creationTime": "2026-01-01T00:00:00.000Z", "nameServers": []string{"ns-cloud-a1.googledomains.com."}}
}

// named lists one zone a page.
func (f *googleFake) named(w http.ResponseWriter, q url.Values) {
	all := []*conformance.Zone{}
	if q.Get("dnsName") == f.zone.Name {
		all = append(all, f.zone)
		if f.twins {
			all = append(all, f.twin)
		}
	}
	at, _ := strconv.Atoi(q.Get("pageToken"))
	answer := map[string]any{"kind": "dns#managedZonesListResponse", "managedZones": []any{}}
	if at < len(all) {
		answer["managedZones"] = []any{f.managed(all[at])}
	}
	if at+1 < len(all) {
		answer["nextPageToken"] = fmt.Sprint(at + 1)
	}
	json.NewEncoder(w).Encode(answer)
}

func (f *googleFake) sets(z *conformance.Zone) (out []googleFakeSet) {
	for _, r := range z.Records() {
		if r.Type == "MX" {
			r.Data = dns.Fqdn(r.Data) // names without their dot are refused, so none is there
		}
		name := strings.ToLower(dns.Fqdn(r.Name))
		i := slices.IndexFunc(out, func(s googleFakeSet) bool { return s.Name == name && s.Type == r.Type })
		if i < 0 {
			i = len(out)
			ttl := int64(r.TTL)
			out = append(out, googleFakeSet{Kind: "dns#resourceRecordSet", Name: name, Type: r.Type, TTL: &ttl, Signed: []string{}})
		}
		out[i].Rrdatas = append(out[i].Rrdatas, r.Data)
	}
	return out
}

func (f *googleFake) list(w http.ResponseWriter, q url.Values, z *conformance.Zone) {
	const size = 7
	var all []any
	for _, s := range f.sets(z) {
		if q.Get("name") == "" || q.Get("name") == s.Name {
			all = append(all, s)
		}
	}
	for _, s := range f.extra {
		if q.Get("name") == "" || q.Get("name") == s["name"] {
			all = append(all, s)
		}
	}
	if q.Get("type") != "" && q.Get("name") == "" {
		googleError(w, http.StatusBadRequest, "invalid", "The type parameter needs the name parameter.")
		return
	}
	at, _ := strconv.Atoi(strings.TrimPrefix(q.Get("pageToken"), "page/+="))
	answer := map[string]any{"kind": "dns#resourceRecordSetsListResponse", "rrsets": all[at:min(at+size, len(all))]}
	if at+size < len(all) {
		answer["nextPageToken"] = fmt.Sprint("page/+=", at+size)
	}
	json.NewEncoder(w).Encode(answer)
}

// googleSays is an error in the service's words.
func googleSays(format string, a ...any) error { return fmt.Errorf(format, a...) }

// change carries out all of a change in one moment, or nothing.
func (f *googleFake) change(w http.ResponseWriter, r *http.Request, z *conformance.Zone) {
	var c struct {
		Additions []googleFakeSet `json:"additions"`
		Deletions []googleFakeSet `json:"deletions"`
	}
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil || len(c.Additions)+len(c.Deletions) == 0 {
		googleError(w, http.StatusBadRequest, "required", "The 'entity.change' parameter is required but was missing.")
		return
	}
	status, reason := http.StatusBadRequest, "invalid"
	err := z.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) {
		there := f.sets(googleZoneOf(z, recs))
		find := func(s googleFakeSet) int {
			return slices.IndexFunc(there, func(x googleFakeSet) bool { return x.Name == s.Name && x.Type == s.Type })
		}
		for i, s := range c.Deletions {
			at := find(s)
			switch {
			case at < 0:
				status, reason = http.StatusNotFound, "notFound"
				return nil, googleSays("The 'entity.change.deletions[%d]' resource named '%s (%s)' does not exist.", i, s.Name, s.Type)
			case s.TTL == nil || *s.TTL != *there[at].TTL || !slices.Equal(slices.Sorted(slices.Values(s.Rrdatas)), slices.Sorted(slices.Values(there[at].Rrdatas))):
				status, reason = http.StatusPreconditionFailed, "conditionNotMet"
				return nil, googleSays("Precondition not met for 'entity.change.deletions[%d]'", i)
			}
			there = slices.Delete(there, at, at+1)
			recs = slices.DeleteFunc(recs, func(r conformance.Rec) bool { return r.Of(s.Name, s.Type) })
		}
		for i, s := range c.Additions {
			if find(s) >= 0 {
				status, reason = http.StatusConflict, "alreadyExists"
				return nil, googleSays("The resource 'entity.change.additions[%d]' named '%s (%s)' already exists", i, s.Name, s.Type)
			}
			if err := googleCheck(z, there, i, s); err != nil {
				return nil, err
			}
			for _, d := range s.Rrdatas {
				recs = append(recs, conformance.Rec{ID: z.NewID(), Name: s.Name, Type: s.Type, TTL: uint32(*s.TTL), Data: d})
			}
		}
		return recs, nil
	})
	if err != nil {
		googleError(w, status, reason, err.Error())
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"kind": "dns#change", "id": "1", "status": "pending", "startTime": "2026-01-01T00:00:00.000Z", "additions": c.Additions, "deletions": c.Deletions})
}

// googleZoneOf is a copy of a zone with other records.
func googleZoneOf(z *conformance.Zone, recs []conformance.Rec) *conformance.Zone {
	c := conformance.NewZone(z.ID, z.Name)
	_ = c.Update(func([]conformance.Rec) ([]conformance.Rec, error) { return recs, nil }) // it cannot fail
	return c
}

// googleCheck refuses what the service refuses: names and hosts without their
// dot, unquoted texts, a CNAME beside others.
func googleCheck(z *conformance.Zone, there []googleFakeSet, i int, s googleFakeSet) error {
	switch {
	case s.TTL == nil || *s.TTL < 0 || *s.TTL > 1<<31-1:
		return googleSays("Invalid value for 'entity.change.additions[%d].ttl'", i)
	case !strings.HasSuffix(s.Name, ".") || !dns.IsSubDomain(z.Name, s.Name):
		return googleSays("Invalid value for 'entity.change.additions[%d].name': '%s'", i, s.Name)
	case len(s.Rrdatas) == 0:
		return googleSays("The 'entity.change.additions[%d].rrdata' parameter is required but was missing.", i)
	}
	for k, d := range s.Rrdatas {
		_, err := dns.NewRR(fmt.Sprintf(". 0 IN %s %s", s.Type, d))
		if err != nil || s.Type == "MX" && !strings.HasSuffix(d, ".") || s.Type == "TXT" && !strings.HasPrefix(d, `"`) {
			return googleSays("Invalid value for 'entity.change.additions[%d].rrdata[%d]': '%s'", i, k, d)
		}
	}
	for _, x := range there {
		if x.Name == s.Name && (x.Type == "CNAME") != (s.Type == "CNAME") {
			return googleSays("The resource record set 'entity.change.additions[%d]' is invalid because the DNS name '%s' may have either one CNAME resource record set or resource record sets of other types, but not both.", i, s.Name)
		}
	}
	return nil
}

// token checks an assertion as documented, and gives a token for it.
func (f *googleFake) token(w http.ResponseWriter, r *http.Request) {
	why := f.asserted(r.FormValue("assertion"))
	if r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		why = "unsupported grant"
	}
	if why != "" {
		w.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(w).Encode(map[string]string{"error": "invalid_grant", "error_description": why})
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	token := fmt.Sprintf("ya29.c.EXAMPLE-TOKEN-%d-%s", len(f.tokens), strings.Repeat(".", 40))
	f.tokens = append(f.tokens, token)
	json.NewEncoder(w).Encode(map[string]any{"access_token": token, "expires_in": 3599, "token_type": "Bearer"})
}

// asserted says what is wrong with an assertion.
func (f *googleFake) asserted(assertion string) string {
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		return "no JWT"
	}
	var header struct{ Alg, Typ, Kid string }
	var claims struct {
		Iss, Scope, Aud string
		Iat, Exp        int64
	}
	for i, into := range []any{&header, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(b, into) != nil {
			return "no JWT"
		}
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	now := time.Now().Unix()
	switch {
	case err != nil || header.Alg != "RS256" || header.Kid != "key-1" || rsa.VerifyPKCS1v15(&f.key.PublicKey, crypto.SHA256, sum[:], signature) != nil:
		return "Invalid JWT Signature."
	case claims.Iss != googleFakeEmail || claims.Aud != f.uri || !strings.Contains(claims.Scope, "ndev.clouddns.readwrite"):
		return "Invalid issuer, audience or scope"
	case claims.Iat > now+60 || claims.Exp < now || claims.Exp-claims.Iat > 3600:
		return "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
	}
	return ""
}

// googleTestKey is one key for all tests: making one takes a while.
var googleTestKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })

// googleKeyFile is a key file as the console gives it.
func googleKeyFile(key *rsa.PrivateKey, uri string) (text, private string) {
	private = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))}))
	return string(must(json.Marshal(map[string]string{
		"type": "service_account", "project_id": "example-dns", "private_key_id": "key-1", "private_key": private,
		"client_email": googleFakeEmail, "client_id": "1", "token_uri": uri,
	}))), private
}

// googleBed is a fake of its own.
func googleBed(t testing.TB) (*googleFake, *conformance.Bed) {
	f := &googleFake{
		zone: conformance.NewZone("example-public", "example.test."), twin: conformance.NewZone("example-private", "example.test."), key: googleTestKey(),
	}
	front := conformance.NewFront(t, f, googleAnswers())
	f.uri = front.URL + "/token"
	text, private := googleKeyFile(f.key, f.uri)
	settings := fmt.Sprintf("endpoint: %s/dns/v1\nservice_account: {file: %s}\ntimeout: 2s\nper_second: 10000\n", front.URL, conformance.SecretFile(t, text))
	return f, &conformance.Bed{
		Kind: "googleclouddns", Settings: settings,
		Zone: f.zone.Name, Truth: f.zone.Truth, Edit: f.zone.Edit, Seen: f.zone.Seen, Faults: front,
		Secrets: []string{private, "ya29.c.EXAMPLE", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256"`))[:12]},
	}
}

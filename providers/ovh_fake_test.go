package providers_test

import (
	"context"
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

// ovhFake speaks the API as https://api.ovh.com/console/#/domain/zone documents
// it: IDs of records by a filter, one record an ID, a zone file by export, and
// nothing served before refresh. Requests are signed, or have an access token of
// the fake's own, see https://github.com/ovh/go-ovh.
type ovhFake struct {
	zone   *conformance.Zone // as the API keeps it
	served *conformance.Zone // as the servers answer
	url    string

	mu        sync.Mutex
	ids       map[string]int64
	skew      time.Duration // of the API's clock
	refreshes int
	unable    func(w http.ResponseWriter) // answers refresh; nil: it is carried out
	tokens    int                         // access tokens given; the last one counts
	loose     bool                        // an empty filter filters nothing
	noTTL     bool                        // records have the zone's TTL
}

const (
	ovhTestKey      = "7f0123456789abcd"
	ovhTestSecret   = "ovhsecret0123456789abcdef"
	ovhTestConsumer = "ovhconsumer0123456789abcd"
	ovhTestClient   = "EU.0123456789abcdef"
)

// ovhError is of the older shape where there is an errorCode, else of the newer.
func ovhError(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Ovh-Queryid", "EU.ext-1.65f0a0b0.1.0123456789abcdef")
	w.WriteHeader(status)
	body := map[string]string{"message": text}
	if strings.Contains(code, "::") {
		body["class"] = code
	} else {
		body["errorCode"], body["httpCode"] = code, fmt.Sprintf("%d %s", status, http.StatusText(status))
	}
	json.NewEncoder(w).Encode(body)
}

func ovhAnswers() conformance.Answers {
	return conformance.Answers{
		Busy: func(w http.ResponseWriter, _ *http.Request, wait time.Duration) {
			w.Header().Set("Retry-After", fmt.Sprint(int(wait.Seconds())))
			ovhError(w, http.StatusTooManyRequests, "Client::TooManyRequests", "Too many requests, please retry later")
		},
		Broken: func(w http.ResponseWriter, _ *http.Request) {
			ovhError(w, http.StatusInternalServerError, "Server::InternalServerError", "Internal server error")
		},
		Refused: func(w http.ResponseWriter, _ *http.Request) {
			ovhError(w, http.StatusBadRequest, "Client::BadRequest", "Invalid target")
		},
		Expired: func(w http.ResponseWriter, r *http.Request) {
			ovhError(w, http.StatusForbidden, "INVALID_CREDENTIAL", "This credential is not valid: "+r.Header.Get("X-Ovh-Consumer"))
		},
		Writes: func(r *http.Request) bool {
			return r.Method != http.MethodGet && !strings.HasSuffix(r.URL.Path, "/refresh")
		},
	}
}

func (f *ovhFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body := new(strings.Builder)
	if r.Body != nil {
		must(io.Copy(body, r.Body))
	}
	switch {
	case r.URL.Path == "/1.0/auth/time":
		json.NewEncoder(w).Encode(time.Now().Add(f.skew).Unix())
		return
	case r.URL.Path == "/auth/oauth2/token":
		f.token(w, r, body.String())
		return
	case !f.authorized(w, r, body.String()):
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/1.0/domain/zone/"+strings.TrimSuffix(f.zone.Name, ".")+"/")
	id, one := strings.CutPrefix(rest, "record/")
	switch {
	case !ok:
		ovhError(w, http.StatusNotFound, "Client::NotFound", "This service does not exist")
	case rest == "refresh" && r.Method == http.MethodPost:
		f.refresh(w)
	case rest == "export" && r.Method == http.MethodGet:
		json.NewEncoder(w).Encode(f.export())
	case rest == "record" && r.Method == http.MethodGet:
		f.list(w, r.URL.Query())
	case rest == "record" && r.Method == http.MethodPost:
		f.write(w, "", body.String())
	case one && r.Method == http.MethodPut:
		f.write(w, id, body.String())
	case one:
		f.one(w, r.Method, id)
	default:
		ovhError(w, http.StatusNotFound, "Client::NotFound", "Got an invalid (or empty) URL")
	}
}

// authorized checks the access token or the signature.
func (f *ovhFake) authorized(w http.ResponseWriter, r *http.Request, body string) bool {
	if a := r.Header.Get("Authorization"); a != "" {
		if a != fmt.Sprintf("Bearer eyJ-%d", f.tokens) {
			ovhError(w, http.StatusUnauthorized, "Client::Unauthorized", "Invalid token: "+a)
			return false
		}
		return true
	}
	at, err := strconv.ParseInt(r.Header.Get("X-Ovh-Timestamp"), 10, 64)
	if off := time.Since(time.Unix(at, 0)) + f.skew; err != nil || off > 5*time.Minute || off < -5*time.Minute {
		ovhError(w, http.StatusBadRequest, "QUERY_TIME_OUT", "Query out of time")
		return false
	}
	text := fmt.Sprintf("%s+%s+%s+%s+%s+%d", ovhTestSecret, ovhTestConsumer, r.Method, f.url+r.URL.RequestURI(), body, at)
	switch {
	case r.Header.Get("X-Ovh-Application") != ovhTestKey:
		ovhError(w, http.StatusForbidden, "INVALID_KEY", "This application key is invalid")
	case r.Header.Get("X-Ovh-Consumer") != ovhTestConsumer:
		ovhError(w, http.StatusForbidden, "INVALID_CREDENTIAL", "This credential does not exist")
	case r.Header.Get("X-Ovh-Signature") != fmt.Sprintf("$1$%x", sha1.Sum([]byte(text))):
		ovhError(w, http.StatusBadRequest, "INVALID_SIGNATURE", "Invalid signature")
	default:
		return true
	}
	return false
}

func (f *ovhFake) token(w http.ResponseWriter, r *http.Request, body string) {
	q, err := url.ParseQuery(body)
	if err != nil || r.Method != http.MethodPost || q.Get("grant_type") != "client_credentials" || q.Get("scope") != "all" || q.Get("client_id") != ovhTestClient || q.Get("client_secret") != ovhTestSecret {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":"invalid_client","error_description":"%s"}`, body)
		return
	}
	f.tokens++
	fmt.Fprintf(w, `{"access_token":"eyJ-%d","token_type":"Bearer","expires_in":3599,"scope":"all"}`, f.tokens)
}

func (f *ovhFake) refresh(w http.ResponseWriter) {
	f.refreshes++
	if f.unable != nil {
		f.unable(w)
		return
	}
	f.publish()
	fmt.Fprint(w, "null")
}

func (f *ovhFake) publish() {
	now := f.zone.Records()
	f.served.Update(func([]conformance.Rec) ([]conformance.Rec, error) { return now, nil })
}

// id is the number of a record.
func (f *ovhFake) id(r conformance.Rec) int64 {
	if f.ids[r.ID] == 0 {
		f.ids[r.ID] = int64(5_000_000_000 + len(f.ids))
	}
	return f.ids[r.ID]
}

func (f *ovhFake) sub(name string) string {
	name = dns.Fqdn(name)
	return strings.TrimSuffix(name[:len(name)-len(f.zone.Name)], ".")
}

// like is SQL's, in any case.
func like(pattern, s string) bool {
	p := strings.NewReplacer("%", ".*", "_", ".").Replace(regexp.QuoteMeta(pattern))
	return regexp.MustCompile("(?is)^" + p + "$").MatchString(s)
}

func (f *ovhFake) list(w http.ResponseWriter, q url.Values) {
	ids := []int64{}
	for _, r := range f.zone.Records() {
		sub := q.Get("subDomain")
		if r.Type == "SOA" || q.Has("fieldType") && r.Type != q.Get("fieldType") || q.Has("subDomain") && (sub != "" || !f.loose) && !like(sub, f.sub(r.Name)) {
			continue
		}
		ids = append(ids, f.id(r))
	}
	json.NewEncoder(w).Encode(ids)
}

// export is a zone file with relative names.
func (f *ovhFake) export() string {
	b := new(strings.Builder)
	fmt.Fprint(b, "$TTL 3600\n")
	for _, r := range f.zone.Records() {
		name, ttl := f.sub(r.Name), fmt.Sprint(r.TTL)
		if name == "" {
			name = "@"
		}
		if f.noTTL {
			ttl = ""
		}
		fmt.Fprintf(b, "%s\t%s IN %s %s\n", name, ttl, r.Type, r.Data)
	}
	return b.String()
}

// one reads a record, or deletes it.
func (f *ovhFake) one(w http.ResponseWriter, method, id string) {
	for _, r := range f.zone.Records() {
		if fmt.Sprint(f.id(r)) != id || r.Type == "SOA" {
			continue
		}
		if method == http.MethodDelete {
			f.zone.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) {
				return slices.DeleteFunc(recs, func(x conformance.Rec) bool { return x.ID == r.ID }), nil
			})
			fmt.Fprint(w, "null")
			return
		}
		ttl := int64(r.TTL)
		if f.noTTL {
			ttl = 0
		}
		json.NewEncoder(w).Encode(map[string]any{"id": f.id(r), "zone": strings.TrimSuffix(f.zone.Name, "."), "subDomain": f.sub(r.Name), "fieldType": r.Type, "target": r.Data, "ttl": ttl})
		return
	}
	ovhError(w, http.StatusNotFound, "Client::NotFound", "The requested object (id = "+id+") does not exist")
}

// write creates a record, or changes one in place.
func (f *ovhFake) write(w http.ResponseWriter, id, body string) {
	var x struct {
		FieldType *string `json:"fieldType"`
		SubDomain *string `json:"subDomain"`
		Target    *string `json:"target"`
		TTL       int64   `json:"ttl"`
	}
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	refuse := func(text string) { ovhError(w, http.StatusBadRequest, "Client::BadRequest", text) }
	switch err := d.Decode(&x); {
	case err != nil:
		refuse("[body] " + err.Error())
		return
	case id != "" && x.FieldType != nil:
		refuse("Try to alter read-only properties: fieldType")
		return
	case id == "" && (x.FieldType == nil || x.Target == nil):
		refuse("[fieldType] (or [target]) is missing")
		return
	case x.TTL != 0 && x.TTL < 60:
		refuse("Invalid ttl, must be at least 60")
		return
	}
	err := f.zone.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) {
		i := slices.IndexFunc(recs, func(r conformance.Rec) bool { return fmt.Sprint(f.id(r)) == id })
		switch {
		case id == "":
			i = len(recs)
			recs = append(recs, conformance.Rec{ID: f.zone.NewID(), Name: f.zone.Name, Type: *x.FieldType})
		case i < 0:
			return nil, fmt.Errorf("The requested object (id = %s) does not exist", id)
		}
		r := &recs[i]
		if r.TTL = uint32(x.TTL); x.TTL == 0 {
			r.TTL = 3600
		}
		if x.Target != nil {
			r.Data = *x.Target
		}
		if x.SubDomain != nil {
			r.Name = strings.TrimPrefix(*x.SubDomain+"."+f.zone.Name, ".")
		}
		if r.Type == "TXT" && !strings.HasPrefix(r.Data, `"`) {
			r.Data = `"` + r.Data + `"`
		}
		return recs, f.valid(*r)
	})
	if err != nil {
		refuse(err.Error())
		return
	}
	fmt.Fprint(w, `{"id": 0}`) // as it does at times
}

func (f *ovhFake) valid(r conformance.Rec) error {
	p := dns.NewZoneParser(strings.NewReader(fmt.Sprintf(". 0 IN %s %s\n", r.Type, r.Data)), f.zone.Name, "")
	if _, ok := p.Next(); !ok {
		return fmt.Errorf("Invalid target %q for %s", r.Data, r.Type)
	}
	if (r.Type == "MX" || r.Type == "A" || r.Type == "AAAA") && strings.Contains(r.Name+r.Data, "_") {
		return fmt.Errorf("Invalid domain name, underscore not allowed")
	}
	return nil
}

// ovhBed is a fake of its own. Somebody else uses the control panel, which
// refreshes.
func ovhBed(t testing.TB) (*ovhFake, *conformance.Bed) {
	f := &ovhFake{
		zone: conformance.NewZone("o", "example.test."), served: conformance.NewZone("s", "example.test."),
		ids: map[string]int64{}, skew: 3 * time.Hour,
	}
	front := conformance.NewFront(t, f, ovhAnswers())
	f.url = front.URL
	edit := dotted(f.zone.Edit)
	return f, &conformance.Bed{
		Kind: "ovh",
		Settings: fmt.Sprintf("endpoint: %s/1.0\napplication_key: %s\napplication_secret: {file: %s}\nconsumer_key: {file: %s}\ntimeout: 2s\nper_second: 10000\n",
			front.URL, ovhTestKey, conformance.SecretFile(t, ovhTestSecret), conformance.SecretFile(t, ovhTestConsumer)),
		Zone: f.zone.Name, Truth: f.served.Truth, Seen: f.zone.Seen, Faults: front, Secrets: []string{ovhTestSecret, ovhTestConsumer}, MinTTL: 60,
		Edit: func(ctx context.Context, s rrset.Set) error {
			err := edit(ctx, s)
			f.publish()
			return err
		},
	}
}

package providers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"mxcutover/providers/conformance"
)

// dnsimpleFake speaks the API v2 as documented at https://developer.dnsimple.com/v2/:
// whoami, accounts, a zone, its records (pages of 30, at most 100), and the batch
// change; bearer tokens, {"data": ...}, {"message": ..., "errors": {...}}.
type dnsimpleFake struct {
	zone      *conformance.Zone
	token     string
	accounts  []uint64 // of the user; empty: the token is account 1010's
	secondary bool
	basic     bool                // a plan without the batch change
	regions   map[string][]string // by ID
}

// errDNSimple is a refusal: its text is the field "errors".
type errDNSimple string

func (e errDNSimple) Error() string { return string(e) }

func dnsimpleAnswers() conformance.Answers {
	return conformance.Answers{
		Busy: func(w http.ResponseWriter, _ *http.Request, wait time.Duration) {
			w.Header().Set("X-RateLimit-Limit", "2400")
			w.Header().Set("X-RateLimit-Remaining", "0")
			w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(time.Now().Add(wait+time.Second-time.Nanosecond).Unix(), 10))
			dnsimpleError(w, http.StatusTooManyRequests, "quota exceeded", "")
		},
		Broken: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprint(w, "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n</html>\r\n")
		},
		Refused: func(w http.ResponseWriter, _ *http.Request) {
			dnsimpleError(w, http.StatusBadRequest, "Validation failed", `{"content":["can't be blank"]}`)
		},
		Expired: func(w http.ResponseWriter, r *http.Request) {
			dnsimpleError(w, http.StatusUnauthorized, "Authentication failed: "+r.Header.Get("Authorization"), "")
		},
	}
}

func dnsimpleError(w http.ResponseWriter, status int, message, errs string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	body := map[string]any{"message": message}
	if errs != "" {
		body["errors"] = json.RawMessage(errs)
	}
	json.NewEncoder(w).Encode(body)
}

func dnsimpleData(w http.ResponseWriter, status int, data any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"data": data})
}

func (f *dnsimpleFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	zone := "/v2/1010/zones/" + strings.TrimSuffix(f.zone.Name, ".")
	id, one := strings.CutPrefix(r.URL.Path, zone+"/records/")
	switch where := r.Method + " " + r.URL.Path; {
	case r.Header.Get("Authorization") != "Bearer "+f.token:
		dnsimpleError(w, http.StatusUnauthorized, "Authentication failed", "")
	case where == "GET /v2/whoami":
		var account any
		if len(f.accounts) == 0 {
			account = map[string]any{"id": 1010, "email": "ops@example.org", "plan_identifier": "teams-v1-monthly"}
		}
		dnsimpleData(w, http.StatusOK, map[string]any{"user": nil, "account": account})
	case where == "GET /v2/accounts":
		list := []map[string]any{}
		for _, a := range f.accounts {
			list = append(list, map[string]any{"id": a, "email": fmt.Sprintf("ops%d@example.org", a)})
		}
		dnsimpleData(w, http.StatusOK, list)
	case !strings.HasPrefix(r.URL.Path+"/", zone+"/"):
		dnsimpleError(w, http.StatusNotFound, "Zone `x` not found", "")
	case where == "GET "+zone:
		dnsimpleData(w, http.StatusOK, map[string]any{"id": 1, "account_id": 1010, "name": strings.TrimSuffix(f.zone.Name, "."), "reverse": false, "secondary": f.secondary, "active": true})
	case where == "GET "+zone+"/records":
		f.list(w, r)
	case where == "POST "+zone+"/records":
		f.change(w, r, http.StatusCreated, f.create)
	case where == "POST "+zone+"/batch" && f.basic:
		dnsimpleError(w, http.StatusPreconditionFailed, "The batch change zone records feature is not enabled for the account ops@example.org", "")
	case where == "POST "+zone+"/batch":
		f.change(w, r, http.StatusOK, f.batch)
	case one && r.Method == http.MethodPatch:
		f.change(w, r, http.StatusOK, func(recs []conformance.Rec, d *json.Decoder) ([]conformance.Rec, error) { return f.update(recs, d, id) })
	case one && r.Method == http.MethodDelete:
		f.change(w, r, http.StatusNoContent, func(recs []conformance.Rec, _ *json.Decoder) ([]conformance.Rec, error) { return without(recs, id) })
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// list answers with one page, by ID.
func (f *dnsimpleFake) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	n, size := 1, 30
	if v := q.Get("page"); v != "" {
		n = must(strconv.Atoi(v))
	}
	if v := q.Get("per_page"); v != "" {
		size = min(100, must(strconv.Atoi(v)))
	}
	recs := slices.DeleteFunc(f.zone.Records(), func(r conformance.Rec) bool {
		return q.Has("name") && !strings.EqualFold(f.relative(r.Name), q.Get("name")) || q.Has("type") && r.Type != q.Get("type")
	})
	from := min((n-1)*size, len(recs))
	page := []map[string]any{}
	for _, r := range recs[from:min(from+size, len(recs))] {
		page = append(page, f.shown(r))
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	json.NewEncoder(w).Encode(map[string]any{"data": page, "pagination": map[string]int{
		"current_page": n, "per_page": size, "total_entries": len(recs), "total_pages": (len(recs) + size - 1) / size,
	}})
}

func (f *dnsimpleFake) relative(name string) string {
	if strings.EqualFold(name, f.zone.Name) {
		return ""
	}
	return name[:len(name)-len(f.zone.Name)-1]
}

// shown has no preference in the content, and hosts without their final dot.
func (f *dnsimpleFake) shown(r conformance.Rec) map[string]any {
	content, priority := r.Data, any(nil)
	if r.Type == "MX" {
		p, host, _ := strings.Cut(r.Data, " ")
		content, priority = host, must(strconv.Atoi(p))
	}
	if content != "." && r.Type != "TXT" {
		content = strings.TrimSuffix(content, ".")
	}
	regions := f.regions[r.ID]
	if regions == nil {
		regions = []string{"global"}
	}
	return map[string]any{
		"id": must(strconv.Atoi(r.ID)), "zone_id": strings.TrimSuffix(f.zone.Name, "."), "parent_id": nil, "name": f.relative(r.Name),
		"content": content, "ttl": r.TTL, "priority": priority, "type": r.Type, "regions": regions, "system_record": r.Type == "SOA",
	}
}

type dnsimpleFakeRecord struct {
	ID       *int64  `json:"id"`
	Name     *string `json:"name"`
	Type     string  `json:"type"`
	Content  *string `json:"content"`
	TTL      *uint32 `json:"ttl"`
	Priority *int    `json:"priority"`
}

// change carries out a whole request, or nothing of it.
func (f *dnsimpleFake) change(w http.ResponseWriter, r *http.Request, done int, do func([]conformance.Rec, *json.Decoder) ([]conformance.Rec, error)) {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if r.Method != http.MethodDelete && r.Header.Get("Content-Type") != "application/json" {
		dnsimpleError(w, http.StatusBadRequest, "Content-Type must be application/json", "")
		return
	}
	err := f.zone.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) { return do(recs, d) })
	var refused errDNSimple
	switch {
	case errors.As(err, &refused):
		dnsimpleError(w, http.StatusBadRequest, "Validation failed", string(refused))
	case err != nil && strings.HasPrefix(err.Error(), "Record"):
		dnsimpleError(w, http.StatusNotFound, err.Error(), "")
	case err != nil:
		dnsimpleError(w, http.StatusBadRequest, err.Error(), "")
	case done == http.StatusNoContent:
		w.WriteHeader(done)
	default:
		dnsimpleData(w, done, map[string]any{})
	}
}

func without(recs []conformance.Rec, id string) ([]conformance.Rec, error) {
	n := len(recs)
	recs = slices.DeleteFunc(recs, func(r conformance.Rec) bool { return r.ID == id })
	if len(recs) == n {
		return nil, fmt.Errorf("Record `%s` not found", id)
	}
	return recs, nil
}

func (f *dnsimpleFake) create(recs []conformance.Rec, d *json.Decoder) ([]conformance.Rec, error) {
	var body dnsimpleFakeRecord
	if err := d.Decode(&body); err != nil {
		return nil, err
	}
	return f.add(recs, body)
}

func (f *dnsimpleFake) add(recs []conformance.Rec, b dnsimpleFakeRecord) ([]conformance.Rec, error) {
	if b.Name == nil || b.Type == "" || b.Content == nil || b.ID != nil {
		return nil, errDNSimple(`{"content":["can't be blank"]}`)
	}
	n := conformance.Rec{ID: f.zone.NewID(), Name: strings.TrimPrefix(*b.Name+"."+f.zone.Name, "."), Type: b.Type, TTL: 3600}
	if !slices.Contains([]string{"A", "AAAA", "ALIAS", "CAA", "CNAME", "MX", "NAPTR", "NS", "PTR", "SPF", "SRV", "SSHFP", "TXT"}, b.Type) {
		return nil, errDNSimple(`{"record_type":["unsupported"]}`)
	}
	for _, r := range recs {
		if r.Of(n.Name, "CNAME") != (n.Type == "CNAME") && r.Of(n.Name, r.Type) {
			return nil, errDNSimple(`{"base":["A CNAME record can have no others beside it"]}`)
		}
	}
	if err := dnsimpleSet(&n, b); err != nil {
		return nil, err
	}
	return append(recs, n), nil
}

func (f *dnsimpleFake) update(recs []conformance.Rec, d *json.Decoder, id string) ([]conformance.Rec, error) {
	var body dnsimpleFakeRecord
	if err := d.Decode(&body); err != nil {
		return nil, err
	}
	for i := range recs {
		if recs[i].ID == id {
			return recs, dnsimpleSet(&recs[i], body)
		}
	}
	return nil, fmt.Errorf("Record `%s` not found", id)
}

// dnsimpleSet changes what is there in the body.
func dnsimpleSet(r *conformance.Rec, b dnsimpleFakeRecord) error {
	preference, host, _ := strings.Cut(r.Data, " ")
	if b.Priority != nil {
		preference = strconv.Itoa(*b.Priority)
	} else if r.Data == "" {
		preference = "0"
	}
	if b.TTL != nil {
		r.TTL = *b.TTL
	}
	switch {
	case r.Type == "MX" && b.Content != nil:
		r.Data = preference + " " + *b.Content
	case r.Type == "MX":
		r.Data = preference + " " + host
	case b.Content != nil:
		r.Data = *b.Content
	}
	if r.Type == "TXT" && strings.Contains(r.Data, `\`) {
		return errDNSimple(`{"content":["has unpaired or escaped quotes"]}`)
	}
	if _, err := dns.NewRR(fmt.Sprintf("%s 60 IN %s %s", r.Name, r.Type, r.Data)); err != nil {
		return errDNSimple(`{"content":["is invalid"]}`)
	}
	return nil
}

// batch carries out deletes, then updates, then creates, all or none.
func (f *dnsimpleFake) batch(recs []conformance.Rec, d *json.Decoder) ([]conformance.Rec, error) {
	var body struct {
		Creates, Updates, Deletes []dnsimpleFakeRecord
	}
	if err := d.Decode(&body); err != nil {
		return nil, err
	}
	refused := func(what string, i int, id int64) error {
		return errDNSimple(fmt.Sprintf(`{"%s":[{"index":%d,"message":"Record not found ID=%d"}]}`, what, i, id))
	}
	var err error
	for i, x := range body.Deletes {
		if recs, err = without(recs, strconv.FormatInt(*x.ID, 10)); err != nil {
			return nil, refused("deletes", i, *x.ID)
		}
	}
	for i, x := range body.Updates {
		at := slices.IndexFunc(recs, func(r conformance.Rec) bool { return r.ID == strconv.FormatInt(*x.ID, 10) })
		if at < 0 {
			return nil, refused("updates", i, *x.ID)
		}
		if err := dnsimpleSet(&recs[at], x); err != nil {
			return nil, err
		}
	}
	for _, x := range body.Creates {
		if recs, err = f.add(recs, x); err != nil {
			return nil, err
		}
	}
	return recs, nil
}

func dnsimpleBed(t testing.TB, batch bool) (*dnsimpleFake, *conformance.Bed) {
	f := &dnsimpleFake{zone: conformance.NewZone("7", "example.test."), token: "dnsimple_u_changeme0123456789", regions: map[string][]string{}}
	front := conformance.NewFront(t, f, dnsimpleAnswers())
	return f, &conformance.Bed{
		Kind: "dnsimple",
		Settings: fmt.Sprintf("endpoint: %s/v2\ntoken: {file: %s}\nbatch: %v\ntimeout: 2s\nper_second: 10000\n",
			front.URL, conformance.SecretFile(t, f.token), batch),
		Zone: f.zone.Name, Truth: f.zone.Truth, Edit: f.zone.EditInPlace, Seen: f.zone.Seen, Faults: front, Secrets: []string{f.token},
	}
}

package providers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/idna"

	"mxcutover/providers/conformance"
)

// scalewayFake speaks the API Domains and DNS v2beta1 as documented at
// https://www.scaleway.com/en/developers/api/domains-and-dns/: GET and PATCH of
// the records of a zone, relative names, hosts without a final dot relative to
// the zone, Unicode for names and data
// (https://www.scaleway.com/en/docs/domains-and-dns/reference-content/understanding-domains-and-dns/),
// an MX's preference in a field of its own when sent, and before the host too
// when received.
type scalewayFake struct {
	zone    *conformance.Zone
	token   string
	most    int               // records on a page, whatever is asked for
	comment map[string]string // by ID
	dynamic map[string]string // by ID: a field, set to {}
	paged   func(page int)    // after each page
}

type scalewayFakeRecord struct {
	ID       string  `json:"id"`
	Data     string  `json:"data"`
	Name     string  `json:"name"`
	Priority uint32  `json:"priority"`
	TTL      *uint32 `json:"ttl"`
	Type     string  `json:"type"`
	Comment  *string `json:"comment"`
}

type scalewayFakeTarget struct {
	ID     string `json:"id"`
	Fields *struct {
		Name string  `json:"name"`
		Type string  `json:"type"`
		Data *string `json:"data"`
		TTL  *uint32 `json:"ttl"`
	} `json:"id_fields"`
	Records []scalewayFakeRecord `json:"records"`
}

func scalewayAnswers() conformance.Answers {
	return conformance.Answers{
		Busy: func(w http.ResponseWriter, _ *http.Request, wait time.Duration) {
			w.Header().Set("Retry-After", fmt.Sprint(int(wait.Seconds())))
			scalewayError(w, http.StatusTooManyRequests, "too_many_requests", "too many requests")
		},
		Broken: func(w http.ResponseWriter, _ *http.Request) {
			scalewayError(w, http.StatusInternalServerError, "", "internal error")
		},
		Refused: func(w http.ResponseWriter, _ *http.Request) {
			scalewayError(w, http.StatusBadRequest, "invalid_arguments", "invalid argument(s)")
		},
		Expired: func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			json.NewEncoder(w).Encode(map[string]string{
				"type": "denied_authentication", "message": "authentication is denied", "method": "api_key",
				"reason": "expired", "key": r.Header.Get("X-Auth-Token"),
			})
		},
	}
}

func scalewayError(w http.ResponseWriter, status int, typ, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	body := map[string]any{"message": message}
	if typ != "" {
		body["type"] = typ
	}
	json.NewEncoder(w).Encode(body)
}

func (f *scalewayFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case r.Header.Get("X-Auth-Token") != f.token:
		scalewayError(w, http.StatusUnauthorized, "denied_authentication", "authentication is denied")
	case path != "/domain/v2beta1/dns-zones/"+strings.TrimSuffix(f.zone.Name, ".")+"/records":
		scalewayError(w, http.StatusForbidden, "", "domain not found")
	case r.Method == http.MethodGet:
		f.list(w, r)
	case r.Method == http.MethodPatch:
		f.patch(w, r)
	default:
		scalewayError(w, http.StatusMethodNotAllowed, "", "method not allowed")
	}
}

// list answers with one page, by name.
func (f *scalewayFake) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	n, err := strconv.Atoi(q.Get("page"))
	size, serr := strconv.Atoi(q.Get("page_size"))
	if err != nil || serr != nil || n < 1 || size < 1 || q.Get("order_by") != "name_asc" {
		scalewayError(w, http.StatusBadRequest, "invalid_arguments", "invalid argument(s)")
		return
	}
	recs := slices.DeleteFunc(f.zone.Records(), func(r conformance.Rec) bool { return r.Type == "SOA" })
	slices.SortStableFunc(recs, func(a, b conformance.Rec) int { return strings.Compare(a.Name, b.Name) })
	size = min(size, f.most)
	from := min((n-1)*size, len(recs))
	page := []map[string]any{}
	for _, r := range recs[from:min(from+size, len(recs))] {
		page = append(page, f.shown(r))
	}
	json.NewEncoder(w).Encode(map[string]any{"total_count": len(recs), "records": page})
	if f.paged != nil {
		f.paged(n)
	}
}

func (f *scalewayFake) shown(r conformance.Rec) map[string]any {
	data, priority := r.Data, 0
	switch r.Type {
	case "MX":
		preference, host, _ := strings.Cut(r.Data, " ")
		priority, _ = strconv.Atoi(preference)
		data = preference + " " + must(idna.ToUnicode(dns.Fqdn(host)))
	case "CNAME", "NS":
		data = must(idna.ToUnicode(dns.Fqdn(r.Data)))
	}
	out := map[string]any{"id": r.ID, "data": data, "name": f.relative(r.Name), "priority": priority, "ttl": r.TTL, "type": r.Type, "comment": nil}
	if c, ok := f.comment[r.ID]; ok {
		out["comment"] = c
	}
	if d, ok := f.dynamic[r.ID]; ok {
		out[d] = map[string]any{}
	}
	return out
}

// relative is a name as the service spells it.
func (f *scalewayFake) relative(name string) string {
	if strings.EqualFold(name, f.zone.Name) {
		return ""
	}
	return must(idna.ToUnicode(name[:len(name)-len(f.zone.Name)-1]))
}

func (f *scalewayFake) absolute(name string) string {
	if name == "" || name == "@" {
		return f.zone.Name
	}
	return must(idna.ToASCII(name)) + "." + f.zone.Name
}

// patch carries out all changes, or none.
func (f *scalewayFake) patch(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Changes []struct {
			Add    *scalewayFakeTarget `json:"add"`
			Set    *scalewayFakeTarget `json:"set"`
			Delete *scalewayFakeTarget `json:"delete"`
		} `json:"changes"`
		All    bool    `json:"return_all_records"`
		NoZone bool    `json:"disallow_new_zone_creation"`
		Serial *uint64 `json:"serial"`
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&body); err != nil {
		scalewayError(w, http.StatusBadRequest, "", "error on field 'change': unknown field")
		return
	}
	err := f.zone.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) {
		var err error
		for _, c := range body.Changes {
			switch {
			case c.Add != nil && c.Set == nil && c.Delete == nil:
				recs, err = f.add(recs, c.Add.Records)
			case c.Set != nil && c.Add == nil && c.Delete == nil:
				if recs, err = f.without(recs, *c.Set); err == nil {
					recs, err = f.add(recs, c.Set.Records)
				}
			case c.Delete != nil && c.Add == nil && c.Set == nil:
				recs, err = f.without(recs, *c.Delete)
			default:
				err = fmt.Errorf("precisely one of add, set, delete, clear must be set")
			}
			if err != nil {
				return nil, err
			}
		}
		return recs, nil
	})
	if err != nil {
		scalewayError(w, http.StatusBadRequest, "invalid_arguments", err.Error())
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"records": []any{}})
}

// without takes away what a change chooses.
func (f *scalewayFake) without(recs []conformance.Rec, t scalewayFakeTarget) ([]conformance.Rec, error) {
	n := len(recs)
	recs = slices.DeleteFunc(recs, func(r conformance.Rec) bool {
		if t.Fields == nil {
			return r.ID == t.ID
		}
		return f.relative(r.Name) == t.Fields.Name && r.Type == t.Fields.Type &&
			(t.Fields.Data == nil || *t.Fields.Data == r.Data) && (t.Fields.TTL == nil || *t.Fields.TTL == r.TTL)
	})
	if len(recs) == n {
		return nil, fmt.Errorf("record not found")
	}
	return recs, nil
}

func (f *scalewayFake) add(recs []conformance.Rec, add []scalewayFakeRecord) ([]conformance.Rec, error) {
	for _, a := range add {
		n := conformance.Rec{ID: f.zone.NewID(), Name: f.absolute(a.Name), Type: a.Type, Data: a.Data}
		if a.TTL == nil || *a.TTL < 60 || *a.TTL > 2592000 {
			return nil, fmt.Errorf("ttl: must be between 60 and 2592000")
		}
		n.TTL = *a.TTL
		switch a.Type {
		case "MX":
			if a.Priority > 65535 || len(strings.Fields(a.Data)) != 1 {
				return nil, fmt.Errorf("data: is not a host")
			}
			n.Data = fmt.Sprint(a.Priority) + " " + f.host(a.Data)
		case "CNAME", "NS":
			n.Data = f.host(a.Data)
		}
		if _, err := dns.NewRR(fmt.Sprintf("%s 60 IN %s %s", n.Name, n.Type, n.Data)); err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
		for _, r := range recs {
			if r.Of(n.Name, "CNAME") != (n.Type == "CNAME") && r.Of(n.Name, r.Type) {
				return nil, fmt.Errorf("a CNAME record can have no others beside it")
			}
		}
		if a.Comment != nil {
			f.comment[n.ID] = *a.Comment
		}
		recs = append(recs, n)
	}
	return recs, nil
}

// host is absolute only with its final dot.
func (f *scalewayFake) host(h string) string {
	h = must(idna.ToASCII(h))
	if dns.IsFqdn(h) {
		return h
	}
	return h + "." + f.zone.Name
}

func scalewayBed(t testing.TB) (*scalewayFake, *conformance.Bed) {
	f := &scalewayFake{
		zone: conformance.NewZone("s", "example.test."), token: "11111111-2222-3333-4444-555555555555", most: 50,
		comment: map[string]string{}, dynamic: map[string]string{},
	}
	front := conformance.NewFront(t, f, scalewayAnswers())
	return f, &conformance.Bed{
		Kind:     "scaleway",
		Settings: fmt.Sprintf("endpoint: %s/domain/v2beta1\nsecret_key: {file: %s}\ntimeout: 2s\nper_second: 10000\n", front.URL, conformance.SecretFile(t, f.token)),
		Zone:     f.zone.Name, Truth: f.zone.Truth, Edit: f.zone.Edit, Seen: f.zone.Seen, Faults: front, Secrets: []string{f.token},
	}
}

package providers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"mxcutover/providers/conformance"
)

// powerdnsFake speaks the HTTP API of PowerDNS as documented at
// https://doc.powerdns.com/authoritative/http-api/zone.html: the objects Zone,
// RRSet and Record, GET with zone and rrset_name, PATCH with changetype, 204
// without a body, 422 with {"error": ...}.
type powerdnsFake struct {
	zone     *conformance.Zone
	key      string
	disabled map[string][]string // records that are there and not answered, by name and type
	whole    bool                // as servers before 4.8: rrset_name is not known
}

type powerdnsFakeRecord struct {
	Content  string `json:"content"`
	Disabled bool   `json:"disabled"`
}

type powerdnsFakeRRset struct {
	Comments   []string             `json:"comments"`
	Name       string               `json:"name"`
	Type       string               `json:"type"`
	TTL        *int64               `json:"ttl,omitempty"`
	ChangeType string               `json:"changetype,omitempty"`
	Records    []powerdnsFakeRecord `json:"records"`
}

func powerdnsAnswers() conformance.Answers {
	return conformance.Answers{
		Busy: func(w http.ResponseWriter, _ *http.Request, wait time.Duration) { // a proxy's, before the server
			w.Header().Set("Retry-After", fmt.Sprint(int(wait.Seconds())))
			w.WriteHeader(http.StatusTooManyRequests)
		},
		Broken: func(w http.ResponseWriter, _ *http.Request) {
			powerdnsError(w, http.StatusInternalServerError, "Internal Server Error")
		},
		Refused: func(w http.ResponseWriter, _ *http.Request) {
			powerdnsError(w, http.StatusUnprocessableEntity, "RRset x. IN MX: Conflicts with pre-existing RRset")
		},
		Expired: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", `X-API-Key realm="PowerDNS"`)
			powerdnsError(w, http.StatusUnauthorized, "Unauthorized: "+r.Header.Get("X-API-Key"))
		},
	}
}

func powerdnsError(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": text})
}

func (f *powerdnsFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const zones = "/api/v1/servers/localhost/zones"
	switch path := r.URL.Path; {
	case r.Header.Get("X-API-Key") != f.key:
		powerdnsError(w, http.StatusUnauthorized, "Unauthorized")
	case path == zones && r.Method == http.MethodGet:
		list := []map[string]any{}
		if want := r.URL.Query().Get("zone"); want == "" || want == f.zone.Name {
			list = append(list, map[string]any{"id": f.zone.Name, "name": f.zone.Name, "kind": "Native", "serial": 1, "url": zones + "/" + f.zone.Name})
		}
		json.NewEncoder(w).Encode(list)
	case path != zones+"/"+f.zone.Name:
		powerdnsError(w, http.StatusNotFound, "Not Found")
	case r.Method == http.MethodGet:
		json.NewEncoder(w).Encode(map[string]any{"id": f.zone.Name, "name": f.zone.Name, "kind": "Native", "rrsets": f.rrsets(r.URL.Query().Get("rrset_name"))})
	case r.Method == http.MethodPatch:
		f.patch(w, r)
	default:
		powerdnsError(w, http.StatusMethodNotAllowed, "Method Not Allowed")
	}
}

// rrsets are in no order. Names and hosts have their final dot.
func (f *powerdnsFake) rrsets(name string) []powerdnsFakeRRset {
	sets := map[string]*powerdnsFakeRRset{}
	add := func(name, typ string, ttl int64, r powerdnsFakeRecord) {
		k := strings.ToLower(name + " " + typ)
		if sets[k] == nil {
			sets[k] = &powerdnsFakeRRset{Comments: []string{}, Name: dns.Fqdn(name), Type: typ, TTL: &ttl}
		}
		sets[k].Records = append(sets[k].Records, r)
	}
	for _, r := range f.zone.Records() {
		if r.Type == "MX" {
			r.Data = dns.Fqdn(r.Data)
		}
		add(r.Name, r.Type, int64(r.TTL), powerdnsFakeRecord{r.Data, false})
	}
	for k, contents := range f.disabled {
		owner, typ, _ := strings.Cut(k, " ")
		for _, c := range contents {
			add(owner, typ, 300, powerdnsFakeRecord{c, true})
		}
	}
	out := []powerdnsFakeRRset{}
	for _, s := range sets {
		if name == "" || f.whole || strings.EqualFold(s.Name, name) {
			out = append(out, *s)
		}
	}
	return out
}

// patch carries out all RRsets of a request, or none.
func (f *powerdnsFake) patch(w http.ResponseWriter, r *http.Request) {
	var body struct {
		RRsets []powerdnsFakeRRset `json:"rrsets"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		powerdnsError(w, http.StatusBadRequest, "Request body is not valid JSON")
		return
	}
	err := f.zone.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) {
		for _, s := range body.RRsets {
			if err := f.check(recs, s); err != nil {
				return nil, err
			}
			recs = slices.DeleteFunc(recs, func(r conformance.Rec) bool { return r.Of(s.Name, s.Type) })
			delete(f.disabled, s.Name+" "+s.Type)
			for _, x := range s.Records {
				if x.Disabled {
					f.disabled[s.Name+" "+s.Type] = append(f.disabled[s.Name+" "+s.Type], x.Content)
					continue
				}
				recs = append(recs, conformance.Rec{ID: f.zone.NewID(), Name: s.Name, Type: s.Type, TTL: uint32(*s.TTL), Data: x.Content})
			}
		}
		return recs, nil
	})
	if err != nil {
		powerdnsError(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// check refuses what the server refuses.
func (f *powerdnsFake) check(recs []conformance.Rec, s powerdnsFakeRRset) error {
	which := fmt.Sprintf("RRset %s IN %s", s.Name, s.Type)
	switch {
	case s.Name != dns.CanonicalName(s.Name):
		return fmt.Errorf("%s: Name is not canonical", which)
	case !dns.IsSubDomain(f.zone.Name, s.Name):
		return fmt.Errorf("%s: Name is out of zone", which)
	case s.ChangeType == "DELETE" && (len(s.Records) > 0 || s.TTL != nil):
		return fmt.Errorf("%s: DELETE takes neither records nor ttl", which)
	case s.ChangeType == "DELETE":
		return nil
	case s.ChangeType != "REPLACE":
		return fmt.Errorf("%s: Changetype not understood", which)
	case s.TTL == nil:
		return fmt.Errorf("%s: Key 'ttl' is not an Integer", which)
	}
	for _, x := range s.Records {
		rr, err := dns.NewRR(fmt.Sprintf("%s %d IN %s %s", s.Name, *s.TTL, s.Type, x.Content))
		if err != nil {
			return fmt.Errorf("Record %s/%s '%s': Parsing record content failed", s.Name, s.Type, x.Content)
		}
		if back := strings.TrimPrefix(rr.String(), rr.Header().String()); back != x.Content {
			return fmt.Errorf("Record %s/%s '%s': Not in expected format (parsed as '%s')", s.Name, s.Type, x.Content, back)
		}
	}
	for _, r := range recs {
		if r.Of(s.Name, r.Type) && (r.Type == "CNAME") != (s.Type == "CNAME") {
			return fmt.Errorf("%s: Conflicts with pre-existing RRset", which)
		}
	}
	return nil
}

const powerdnsTestKey = "changeme-0123456789abcdef"

// powerdnsBed is a fake of its own.
func powerdnsBed(t testing.TB) (*powerdnsFake, *conformance.Bed) {
	f := &powerdnsFake{zone: conformance.NewZone("z", "example.test."), key: powerdnsTestKey, disabled: map[string][]string{}}
	front := conformance.NewFront(t, f, powerdnsAnswers())
	return f, &conformance.Bed{
		Kind:     "powerdns",
		Settings: fmt.Sprintf("endpoint: %s\napi_key: {file: %s}\ntimeout: 2s\nper_second: 10000\n", front.URL, conformance.SecretFile(t, f.key)),
		Zone:     f.zone.Name, Truth: f.zone.Truth, Edit: f.zone.Edit, Seen: f.zone.Seen, Faults: front, Secrets: []string{f.key},
	}
}

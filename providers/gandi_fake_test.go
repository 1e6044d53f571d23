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

	"mxcutover/providers/conformance"
)

// gandiFake speaks the LiveDNS API as documented at
// https://api.gandi.net/docs/livedns/: RRsets relative to the domain, by pages
// that a Link header leads on to, PUT of values and TTL, errors with cause, code,
// message and object, or with status and errors. Names are found in the spelling
// alone that they were written in.
type gandiFake struct {
	zone *conformance.Zone
	auth string // the whole header
	page int    // RRsets a page
}

type gandiFakeRRset struct {
	Name   string   `json:"rrset_name"`
	Type   string   `json:"rrset_type"`
	TTL    *int64   `json:"rrset_ttl"`
	Values []string `json:"rrset_values"`
	Href   string   `json:"rrset_href"`
}

func gandiError(w http.ResponseWriter, status int, object, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"code": status, "cause": http.StatusText(status), "message": text, "object": object})
}

// gandiInvalid is the answer to values that are not taken.
func gandiInvalid(w http.ResponseWriter, name, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	json.NewEncoder(w).Encode(map[string]any{"status": "error", "errors": []map[string]string{{"location": "body", "name": name, "description": text}}})
}

const gandiDenied = "The server could not verify that you authorized to access the document you requested. Either you supplied the wrong credentials (e.g., bad api key), or your access token has expired"

func gandiAnswers() conformance.Answers {
	return conformance.Answers{
		Busy: func(w http.ResponseWriter, _ *http.Request, wait time.Duration) {
			w.Header().Set("Retry-After", fmt.Sprint(int(wait.Seconds())))
			gandiError(w, http.StatusTooManyRequests, "HTTPTooManyRequests", "Rate limit exceeded")
		},
		Broken: func(w http.ResponseWriter, _ *http.Request) {
			gandiError(w, http.StatusInternalServerError, "HTTPInternalServerError", "Internal Server Error")
		},
		Refused: func(w http.ResponseWriter, _ *http.Request) {
			gandiInvalid(w, "rrset_values", "invalid value")
		},
		Expired: func(w http.ResponseWriter, r *http.Request) {
			gandiError(w, http.StatusUnauthorized, "HTTPUnauthorized", gandiDenied+": "+r.Header.Get("Authorization"))
		},
	}
}

func (f *gandiFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/v5/livedns/domains/"+strings.TrimSuffix(f.zone.Name, ".")+"/records")
	part := strings.Split(rest, "/") // "", name, type
	switch {
	case r.Header.Get("Authorization") != f.auth:
		gandiError(w, http.StatusUnauthorized, "HTTPUnauthorized", gandiDenied)
	case !ok:
		gandiError(w, http.StatusNotFound, "dns-domain", "Can't find the domain")
	case r.Method != http.MethodGet && r.Method != http.MethodDelete && r.Header.Get("Content-Type") != "application/json":
		gandiError(w, http.StatusUnsupportedMediaType, "HTTPUnsupportedMediaType", "Unsupported Media Type")
	case len(part) == 1 && r.Method == http.MethodGet:
		f.list(w, r)
	case len(part) == 2 && r.Method == http.MethodGet:
		all := slices.DeleteFunc(f.rrsets(), func(s gandiFakeRRset) bool { return s.Name != part[1] })
		if len(all) == 0 {
			gandiError(w, http.StatusNotFound, "dns-record", "Can't find the DNS record "+part[1])
			return
		}
		json.NewEncoder(w).Encode(all)
	case len(part) == 3 && r.Method == http.MethodPut:
		f.put(w, r, part[1], part[2])
	case len(part) == 3 && r.Method == http.MethodDelete:
		f.zone.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) {
			return slices.DeleteFunc(recs, func(x conformance.Rec) bool { return f.label(x.Name) == part[1] && x.Type == part[2] }), nil
		})
		w.WriteHeader(http.StatusNoContent)
	default:
		gandiError(w, http.StatusMethodNotAllowed, "HTTPMethodNotAllowed", "Method Not Allowed")
	}
}

// label is a name relative to the domain, in its own spelling.
func (f *gandiFake) label(name string) string {
	if name = dns.Fqdn(name); strings.EqualFold(name, f.zone.Name) {
		return "@"
	}
	return name[:len(name)-len(f.zone.Name)-1]
}

// rrsets are in the order of their first record.
func (f *gandiFake) rrsets() []gandiFakeRRset {
	var out []gandiFakeRRset
	at := map[string]int{}
	for _, r := range f.zone.Records() {
		if r.Type == "SOA" {
			continue
		}
		k, ttl := f.label(r.Name)+" "+r.Type, int64(r.TTL)
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, gandiFakeRRset{Name: f.label(r.Name), Type: r.Type, TTL: &ttl, Href: "https://api.test/v5/livedns/domains/example.test/records/" + f.label(r.Name) + "/" + r.Type})
		}
		out[i].Values = append(out[i].Values, r.Data)
	}
	return out
}

func (f *gandiFake) list(w http.ResponseWriter, r *http.Request) {
	all, n := f.rrsets(), 1
	if p := r.URL.Query().Get("page"); p != "" {
		var err error
		if n, err = strconv.Atoi(p); err != nil || n < 1 {
			gandiInvalid(w, "page", p+" is less than minimum value 1")
			return
		}
	}
	w.Header().Set("Total-Count", fmt.Sprint(len(all)))
	from, to := min((n-1)*f.page, len(all)), min(n*f.page, len(all))
	if to < len(all) {
		w.Header().Set("Link", fmt.Sprintf(`<https://api.test%s?page=1>; rel="first", <https://api.test%s?page=%d>; rel="next"`, r.URL.Path, r.URL.Path, n+1))
	}
	json.NewEncoder(w).Encode(append([]gandiFakeRRset{}, all[from:to]...))
}

func (f *gandiFake) put(w http.ResponseWriter, r *http.Request, label, typ string) {
	var s gandiFakeRRset
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		gandiError(w, http.StatusBadRequest, "HTTPBadRequest", "Invalid JSON")
		return
	}
	ttl := int64(10800) // where none is given
	if s.TTL != nil {
		ttl = *s.TTL
	}
	switch {
	case len(s.Values) == 0:
		gandiInvalid(w, "rrset_values", "Shorter than minimum length 1")
		return
	case ttl < 300:
		gandiInvalid(w, "rrset_ttl", fmt.Sprintf("%d is less than minimum value 300", ttl))
		return
	case ttl > 2592000:
		gandiInvalid(w, "rrset_ttl", fmt.Sprintf("%d is greater than maximum value 2592000", ttl))
		return
	}
	name := label + "." + f.zone.Name
	if label == "@" {
		name = f.zone.Name
	}
	for i, v := range s.Values {
		p := dns.NewZoneParser(strings.NewReader(fmt.Sprintf("%s %d IN %s %s\n", name, ttl, typ, v)), f.zone.Name, "")
		rr, ok := p.Next()
		if !ok || p.Err() != nil {
			gandiInvalid(w, "rrset_values", "invalid value "+v)
			return
		}
		s.Values[i] = strings.TrimPrefix(rr.String(), rr.Header().String()) // hosts are absolute from here on
	}
	err := f.zone.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) {
		recs = slices.DeleteFunc(recs, func(x conformance.Rec) bool { return f.label(x.Name) == label && x.Type == typ })
		for _, x := range recs {
			if f.label(x.Name) == label && (x.Type == "CNAME" || typ == "CNAME") {
				return nil, fmt.Errorf("a CNAME record already exists with the same name")
			}
		}
		for _, v := range s.Values {
			recs = append(recs, conformance.Rec{ID: f.zone.NewID(), Name: name, Type: typ, TTL: uint32(ttl), Data: v})
		}
		return recs, nil
	})
	if err != nil {
		gandiError(w, http.StatusConflict, "HTTPConflict", err.Error())
		return
	}
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(map[string]string{"message": "DNS Record Created"})
}

const gandiTestToken = "pat-0123456789abcdef"

// gandiBed is a fake of its own. Somebody else's hosts have their final dot: one
// without it would be another name.
func gandiBed(t testing.TB, scheme, key string) (*gandiFake, *conformance.Bed) {
	f := &gandiFake{zone: conformance.NewZone("g", "example.test."), auth: scheme + " " + gandiTestToken, page: 100}
	front := conformance.NewFront(t, f, gandiAnswers())
	return f, &conformance.Bed{
		Kind:     "gandi",
		Settings: fmt.Sprintf("endpoint: %s/v5/livedns\n%s: {file: %s}\ntimeout: 2s\nper_second: 10000\n", front.URL, key, conformance.SecretFile(t, gandiTestToken)),
		Zone:     f.zone.Name, Truth: f.zone.Truth, Edit: dotted(f.zone.Edit), Seen: f.zone.Seen, Faults: front, Secrets: []string{gandiTestToken}, MinTTL: 300,
	}
}

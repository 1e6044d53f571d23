package providers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

// desecFake speaks the API as documented at
// https://desec.readthedocs.io/en/latest/dns/rrsets.html: RRsets filtered by
// subname and type, at most 500 at once and more by cursors, PUT and PATCH of
// lists, each carried out whole or not at all.
type desecFake struct {
	zone       *conformance.Zone
	token      string
	minTTL     int64
	page       int
	sent       []string // what was written
	mustCursor bool     // more than a page was asked for without a cursor
}

type desecFakeRRset struct {
	Created string   `json:"created"`
	Domain  string   `json:"domain"`
	Subname string   `json:"subname"`
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	Records []string `json:"records"`
	TTL     int64    `json:"ttl"`
	Touched string   `json:"touched"`
}

func desecError(w http.ResponseWriter, status int, body any) {
	if text, ok := body.(string); ok {
		body = map[string]string{"detail": text}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

func desecAnswers() conformance.Answers {
	return conformance.Answers{
		Busy: func(w http.ResponseWriter, _ *http.Request, wait time.Duration) {
			w.Header().Set("Retry-After", fmt.Sprint(int(wait.Seconds())))
			desecError(w, http.StatusTooManyRequests, fmt.Sprintf("Request was throttled. Expected available in %d second.", int(wait.Seconds())))
		},
		Broken: func(w http.ResponseWriter, _ *http.Request) {
			desecError(w, http.StatusInternalServerError, "Internal Server Error. We're on it!")
		},
		Refused: func(w http.ResponseWriter, _ *http.Request) {
			desecError(w, http.StatusBadRequest, []map[string][]string{{"non_field_errors": {"Cannot parse record contents: refused."}}})
		},
		Expired: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", "Token")
			desecError(w, http.StatusUnauthorized, "Invalid token: "+r.Header.Get("Authorization"))
		},
	}
}

func (f *desecFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	domain := strings.TrimSuffix(f.zone.Name, ".")
	path, ok := strings.CutPrefix(r.URL.Path, "/api/v1/domains/"+domain+"/")
	switch {
	case r.Header.Get("Authorization") != "Token "+f.token:
		w.Header().Set("WWW-Authenticate", "Token")
		desecError(w, http.StatusUnauthorized, "Invalid token.")
	case !ok:
		desecError(w, http.StatusNotFound, "Not found.")
	case path == "" && r.Method == http.MethodGet:
		json.NewEncoder(w).Encode(map[string]any{"created": "2024-01-01T00:00:00Z", "name": domain, "minimum_ttl": f.minTTL, "published": nil, "touched": "2024-01-01T00:00:00Z"})
	case path == "rrsets/" && r.Method == http.MethodGet:
		f.list(w, r)
	case path == "rrsets/" && (r.Method == http.MethodPut || r.Method == http.MethodPatch):
		f.write(w, r)
	default:
		desecError(w, http.StatusMethodNotAllowed, fmt.Sprintf("Method %q not allowed.", r.Method))
	}
}

func (f *desecFake) subname(name string) string {
	return strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(dns.Fqdn(name)), f.zone.Name), ".")
}

// rrsets are in reverse order of their creation. The SOA is not shown.
func (f *desecFake) rrsets(q url.Values) []desecFakeRRset {
	out := []desecFakeRRset{}
	at := map[string]int{}
	for _, r := range f.zone.Records() {
		sub := f.subname(r.Name)
		if r.Type == "SOA" || q.Has("subname") && q.Get("subname") != sub || q.Has("type") && q.Get("type") != r.Type {
			continue
		}
		i, ok := at[sub+" "+r.Type]
		if !ok {
			i = len(out)
			at[sub+" "+r.Type] = i
			out = append(out, desecFakeRRset{
				Created: "2024-01-01T00:00:00Z", Touched: "2024-01-01T00:00:00Z", Domain: strings.TrimSuffix(f.zone.Name, "."),
				Subname: sub, Name: strings.TrimPrefix(sub+"."+f.zone.Name, "."), Type: r.Type, TTL: int64(r.TTL),
			})
		}
		out[i].Records = append(out[i].Records, r.Data)
	}
	slices.Reverse(out)
	return out
}

func (f *desecFake) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	all, from := f.rrsets(q), 0
	link := func(cursor, rel string) string {
		u := url.URL{Scheme: "https", Host: "desec.io", Path: r.URL.Path, RawQuery: "cursor=" + url.QueryEscape(cursor)}
		return fmt.Sprintf(`<%s>; rel="%s"`, u.String(), rel)
	}
	if len(all) > f.page {
		links := []string{link("", "first")}
		if !q.Has("cursor") {
			f.mustCursor = true
			w.Header().Set("Link", links[0])
			desecError(w, http.StatusBadRequest, fmt.Sprintf("Pagination required. You can query up to %d items at a time (%d total). Please use the `first` page link (see Link header).", f.page, len(all)))
			return
		}
		if c := q.Get("cursor"); c != "" {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(c, "p="), "=="))
			if err != nil {
				desecError(w, http.StatusNotFound, "Invalid cursor")
				return
			}
			from = n
		}
		if from+f.page < len(all) {
			links = append(links, link(fmt.Sprintf("p=%d==", from+f.page), "next"))
		}
		w.Header().Set("Link", strings.Join(links, ", "))
	}
	json.NewEncoder(w).Encode(all[from:min(from+f.page, len(all))])
}

var (
	desecSubname = regexp.MustCompile(`^(\*|(\*\.)?[a-z0-9_.-]*)$`)
	desecType    = regexp.MustCompile(`^[A-Z][A-Z0-9]*$`)
)

// invalid says what is not taken of one RRset.
func (f *desecFake) invalid(recs []conformance.Rec, method string, x map[string]json.RawMessage) (s desecFakeRRset, errs map[string][]string) {
	errs = map[string][]string{}
	for _, field := range []string{"subname", "type", "records", "ttl"} {
		if _, ok := x[field]; !ok && (method == http.MethodPut || field == "subname" || field == "type") {
			errs[field] = []string{"This field is required."}
		}
	}
	if err := json.Unmarshal(must(json.Marshal(x)), &s); err != nil {
		errs["non_field_errors"] = []string{err.Error()}
	}
	if len(errs) > 0 {
		return s, errs
	}
	if !desecSubname.MatchString(s.Subname) {
		errs["subname"] = []string{"Subname can only use (lowercase) a-z, 0-9, ., -, and _, may start with a '*.', or just be '*'."}
	}
	if !desecType.MatchString(s.Type) || s.Type == "SOA" {
		errs["type"] = []string{"You cannot tinker with the " + s.Type + " RR set. It is managed automatically."}
	}
	if _, ok := x["ttl"]; ok && s.TTL < f.minTTL {
		errs["ttl"] = []string{fmt.Sprintf("Ensure this value is greater than or equal to %d.", f.minTTL)}
	}
	if s.TTL > 86400 {
		errs["ttl"] = []string{"Ensure this value is less than or equal to 86400."}
	}
	for _, r := range recs {
		if len(s.Records) > 0 && f.subname(r.Name) == s.Subname && r.Type != "SOA" && r.Type != s.Type && (r.Type == "CNAME" || s.Type == "CNAME") {
			errs["non_field_errors"] = []string{fmt.Sprintf("RRset with conflicting type present at same subname: database (%s). (No other RRsets are allowed alongside CNAME.)", r.Type)}
		}
	}
	for i, v := range s.Records {
		rr, err := dns.NewRR(fmt.Sprintf(". 0 IN %s %s", s.Type, v))
		host := map[string]bool{"MX": true, "CNAME": true, "NS": true}[s.Type]
		if err != nil || rr == nil || host && !strings.HasSuffix(v, ".") {
			errs["non_field_errors"] = []string{"Cannot parse record contents: " + v}
			continue
		}
		s.Records[i] = strings.TrimPrefix(rr.String(), rr.Header().String())
	}
	return s, errs
}

// write carries all RRsets of a list out, or none.
func (f *desecFake) write(w http.ResponseWriter, r *http.Request) {
	var list []map[string]json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
		desecError(w, http.StatusBadRequest, map[string][]string{"non_field_errors": {"Expected a list of items but got something else."}})
		return
	}
	var complaints []map[string][]string
	bad := false
	err := f.zone.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) {
		for _, x := range list {
			s, errs := f.invalid(recs, r.Method, x)
			complaints, bad = append(complaints, errs), bad || len(errs) > 0
			recs = slices.DeleteFunc(recs, func(r conformance.Rec) bool { return f.subname(r.Name) == s.Subname && r.Type == s.Type })
			for _, v := range s.Records {
				recs = append(recs, conformance.Rec{ID: f.zone.NewID(), Name: strings.TrimPrefix(s.Subname+"."+f.zone.Name, "."), Type: s.Type, TTL: uint32(s.TTL), Data: v})
			}
		}
		if bad {
			return nil, fmt.Errorf("bad")
		}
		return recs, nil
	})
	if err != nil {
		desecError(w, http.StatusBadRequest, complaints)
		return
	}
	f.sent = append(f.sent, string(must(json.Marshal(list))))
	json.NewEncoder(w).Encode([]any{})
}

const desecTestToken = "i-T3b1h_OI-H9ab8tRS98stGtURe"

// desecBed is a fake of its own. Nothing can be there in capitals, nor a host
// without its final dot.
func desecBed(t testing.TB) (*desecFake, *conformance.Bed) {
	f := &desecFake{zone: conformance.NewZone("d", "example.test."), token: desecTestToken, minTTL: 3600, page: 500}
	front := conformance.NewFront(t, f, desecAnswers())
	edit := dotted(f.zone.Edit)
	return f, &conformance.Bed{
		Kind:     "desec",
		Settings: fmt.Sprintf("endpoint: %s/api/v1\ntoken: {file: %s}\ntimeout: 2s\nper_second: 10000\n", front.URL, conformance.SecretFile(t, desecTestToken)),
		Zone:     f.zone.Name, Truth: f.zone.Truth, Seen: f.zone.Seen, Faults: front, Secrets: []string{desecTestToken}, MinTTL: 3600,
		Edit: func(ctx context.Context, s rrset.Set) error {
			s.Name = strings.ToLower(s.Name)
			return edit(ctx, s)
		},
	}
}

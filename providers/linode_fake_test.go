package providers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mxcutover/providers/conformance"
)

// linodeFake speaks the API v4 as documented: collections of data, page, pages and
// results, page_size from 25 to 500 with 100 by default, X-Filter, and errors of
// field and reason (https://techdocs.akamai.com/linode-api/reference/api-summary);
// records with the TTLs, names and targets that are taken, the null MX that
// stands alone, and PUT of single fields
// (https://techdocs.akamai.com/linode-api/reference/post-domain-record); a
// priority of 0 to 255 as in the published schema
// (https://github.com/linode/linode-api-docs).
type linodeFake struct {
	zone  *conformance.Zone // its ID and its records' are numbers
	token string
	typ   string // of the domain
	ttl   int    // the domain's default; 0: 86400
	drops bool   // loses the TTL of new records
	stuck bool   // each page is the first
}

type linodeFakeRecord struct {
	ID       int     `json:"id"`
	Type     string  `json:"type"`
	Name     string  `json:"name"`
	Target   string  `json:"target"`
	Priority int     `json:"priority"`
	Weight   int     `json:"weight"`
	Port     int     `json:"port"`
	Service  *string `json:"service"`
	Protocol *string `json:"protocol"`
	TTL      int     `json:"ttl_sec"`
	Tag      *string `json:"tag"`
	Created  string  `json:"created"`
	Updated  string  `json:"updated"`
}

// linodeReason is one of the API's errors.
type linodeReason struct {
	Field  string `json:"field,omitempty"`
	Reason string `json:"reason"`
}

func (e linodeReason) Error() string { return e.Field + ": " + e.Reason }

func linodeFail(w http.ResponseWriter, status int, e linodeReason) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"errors": []linodeReason{e}})
}

func linodeAnswers() conformance.Answers {
	return conformance.Answers{
		Busy: func(w http.ResponseWriter, _ *http.Request, wait time.Duration) {
			w.Header().Set("X-Ratelimit-Limit", "100")
			w.Header().Set("X-Ratelimit-Remaining", "0")
			w.Header().Set("X-Ratelimit-Reset", strconv.FormatInt(time.Now().Add(wait).Unix(), 10))
			w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())))
			linodeFail(w, http.StatusTooManyRequests, linodeReason{Reason: "Too many requests"})
		},
		Broken: func(w http.ResponseWriter, _ *http.Request) {
			linodeFail(w, http.StatusInternalServerError, linodeReason{Reason: "Internal Server Error"})
		},
		Refused: func(w http.ResponseWriter, _ *http.Request) {
			linodeFail(w, http.StatusBadRequest, linodeReason{"target", "target must be a valid domain"})
		},
		Expired: func(w http.ResponseWriter, r *http.Request) {
			linodeFail(w, http.StatusUnauthorized, linodeReason{Reason: "Invalid Token " + r.Header.Get("Authorization")})
		},
	}
}

func (f *linodeFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	records := "/v4/domains/" + f.zone.ID + "/records"
	id, one := strings.CutPrefix(r.URL.Path, records+"/")
	switch {
	case r.Header.Get("Authorization") != "Bearer "+f.token:
		linodeFail(w, http.StatusUnauthorized, linodeReason{Reason: "Invalid Token"})
	case r.URL.Path == "/v4/domains" && r.Method == http.MethodGet:
		f.domains(w, r)
	case r.URL.Path == records && r.Method == http.MethodGet:
		all := []any{}
		for _, x := range f.zone.Records() {
			if x.Type != "SOA" { // the domain's own, and not in the API
				all = append(all, f.shown(x))
			}
		}
		f.page(w, r, all)
	case r.URL.Path == records && r.Method == http.MethodPost:
		f.write(w, r, "")
	case one && r.Method == http.MethodPut:
		f.write(w, r, id)
	case one && r.Method == http.MethodDelete:
		f.remove(w, id)
	default:
		linodeFail(w, http.StatusNotFound, linodeReason{Reason: "Not found"})
	}
}

func (f *linodeFake) domains(w http.ResponseWriter, r *http.Request) {
	var filter struct{ Domain string }
	if x := r.Header.Get("X-Filter"); x != "" && json.Unmarshal([]byte(x), &filter) != nil {
		linodeFail(w, http.StatusBadRequest, linodeReason{Reason: "Cannot parse filter"})
		return
	}
	all := []any{}
	for name, id := range map[string]string{"other.test": "1", strings.TrimSuffix(f.zone.Name, "."): f.zone.ID} {
		if n, _ := strconv.Atoi(id); filter.Domain == "" || filter.Domain == name {
			all = append(all, map[string]any{"id": n, "domain": name, "type": f.typ, "status": "active", "ttl_sec": f.ttl, "soa_email": "admin@example.net", "master_ips": []string{}})
		}
	}
	f.page(w, r, all)
}

// page sends one page of a collection.
func (f *linodeFake) page(w http.ResponseWriter, r *http.Request, all []any) {
	number := func(key string, or int) int {
		if v := r.URL.Query().Get(key); v != "" {
			n, _ := strconv.Atoi(v)
			return n
		}
		return or
	}
	at, size := number("page", 1), number("page_size", 100)
	pages := max(1, (len(all)+size-1)/max(1, size))
	if size < 25 || size > 500 || at < 1 || at > pages && !f.stuck {
		linodeFail(w, http.StatusBadRequest, linodeReason{"page", "Must be 1-" + strconv.Itoa(pages)})
		return
	}
	if f.stuck {
		at, pages = 1, 1_000_000
	}
	from := min((at-1)*size, len(all))
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"data": all[from:min(from+size, len(all))], "page": at, "pages": pages, "results": len(all)})
}

// shown is a record as the API sends it.
func (f *linodeFake) shown(r conformance.Rec) linodeFakeRecord {
	x := linodeFakeRecord{Type: r.Type, Name: fakeRelative(r.Name, f.zone.Name), Target: strings.TrimSuffix(r.Data, "."), TTL: int(r.TTL), Created: "2018-01-01T00:01:01", Updated: "2018-01-01T00:01:01"}
	x.ID, _ = strconv.Atoi(r.ID)
	if x.Name == "@" {
		x.Name = ""
	}
	switch r.Type {
	case "MX":
		preference, host, _ := strings.Cut(r.Data, " ")
		x.Priority, _ = strconv.Atoi(preference)
		x.Target = strings.TrimSuffix(host, ".")
	case "TXT":
		x.Target = fakeText(r.Data)
	}
	return x
}

// write makes a record, or changes those fields of one that are sent.
func (f *linodeFake) write(w http.ResponseWriter, r *http.Request, id string) {
	var made conformance.Rec
	err := f.zone.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) {
		var x linodeFakeRecord
		i := slices.IndexFunc(recs, func(r conformance.Rec) bool { return r.ID == id })
		switch {
		case i >= 0:
			x = f.shown(recs[i])
		case id != "":
			return nil, errFakeMissing
		}
		if json.NewDecoder(r.Body).Decode(&x) != nil || r.Header.Get("Content-Type") != "application/json" {
			return nil, linodeReason{Reason: "Invalid JSON"}
		}
		if id == "" && f.drops {
			x.TTL = 0
		}
		if id == "" {
			x.ID, _ = strconv.Atoi(f.zone.NewID())
		}
		var err error
		if made, err = f.rec(recs, x); err != nil {
			return nil, err
		}
		if i >= 0 {
			recs[i] = made
			return recs, nil
		}
		return append(recs, made), nil
	})
	var refused linodeReason
	switch {
	case errors.As(err, &refused):
		linodeFail(w, http.StatusBadRequest, refused)
	case err != nil:
		linodeFail(w, http.StatusNotFound, linodeReason{Reason: "Not found"})
	default:
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(f.shown(made))
	}
}

// linodeTTLs are those that the API keeps; others are rounded.
var linodeTTLs = []uint32{0, 300, 3600, 7200, 14400, 28800, 57600, 86400, 172800, 345600, 604800, 1209600, 2419200}

var linodeMailName = regexp.MustCompile(`^(\*\.)?[a-z]([a-z0-9-]*[a-z0-9])?(\.[a-z]([a-z0-9-]*[a-z0-9])?)*$`)

// rec is a record as it is kept, or why it is refused.
func (f *linodeFake) rec(recs []conformance.Rec, x linodeFakeRecord) (conformance.Rec, error) {
	zone := strings.TrimSuffix(f.zone.Name, ".")
	name := strings.TrimSuffix(strings.TrimSuffix("."+x.Name, "."+zone), ".")
	r := conformance.Rec{ID: strconv.Itoa(x.ID), Name: strings.TrimPrefix(name+"."+f.zone.Name, "."), Type: x.Type, Data: x.Target}
	i := slices.IndexFunc(linodeTTLs, func(t uint32) bool { return int(t) >= x.TTL })
	if i < 0 {
		i = len(linodeTTLs) - 1
	}
	r.TTL = linodeTTLs[i]
	x.Target = strings.TrimSuffix(x.Target, ".")
	mx := func(o conformance.Rec) bool { return o.Of(r.Name, "MX") && o.ID != r.ID }
	switch x.Type {
	case "MX":
		switch {
		case x.Priority < 0 || x.Priority > 255:
			return r, linodeReason{"priority", "Must be 0-255"}
		case x.Target == "" && (x.Name != "" || x.Priority != 0 || slices.ContainsFunc(recs, mx)):
			return r, linodeReason{"target", "A null MX record must be the only MX record of the domain"}
		case slices.ContainsFunc(recs, func(o conformance.Rec) bool { return mx(o) && o.Data == "0 ." }):
			return r, linodeReason{"target", "The domain has a null MX record"}
		case x.Name != "" && !linodeMailName.MatchString(x.Name):
			return r, linodeReason{"name", "Invalid hostname"}
		case x.Target != "" && !linodeMailName.MatchString(x.Target):
			return r, linodeReason{"target", "Invalid domain"}
		}
		r.Data = fmt.Sprintf("%d %s.", x.Priority, x.Target)
	case "TXT":
		if x.Target == "" {
			return r, linodeReason{"target", "target is required"}
		}
		r.Data = fakeQuoted(x.Target)
	case "NS", "CNAME":
		r.Data = x.Target + "."
	case "A", "AAAA":
	default:
		return r, linodeReason{"type", "type must be one of A, AAAA, NS, MX, CNAME, TXT, SRV, PTR, CAA"}
	}
	for _, o := range recs {
		if o.Of(r.Name, o.Type) && o.ID != r.ID && (o.Type == "CNAME" || r.Type == "CNAME") {
			return r, linodeReason{"name", "hostname must be unique"}
		}
	}
	return r, nil
}

func (f *linodeFake) remove(w http.ResponseWriter, id string) {
	err := f.zone.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) {
		n := len(recs)
		if recs = slices.DeleteFunc(recs, func(r conformance.Rec) bool { return r.ID == id }); len(recs) == n {
			return nil, errFakeMissing
		}
		return recs, nil
	})
	if err != nil {
		linodeFail(w, http.StatusNotFound, linodeReason{Reason: "Not found"})
		return
	}
	fmt.Fprint(w, "{}")
}

const linodeTestToken = "changeme0123456789abcdef0123456789abcdef"

// linodeBed is a fake of its own.
func linodeBed(t testing.TB) (*linodeFake, *conformance.Bed) {
	f := &linodeFake{zone: conformance.NewZone("31", "example.test."), token: linodeTestToken, typ: "master"}
	front := conformance.NewFront(t, f, linodeAnswers())
	return f, &conformance.Bed{
		Kind:     "linode",
		Settings: fmt.Sprintf("endpoint: %s/v4\ntoken: {file: %s}\ntimeout: 2s\nper_second: 10000\n", front.URL, conformance.SecretFile(t, f.token)),
		Zone:     f.zone.Name, Truth: f.zone.Truth, Edit: f.zone.EditInPlace, Seen: f.zone.Seen, Faults: front, Secrets: []string{f.token}, MinTTL: 300, TTLs: linodeTTLs,
	}
}

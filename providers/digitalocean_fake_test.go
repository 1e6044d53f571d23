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

// digitaloceanFake speaks the API v2 as documented: domain_records with null for
// what a type has not, links.pages, POST with 201, PUT with the whole record, and
// DELETE with 204
// (https://docs.digitalocean.com/products/networking/dns/reference/api/domain-records/);
// errors with id and message, per_page from 1 to 200 with 20 by default, and
// ratelimit-reset in Unix time (https://docs.digitalocean.com/reference/api/).
// What is not documented is as clients met it: data without a final dot is
// refused (https://github.com/digitalocean/doctl/issues/919), a TTL below 30, a
// null MX, a backslash in a text and more than 512 octets of it are, too
// (https://docs.dnscontrol.org/provider/digitalocean), and the zone as a target
// comes back as "@".
type digitaloceanFake struct {
	zone  *conformance.Zone // its IDs are numbers
	token string
	stuck bool // the next page is always the second
}

type digitaloceanFakeRecord struct {
	ID       int     `json:"id"`
	Type     string  `json:"type"`
	Name     string  `json:"name"`
	Data     string  `json:"data"`
	Priority *int    `json:"priority"`
	Port     *int    `json:"port"`
	TTL      int     `json:"ttl"`
	Weight   *int    `json:"weight"`
	Flags    *int    `json:"flags"`
	Tag      *string `json:"tag"`
}

func digitaloceanFail(w http.ResponseWriter, status int, id, text string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"id": id, "message": text, "request_id": "4d9d8375-3c56-4925-a3e7-eb137fed17e9"})
}

func digitaloceanAnswers() conformance.Answers {
	return conformance.Answers{
		Busy: func(w http.ResponseWriter, _ *http.Request, wait time.Duration) {
			w.Header().Set("Ratelimit-Limit", "5000")
			w.Header().Set("Ratelimit-Remaining", "0")
			w.Header().Set("Ratelimit-Reset", strconv.FormatInt(time.Now().Add(wait+time.Second-1).Unix(), 10))
			digitaloceanFail(w, http.StatusTooManyRequests, "too_many_requests", "API rate limit exceeded.")
		},
		Broken: func(w http.ResponseWriter, _ *http.Request) {
			digitaloceanFail(w, http.StatusInternalServerError, "server_error", "Unexpected server-side error")
		},
		Refused: func(w http.ResponseWriter, _ *http.Request) {
			digitaloceanFail(w, http.StatusUnprocessableEntity, "unprocessable_entity", "Data needs to end with a dot (.)")
		},
		Expired: func(w http.ResponseWriter, r *http.Request) {
			digitaloceanFail(w, http.StatusUnauthorized, "unauthorized", "Unable to authenticate you: "+r.Header.Get("Authorization"))
		},
	}
}

func (f *digitaloceanFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	records := "/v2/domains/" + strings.TrimSuffix(f.zone.Name, ".") + "/records"
	id, one := strings.CutPrefix(r.URL.Path, records+"/")
	switch {
	case r.Header.Get("Authorization") != "Bearer "+f.token:
		digitaloceanFail(w, http.StatusUnauthorized, "unauthorized", "Unable to authenticate you")
	case r.URL.Path == records && r.Method == http.MethodGet:
		f.list(w, r)
	case r.URL.Path == records && r.Method == http.MethodPost:
		f.write(w, r, f.zone.NewID, http.StatusCreated)
	case one && r.Method == http.MethodPut:
		f.write(w, r, func() string { return id }, http.StatusOK)
	case one && r.Method == http.MethodDelete:
		f.remove(w, id)
	default:
		digitaloceanFail(w, http.StatusNotFound, "not_found", "The resource you were accessing could not be found.")
	}
}

// list sends one page.
func (f *digitaloceanFake) list(w http.ResponseWriter, r *http.Request) {
	number := func(key string, or int) int {
		if v, err := strconv.Atoi(r.URL.Query().Get(key)); err == nil && v > 0 {
			return v
		}
		return or
	}
	at, size := number("page", 1), min(200, number("per_page", 20))
	all := []digitaloceanFakeRecord{}
	for _, x := range f.zone.Records() {
		all = append(all, f.shown(x))
	}
	from := min((at-1)*size, len(all))
	to := min(from+size, len(all))
	links := map[string]any{}
	if to < len(all) || f.stuck {
		next := at + 1
		if f.stuck {
			next = 2
		}
		at := func(n int) string {
			return fmt.Sprintf("https://api.digitalocean.com%s?page=%d&per_page=%d", r.URL.Path, n, size)
		}
		links["pages"] = map[string]string{"next": at(next), "last": at((len(all) + size - 1) / size)}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	json.NewEncoder(w).Encode(map[string]any{"domain_records": all[from:to], "links": links, "meta": map[string]int{"total": len(all)}})
}

// shown is a record as the API sends it.
func (f *digitaloceanFake) shown(r conformance.Rec) digitaloceanFakeRecord {
	x := digitaloceanFakeRecord{Type: r.Type, Name: fakeRelative(r.Name, f.zone.Name), Data: r.Data, TTL: int(r.TTL)}
	x.ID, _ = strconv.Atoi(r.ID)
	host := r.Data
	switch r.Type {
	case "SOA":
		x.Data = "1800"
		return x
	case "TXT":
		x.Data = fakeText(r.Data)
		return x
	case "MX":
		preference, target, _ := strings.Cut(r.Data, " ")
		n, _ := strconv.Atoi(preference)
		x.Priority, host = &n, target
	case "NS", "CNAME":
	default:
		return x
	}
	if x.Data = strings.TrimSuffix(host, "."); strings.EqualFold(x.Data+".", f.zone.Name) {
		x.Data = "@"
	}
	return x
}

// write makes or replaces one record.
func (f *digitaloceanFake) write(w http.ResponseWriter, r *http.Request, newID func() string, status int) {
	var x digitaloceanFakeRecord
	if json.NewDecoder(r.Body).Decode(&x) != nil || r.Header.Get("Content-Type") != "application/json" {
		digitaloceanFail(w, http.StatusBadRequest, "bad_request", "The request body is not valid JSON.")
		return
	}
	var made conformance.Rec
	err := f.zone.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) {
		id := newID()
		i := slices.IndexFunc(recs, func(r conformance.Rec) bool { return r.ID == id })
		if i < 0 && status != http.StatusCreated {
			return nil, errFakeMissing
		}
		var err error
		if made, err = f.rec(recs, id, x); err != nil {
			return nil, err
		}
		if i >= 0 {
			recs[i] = made
			return recs, nil
		}
		return append(recs, made), nil
	})
	switch {
	case errors.Is(err, errFakeMissing):
		digitaloceanFail(w, http.StatusNotFound, "not_found", "The resource you requested could not be found.")
	case err != nil:
		digitaloceanFail(w, http.StatusUnprocessableEntity, "unprocessable_entity", err.Error())
	default:
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]any{"domain_record": f.shown(made)})
	}
}

var errFakeMissing = errors.New("there is no such record")

// rec is a record as it is kept, or why it is refused.
func (f *digitaloceanFake) rec(recs []conformance.Rec, id string, x digitaloceanFakeRecord) (conformance.Rec, error) {
	r := conformance.Rec{ID: id, Name: x.Name + "." + f.zone.Name, Type: x.Type, TTL: uint32(x.TTL), Data: x.Data}
	if x.Name == "@" {
		r.Name = f.zone.Name
	}
	host := false
	switch x.Type {
	case "MX":
		if x.Priority == nil || *x.Priority < 0 || *x.Priority > 65535 {
			return r, errors.New("Priority can't be blank, Priority is not a number")
		}
		r.Data, host = fmt.Sprintf("%d %s", *x.Priority, x.Data), true
	case "NS", "CNAME":
		host = true
	case "TXT":
		if x.Data == "" || len(x.Data) > 512 || strings.Contains(x.Data, `\`) {
			return r, errors.New("Data is invalid")
		}
		r.Data = fakeQuoted(x.Data)
	case "A", "AAAA":
	default:
		return r, errors.New("Type is not included in the list")
	}
	switch {
	case x.Name == "" || strings.HasSuffix(x.Name, "."):
		return r, errors.New("Name is invalid")
	case host && !strings.HasSuffix(x.Data, "."):
		return r, errors.New("Data needs to end with a dot (.)")
	case host && x.Data == ".":
		return r, errors.New("Data is not a valid hostname")
	case x.TTL < 30:
		return r, errors.New("record ttl must be greater than 30")
	}
	for _, o := range recs {
		if o.Of(r.Name, o.Type) && o.ID != id && (o.Type == "CNAME" || r.Type == "CNAME") {
			return r, errors.New("CNAME records cannot share a name with other records")
		}
	}
	return r, nil
}

func (f *digitaloceanFake) remove(w http.ResponseWriter, id string) {
	err := f.zone.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) {
		n := len(recs)
		if recs = slices.DeleteFunc(recs, func(r conformance.Rec) bool { return r.ID == id }); len(recs) == n {
			return nil, errFakeMissing
		}
		return recs, nil
	})
	if err != nil {
		digitaloceanFail(w, http.StatusNotFound, "not_found", "The resource you requested could not be found.")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// fakeRelative is a name without its zone, in the case that it has.
func fakeRelative(name, zone string) string {
	if strings.EqualFold(name, zone) {
		return "@"
	}
	return name[:len(name)-len(zone)-1]
}

// fakeText is a TXT record's text, of its data in quotes.
func fakeText(data string) string {
	rr, err := dns.NewRR(". 0 IN TXT " + data)
	if err != nil {
		return data
	}
	s := strings.Join(rr.(*dns.TXT).Txt, "")
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(s)
}

// fakeQuoted is a TXT record's data in quotes, 255 octets a string.
func fakeQuoted(text string) string {
	var parts []string
	for c := range slices.Chunk([]byte(text), 255) {
		parts = append(parts, `"`+strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(string(c))+`"`)
	}
	return strings.Join(parts, " ")
}

const digitaloceanTestToken = "dop_v1_changeme0123456789abcdef"

// digitaloceanBed is a fake of its own.
func digitaloceanBed(t testing.TB) (*digitaloceanFake, *conformance.Bed) {
	f := &digitaloceanFake{zone: conformance.NewZone("28", "example.test."), token: digitaloceanTestToken}
	front := conformance.NewFront(t, f, digitaloceanAnswers())
	return f, &conformance.Bed{
		Kind:     "digitalocean",
		Settings: fmt.Sprintf("endpoint: %s\ntoken: {file: %s}\ntimeout: 2s\nper_second: 10000\n", front.URL, conformance.SecretFile(t, f.token)),
		Zone:     f.zone.Name, Truth: f.zone.Truth, Edit: f.zone.EditInPlace, Seen: f.zone.Seen, Faults: front, Secrets: []string{f.token},
	}
}

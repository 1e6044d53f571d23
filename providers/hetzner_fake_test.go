package providers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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

// hetznerFake speaks the Cloud API as documented
// (https://docs.hetzner.cloud/reference/cloud#tag/zone-rrsets): RRsets with one
// TTL or the zone's, their actions add_records, remove_records and change_ttl,
// which run on after the answer 201; pages of 25 by default and 100 at most with
// meta.pagination; errors with code, message and details; 429 with
// RateLimit-Reset, at which all of the limit is there again.
type hetznerFake struct {
	zone  *conformance.Zone // records with a TTL of 0 have the zone's
	token string
	mode  string // of the zone
	ttl   int    // the zone's
	stuck bool   // the next page is always the second

	mu      sync.Mutex
	actions []*hetznerFakeAction
	next    func(a *hetznerFakeAction) // what becomes of an action from now; nil: done at once, told at the first look
	guarded bool                       // all RRsets are protected
	refuse  *hetznerRefusal            // the next write so
}

// A hetznerFakeAction is a write that runs.
type hetznerFakeAction struct {
	looks   int    // until it ends; below 0: never
	late    bool   // it is carried out at its end
	failure string // how it ends; empty: well
	finish  func() error
}

type hetznerFakeRRset struct {
	ID         string              `json:"id"`
	Name       string              `json:"name"`
	Type       string              `json:"type"`
	TTL        *int                `json:"ttl"`
	Labels     map[string]string   `json:"labels"`
	Protection map[string]bool     `json:"protection"`
	Records    []map[string]string `json:"records"`
	Zone       int                 `json:"zone"`
}

// hetznerRefusal is one of the API's errors.
type hetznerRefusal struct {
	status     int
	code, text string
}

func (e hetznerRefusal) Error() string { return e.text }

func hetznerFail(w http.ResponseWriter, e hetznerRefusal) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": e.code, "message": e.text, "details": nil}})
}

func hetznerAnswers() conformance.Answers {
	return conformance.Answers{
		Busy: func(w http.ResponseWriter, _ *http.Request, _ time.Duration) {
			w.Header().Set("RateLimit-Limit", "3600")
			w.Header().Set("RateLimit-Remaining", "0")
			w.Header().Set("RateLimit-Reset", strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10))
			hetznerFail(w, hetznerRefusal{http.StatusTooManyRequests, "rate_limit_exceeded", "limit of 3600 requests per hour reached"})
		},
		Broken: func(w http.ResponseWriter, _ *http.Request) {
			hetznerFail(w, hetznerRefusal{http.StatusInternalServerError, "server_error", "Internal server error"})
		},
		Refused: func(w http.ResponseWriter, _ *http.Request) {
			hetznerFail(w, hetznerRefusal{http.StatusUnprocessableEntity, "invalid_input", "invalid input in field 'records': is invalid"})
		},
		Expired: func(w http.ResponseWriter, r *http.Request) {
			hetznerFail(w, hetznerRefusal{http.StatusUnauthorized, "unauthorized", "unable to authenticate " + r.Header.Get("Authorization")})
		},
	}
}

func (f *hetznerFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	zone := "/v1/zones/" + strings.TrimSuffix(f.zone.Name, ".")
	sets := zone + "/rrsets"
	part := strings.Split(strings.TrimPrefix(r.URL.Path, sets+"/"), "/") // name, type, "actions", what
	action, looks := strings.CutPrefix(r.URL.Path, "/v1/actions/")
	switch {
	case r.Header.Get("Authorization") != "Bearer "+f.token:
		hetznerFail(w, hetznerRefusal{http.StatusUnauthorized, "unauthorized", "unable to authenticate"})
	case looks && r.Method == http.MethodGet:
		f.look(w, action)
	case r.URL.Path == zone && r.Method == http.MethodGet:
		f.send(w, http.StatusOK, map[string]any{"zone": map[string]any{"id": 42, "name": strings.TrimSuffix(f.zone.Name, "."), "mode": f.mode, "ttl": f.ttl, "status": "ok"}})
	case strings.HasPrefix(r.URL.Path, sets) && f.mode != "primary":
		hetznerFail(w, hetznerRefusal{http.StatusUnprocessableEntity, "incorrect_zone_mode", "This operation is not supported for this Zone's mode."})
	case r.URL.Path == sets && r.Method == http.MethodGet:
		f.list(w, r)
	case r.URL.Path == sets && r.Method == http.MethodPost:
		f.write(w, r, "", "", "create")
	case strings.HasPrefix(r.URL.Path, sets+"/") && len(part) == 2 && r.Method == http.MethodGet:
		for _, s := range f.rrsets() {
			if s.Name == part[0] && s.Type == part[1] {
				f.send(w, http.StatusOK, map[string]any{"rrset": s})
				return
			}
		}
		hetznerFail(w, hetznerRefusal{http.StatusNotFound, "not_found", "RRSet not found"})
	case strings.HasPrefix(r.URL.Path, sets+"/") && len(part) == 4 && part[2] == "actions" && r.Method == http.MethodPost:
		f.write(w, r, part[0], part[1], part[3])
	default:
		hetznerFail(w, hetznerRefusal{http.StatusNotFound, "not_found", "zone not found"})
	}
}

func (f *hetznerFake) send(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

// rrsets are those of the zone.
func (f *hetznerFake) rrsets() []hetznerFakeRRset {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []hetznerFakeRRset{}
	for _, r := range f.zone.Records() {
		name := strings.ToLower(fakeRelative(r.Name, f.zone.Name))
		i := slices.IndexFunc(out, func(s hetznerFakeRRset) bool { return s.Name == name && s.Type == r.Type })
		if i < 0 {
			i = len(out)
			out = append(out, hetznerFakeRRset{ID: name + "/" + r.Type, Name: name, Type: r.Type, Labels: map[string]string{}, Protection: map[string]bool{"change": f.guarded}, Zone: 42})
		}
		if ttl := int(r.TTL); ttl != 0 {
			out[i].TTL = &ttl
		}
		out[i].Records = append(out[i].Records, map[string]string{"value": r.Data, "comment": ""})
	}
	return out
}

// list sends one page.
func (f *hetznerFake) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	all := slices.DeleteFunc(f.rrsets(), func(s hetznerFakeRRset) bool {
		return q.Get("name") != "" && s.Name != q.Get("name") || len(q["type"]) > 0 && !slices.Contains(q["type"], s.Type)
	})
	at, err1 := strconv.Atoi(q.Get("page"))
	size, err2 := strconv.Atoi(q.Get("per_page"))
	if err1 != nil {
		at = 1
	}
	if err2 != nil {
		size = 25
	}
	if at < 1 || size < 1 || size > 100 {
		hetznerFail(w, hetznerRefusal{http.StatusBadRequest, "invalid_input", "invalid input in field 'per_page'"})
		return
	}
	from := min((at-1)*size, len(all))
	to := min(from+size, len(all))
	var next *int
	if n := at + 1; to < len(all) {
		next = &n
	}
	if second := 2; f.stuck {
		next = &second
	}
	f.send(w, http.StatusOK, map[string]any{"rrsets": all[from:to], "meta": map[string]any{"pagination": map[string]any{
		"page": at, "per_page": size, "previous_page": nil, "next_page": next, "last_page": (len(all) + size - 1) / size, "total_entries": len(all),
	}}})
}

// write begins an action.
func (f *hetznerFake) write(w http.ResponseWriter, r *http.Request, name, typ, what string) {
	var body struct {
		Name, Type string
		TTL        *int
		Records    []struct{ Value string }
	}
	if json.NewDecoder(r.Body).Decode(&body) != nil || r.Header.Get("Content-Type") != "application/json" {
		hetznerFail(w, hetznerRefusal{http.StatusBadRequest, "json_error", "invalid JSON"})
		return
	}
	if what == "create" {
		name, typ = body.Name, body.Type
	}
	var values []string
	for _, x := range body.Records {
		values = append(values, x.Value)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.refuse; e != nil {
		f.refuse = nil
		hetznerFail(w, *e)
		return
	}
	a := &hetznerFakeAction{looks: 1}
	if f.next != nil {
		f.next(a)
	}
	change := func(recs []conformance.Rec) ([]conformance.Rec, error) {
		return f.change(recs, what, name, typ, body.TTL, values)
	}
	a.finish = func() error { return nil }
	var err error
	if a.late {
		_, err = change(f.zone.Records())
		a.finish = func() error { return f.zone.Update(change) }
	} else {
		err = f.zone.Update(change)
	}
	var refused hetznerRefusal
	if errors.As(err, &refused) {
		hetznerFail(w, refused)
		return
	}
	f.actions = append(f.actions, a)
	f.send(w, http.StatusCreated, map[string]any{"action": f.shown(len(f.actions), "running", nil)})
}

func (f *hetznerFake) shown(id int, status string, failure any) map[string]any {
	return map[string]any{
		"id": id, "command": "change_rrset", "status": status, "progress": 50, "started": "2016-01-30T23:55:00Z", "finished": nil,
		"resources": []any{map[string]any{"id": 42, "type": "zone"}}, "error": failure,
	}
}

// look tells of an action.
func (f *hetznerFake) look(w http.ResponseWriter, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := strconv.Atoi(id)
	if err != nil || n < 1 || n > len(f.actions) {
		hetznerFail(w, hetznerRefusal{http.StatusNotFound, "not_found", "action not found"})
		return
	}
	a := f.actions[n-1]
	status, failure := "running", any(nil)
	if a.looks--; a.looks == 0 {
		status = "success"
		if a.failure != "" {
			status, failure = "error", map[string]string{"code": "action_failed", "message": a.failure}
		} else if err := a.finish(); err != nil {
			panic(err)
		}
	}
	f.send(w, http.StatusOK, map[string]any{"action": f.shown(n, status, failure)})
}

// change is what an action does to the records, or why it is refused.
func (f *hetznerFake) change(recs []conformance.Rec, what, name, typ string, ttl *int, values []string) ([]conformance.Rec, error) {
	refuse := func(status int, code, text string) ([]conformance.Rec, error) {
		return nil, hetznerRefusal{status, code, text}
	}
	owner := name + "." + f.zone.Name
	if name == "@" {
		owner = f.zone.Name
	}
	own := func(r conformance.Rec) bool { return r.Of(owner, typ) }
	i := slices.IndexFunc(recs, own)
	sorted := slices.Sorted(slices.Values(values))
	switch {
	case name == "" || name != strings.ToLower(name) || strings.HasSuffix(name, "."):
		return refuse(http.StatusUnprocessableEntity, "invalid_input", "invalid input in field 'name'")
	case ttl != nil && (*ttl < 60 || *ttl > 2147483647):
		return refuse(http.StatusUnprocessableEntity, "invalid_input", "invalid input in field 'ttl': must be between 60 and 2147483647")
	case what != "change_ttl" && (len(values) == 0 || len(values) > 50 || len(slices.Compact(sorted)) != len(values)):
		return refuse(http.StatusUnprocessableEntity, "invalid_input", "invalid input in field 'records': must be 1 to 50 distinct values")
	case i >= 0 && f.guarded:
		return refuse(http.StatusLocked, "protected", "RRSet(s) is/are change protected")
	case what == "create" && i >= 0:
		return refuse(http.StatusConflict, "uniqueness_error", "RRSet already exists")
	case (what == "change_ttl" || what == "remove_records") && i < 0:
		return refuse(http.StatusNotFound, "not_found", "RRSet not found")
	}
	var has uint32 // 0: the zone's
	if i >= 0 {
		has = recs[i].TTL
	} else if ttl != nil {
		has = uint32(*ttl)
	}
	switch what {
	case "create", "add_records":
		if ttl != nil && *ttl != int(has) {
			return refuse(http.StatusUnprocessableEntity, "invalid_input", "invalid input in field 'ttl': must be that of the RRSet")
		}
		for _, v := range values {
			if err := f.value(recs, owner, typ, v); err != nil {
				return nil, err
			}
			recs = append(recs, conformance.Rec{ID: f.zone.NewID(), Name: owner, Type: typ, TTL: has, Data: v})
		}
	case "remove_records":
		for _, v := range values {
			n := len(recs)
			if recs = slices.DeleteFunc(recs, func(r conformance.Rec) bool { return own(r) && r.Data == v }); len(recs) == n {
				return refuse(http.StatusUnprocessableEntity, "invalid_input", "record does not exist in the RRSet")
			}
		}
	case "change_ttl":
		for i := range recs {
			if own(recs[i]) && ttl != nil {
				recs[i].TTL = uint32(*ttl)
			}
		}
	default:
		return refuse(http.StatusNotFound, "not_found", "no such action")
	}
	return recs, nil
}

// value says why a new value is refused.
func (f *hetznerFake) value(recs []conformance.Rec, owner, typ, v string) error {
	z := dns.NewZoneParser(strings.NewReader(fmt.Sprintf("%s 60 IN %s %s\n", owner, typ, v)), f.zone.Name, "")
	rr, ok := z.Next()
	if !ok {
		return hetznerRefusal{http.StatusUnprocessableEntity, "invalid_input", "invalid input in field 'records': " + fmt.Sprint(z.Err())}
	}
	if t, ok := rr.(*dns.TXT); ok && (!strings.HasPrefix(v, `"`) || slices.ContainsFunc(t.Txt, func(s string) bool { return len(s) > 255 })) {
		return hetznerRefusal{http.StatusUnprocessableEntity, "invalid_input", "TXT records must be quoted strings of 255 characters"}
	}
	for _, r := range recs {
		switch {
		case r.Of(owner, typ) && r.Data == v:
			return hetznerRefusal{http.StatusConflict, "uniqueness_error", "record already exists"}
		case r.Of(owner, r.Type) && (r.Type == "CNAME") != (typ == "CNAME"):
			return hetznerRefusal{http.StatusUnprocessableEntity, "invalid_input", "CNAME is not allowed beside other RRSets"}
		}
	}
	return nil
}

// edit is somebody else. Names are kept in lower case there, and a host without
// its final dot would be another one.
func (f *hetznerFake) edit(ctx context.Context, s rrset.Set) error {
	s.Name, s.Data = strings.ToLower(s.Name), slices.Clone(s.Data)
	for i, d := range s.Data {
		if s.Type == "MX" && !strings.HasSuffix(d, ".") {
			s.Data[i] = d + "."
		}
	}
	return f.zone.EditInPlace(ctx, s)
}

const hetznerTestToken = "changeme0123456789abcdefABCDEF0123456789abcdefABCDEF0123456789ab"

// hetznerBed is a fake of its own.
func hetznerBed(t testing.TB) (*hetznerFake, *conformance.Bed) {
	f := &hetznerFake{zone: conformance.NewZone("42", "example.test."), token: hetznerTestToken, mode: "primary", ttl: 3600}
	front := conformance.NewFront(t, f, hetznerAnswers())
	return f, &conformance.Bed{
		Kind:     "hetzner",
		Settings: fmt.Sprintf("endpoint: %s/v1\ntoken: {file: %s}\ntimeout: 2s\nper_second: 10000\n", front.URL, conformance.SecretFile(t, f.token)),
		Zone:     f.zone.Name, Truth: f.zone.Truth, Edit: f.edit, Seen: f.zone.Seen, Faults: front, Secrets: []string{f.token},
	}
}

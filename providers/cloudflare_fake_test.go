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

	"mxcutover/providers/conformance"
)

// cloudflareFake speaks the API v4 as documented: the envelope of success, errors
// and result (https://developers.cloudflare.com/fundamentals/api/), zones by name
// (https://developers.cloudflare.com/api/resources/zones/methods/list/), records
// by pages, and the batch, whose parts are carried out in one transaction, in the
// order deletes, patches, puts, posts
// (https://developers.cloudflare.com/api/resources/dns/subresources/records/methods/batch/).
// Error codes are those that clients met: 81044, 81053, 81058, 9021, 9109, 10000.
type cloudflareFake struct {
	token string
	zones []*conformance.Zone
	page  int // records a page at most
	stuck bool
}

// cloudflareError is one of the API's errors.
type cloudflareError struct {
	status, code int
	text         string
}

func (e cloudflareError) Error() string { return e.text }

func cloudflareFail(w http.ResponseWriter, e cloudflareError) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	json.NewEncoder(w).Encode(map[string]any{
		"result": nil, "success": false, "messages": []any{},
		"errors": []any{map[string]any{"code": e.code, "message": e.text}},
	})
}

func cloudflareAnswers() conformance.Answers {
	return conformance.Answers{
		Busy: func(w http.ResponseWriter, _ *http.Request, wait time.Duration) {
			w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())))
			cloudflareFail(w, cloudflareError{http.StatusTooManyRequests, 10429, "More than 1200 requests per 300 seconds reached. Please wait and consider throttling your request speed"})
		},
		Broken: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway) // the page of the proxy before the API
			fmt.Fprint(w, "<html><head><title>502 Bad Gateway</title></head></html>")
		},
		Refused: func(w http.ResponseWriter, _ *http.Request) {
			cloudflareFail(w, cloudflareError{http.StatusBadRequest, 9005, "Content for MX record is invalid."})
		},
		Expired: func(w http.ResponseWriter, r *http.Request) {
			cloudflareFail(w, cloudflareError{http.StatusForbidden, 9109, "Invalid access token " + r.Header.Get("Authorization")})
		},
	}
}

func (f *cloudflareFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/client/v4")
	switch {
	case !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "):
		cloudflareFail(w, cloudflareError{http.StatusBadRequest, 6003, "Invalid request headers"})
		return
	case r.Header.Get("Authorization") != "Bearer "+f.token:
		cloudflareFail(w, cloudflareError{http.StatusForbidden, 10000, "Authentication error"})
		return
	case path == "/zones":
		var all []any
		for i, z := range f.zones {
			if n := r.URL.Query().Get("name"); n == "" || n+"." == z.Name {
				all = append(all, map[string]any{
					"id": z.ID, "name": strings.TrimSuffix(z.Name, "."), "status": "active", "type": "full",
					"account": map[string]any{"id": fmt.Sprint("account", i), "name": fmt.Sprint("Account ", i)},
				})
			}
		}
		f.answer(w, r, all)
		return
	}
	for _, z := range f.zones {
		switch path {
		case "/zones/" + z.ID + "/dns_records":
			f.answer(w, r, f.records(z, r.URL.Query().Get("name.exact")))
			return
		case "/zones/" + z.ID + "/dns_records/batch":
			f.batch(w, r, z)
			return
		}
	}
	cloudflareFail(w, cloudflareError{http.StatusNotFound, 7003, "Could not route to " + path + ", perhaps your object identifier is invalid?"})
}

// answer sends one page.
func (f *cloudflareFake) answer(w http.ResponseWriter, r *http.Request, all []any) {
	at, _ := strconv.Atoi(r.URL.Query().Get("page"))
	if f.stuck {
		at = 1
	}
	size, err := strconv.Atoi(r.URL.Query().Get("per_page"))
	if err != nil {
		size = 20
	}
	size = min(size, f.page)
	from := min(max(0, at-1)*size, len(all))
	part := append([]any{}, all[from:min(from+size, len(all))]...)
	json.NewEncoder(w).Encode(map[string]any{
		"result": part, "success": true, "errors": []any{}, "messages": []any{},
		"result_info": map[string]any{"page": at, "per_page": size, "count": len(part), "total_count": len(all), "total_pages": (len(all) + size - 1) / size},
	})
}

func (f *cloudflareFake) records(z *conformance.Zone, name string) []any {
	var all []any
	for _, r := range z.Records() {
		if r.Type == "SOA" || name != "" && !r.Of(name, r.Type) {
			continue // the SOA is no record there
		}
		x := map[string]any{"id": r.ID, "name": strings.TrimSuffix(r.Name, "."), "type": r.Type, "ttl": r.TTL, "proxied": false, "content": r.Data}
		switch r.Type {
		case "MX":
			preference, host, _ := strings.Cut(r.Data, " ")
			x["priority"], _ = strconv.Atoi(preference)
			if x["content"] = strings.TrimSuffix(host, "."); host == "." {
				x["content"] = "."
			}
		case "NS", "CNAME":
			x["content"] = strings.TrimSuffix(r.Data, ".")
		}
		all = append(all, x)
	}
	return all
}

// batch carries out all of a batch, or nothing.
func (f *cloudflareFake) batch(w http.ResponseWriter, r *http.Request, z *conformance.Zone) {
	var b struct {
		Deletes []struct {
			ID string `json:"id"`
		} `json:"deletes"`
		Patches, Posts []map[string]any
	}
	if r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&b) != nil {
		cloudflareFail(w, cloudflareError{http.StatusBadRequest, 9207, "Request body is invalid."})
		return
	}
	err := z.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) {
		for _, d := range b.Deletes {
			n := len(recs)
			if recs = slices.DeleteFunc(recs, func(x conformance.Rec) bool { return x.ID == d.ID }); len(recs) == n {
				return nil, cloudflareError{http.StatusNotFound, 81044, "Record does not exist."}
			}
		}
		for _, p := range b.Patches {
			i := slices.IndexFunc(recs, func(x conformance.Rec) bool { return x.ID == p["id"] })
			if i < 0 {
				return nil, cloudflareError{http.StatusNotFound, 81044, "Record does not exist."}
			}
			next, err := cloudflareSet(recs, recs[i], p)
			if err != nil {
				return nil, err
			}
			recs[i] = next
		}
		for _, p := range b.Posts {
			next, err := cloudflareSet(recs, conformance.Rec{ID: z.NewID()}, p)
			if err != nil {
				return nil, err
			}
			recs = append(recs, next)
		}
		return recs, nil
	})
	var refused cloudflareError
	if errors.As(err, &refused) {
		cloudflareFail(w, refused)
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"success": true, "errors": []any{}, "messages": []any{}, "result": map[string]any{"deletes": []any{}, "patches": []any{}, "puts": []any{}, "posts": []any{}}})
}

// cloudflareSet is a record as a part of a batch makes it, or why it is refused.
func cloudflareSet(recs []conformance.Rec, r conformance.Rec, p map[string]any) (conformance.Rec, error) {
	refuse := func(code int, text string) (conformance.Rec, error) {
		return r, cloudflareError{http.StatusBadRequest, code, text}
	}
	if v, ok := p["name"].(string); ok {
		r.Name = v + "."
	}
	if v, ok := p["type"].(string); ok {
		r.Type = v
	}
	if v, ok := p["ttl"].(float64); ok {
		r.TTL = uint32(v)
	}
	content, _ := p["content"].(string)
	data, _ := p["data"].(map[string]any)
	switch {
	case r.TTL != 1 && (r.TTL < 60 || r.TTL > 86400):
		return refuse(9021, "TTL must be between 60 and 86400 seconds, or 1 for Automatic.")
	case r.Type == "TLSA" && content == "" && data == nil && r.Data == "", r.Type == "TLSA" && content != "":
		return refuse(9101, "certificate is a required data field.")
	case r.Type == "TLSA" && data != nil:
		r.Data = fmt.Sprintf("%v %v %v %v", data["usage"], data["selector"], data["matching_type"], data["certificate"])
	case r.Type == "MX" && content != "":
		priority, ok := p["priority"].(float64)
		if !ok {
			return refuse(9102, "priority is a required data field.")
		}
		r.Data = fmt.Sprintf("%d %s.", int(priority), strings.TrimSuffix(content, "."))
	case content != "":
		r.Data = content
	}
	for _, x := range recs {
		same := x
		same.ID, same.TTL = r.ID, r.TTL
		switch {
		case x.ID == r.ID || !x.Of(r.Name, x.Type):
		case same == r:
			return refuse(81058, "An identical record already exists.")
		case (x.Type == "CNAME") != (r.Type == "CNAME"):
			return refuse(81053, "An A, AAAA, or CNAME record with that host already exists.")
		}
	}
	return r, nil
}

const cloudflareTestToken = "Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQqnFTOFYY"

// cloudflareBed is a fake of its own, with two zones of one name if twin.
func cloudflareBed(t testing.TB, twin bool) (*cloudflareFake, *conformance.Bed) {
	zone := conformance.NewZone("023e105f4ecef8ad9ca31a8372d0c353", "example.test.")
	other := conformance.NewZone("9a7806061c88ada191ed06f989cc3dac", "other.test.")
	f := &cloudflareFake{token: cloudflareTestToken, zones: []*conformance.Zone{other, zone}, page: 50}
	front := conformance.NewFront(t, f, cloudflareAnswers())
	settings := fmt.Sprintf("endpoint: %s/client/v4\ntoken: {file: %s}\ntimeout: 2s\nper_second: 10000\n", front.URL, conformance.SecretFile(t, f.token))
	b := &conformance.Bed{
		Kind: "cloudflare", Settings: settings, Zone: zone.Name,
		Truth: zone.Truth, Edit: zone.EditInPlace, Seen: zone.Seen, Faults: front, Secrets: []string{f.token},
	}
	if twin {
		second := conformance.NewZone("372e67954025e0ba6aaa6d586b9e0b59", "example.test.")
		f.zones = append(f.zones, second)
		b.Twin = &conformance.Twin{Ambiguous: settings, Chosen: settings + "zone_ids: {example.test: " + zone.ID + "}\n", Other: second.Truth}
	}
	return f, b
}

package providers_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
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
)

// azureFake speaks Azure DNS 2018-05-01 as documented at
// https://learn.microsoft.com/en-us/rest/api/dns/: record sets with ETags, If-Match
// and If-None-Match, lists with nextLink; and the token endpoint of
// https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow.
type azureFake struct {
	zone, twin *conformance.Zone // the twin is in another resource group
	kind       string            // zoneType
	link       func(next string) string
	extra      []map[string]any

	mu       sync.Mutex
	metadata map[string]map[string]string // by name and type, of the zone
	tokens   []string
}

const (
	azureTestSecret = "Qx8~changeme-0123456789.abcdefghij"
	azureTestTenant = "11111111-1111-1111-1111-111111111111"
	azureTestClient = "22222222-2222-2222-2222-222222222222"
	azureTestGroups = "/subscriptions/33333333-3333-3333-3333-333333333333/resourceGroups/"
)

// azureError is an error of the resource manager.
func azureError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": code, "message": message}})
}

// azureDNSError is one of the DNS service.
func azureDNSError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"code": code, "message": message})
}

func azureAnswers() conformance.Answers {
	token := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token") }
	return conformance.Answers{
		// https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/request-limits-and-throttling
		Busy: func(w http.ResponseWriter, _ *http.Request, wait time.Duration) {
			w.Header().Set("Retry-After", fmt.Sprint(int(wait.Seconds())))
			azureError(w, http.StatusTooManyRequests, "SubscriptionRequestsThrottled", "Number of requests for subscription exceeded the limit. Please try again later.")
		},
		Broken: func(w http.ResponseWriter, _ *http.Request) {
			azureDNSError(w, http.StatusInternalServerError, "InternalServerError", "An unexpected error occurred")
		},
		Refused: func(w http.ResponseWriter, _ *http.Request) {
			azureError(w, http.StatusConflict, "ScopeLocked", "The scope cannot perform write operation because following scope(s) are locked.")
		},
		Expired: func(w http.ResponseWriter, r *http.Request) {
			if token(r) {
				w.WriteHeader(http.StatusUnauthorized)
				json.NewEncoder(w).Encode(map[string]any{
					"error": "invalid_client", "error_codes": []int{7000222}, "error_description": "AADSTS7000222: The provided client secret keys '" + r.FormValue("client_secret") + "' are expired.",
				})
				return
			}
			azureError(w, http.StatusUnauthorized, "ExpiredAuthenticationToken", "The access token "+r.Header.Get("Authorization")+" has expired.")
		},
		Writes: func(r *http.Request) bool { return r.Method != http.MethodGet && !token(r) },
	}
}

func (f *azureFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.URL.Path == "/"+azureTestTenant+"/oauth2/v2.0/token" {
		f.token(w, r)
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, azureTestGroups)
	switch {
	case !slices.Contains(f.tokens, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")):
		azureError(w, http.StatusUnauthorized, "InvalidAuthenticationToken", "The access token is invalid.")
		return
	case r.URL.Query().Get("api-version") != "2018-05-01":
		azureError(w, http.StatusBadRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
		return
	case !ok:
		azureError(w, http.StatusForbidden, "AuthorizationFailed", "The client does not have authorization to perform action over scope.")
		return
	}
	part := strings.Split(path, "/")
	if len(part) < 5 || part[1] != "providers" || part[2] != "Microsoft.Network" || part[3] != "dnsZones" {
		azureError(w, http.StatusNotFound, "InvalidResourceType", "The resource type could not be found.")
		return
	}
	z := map[string]*conformance.Zone{"dns": f.zone, "other": f.twin}[part[0]]
	switch {
	case z == nil:
		azureError(w, http.StatusNotFound, "ResourceGroupNotFound", "Resource group '"+part[0]+"' could not be found.")
	case part[4]+"." != z.Name && len(part) > 5:
		azureError(w, http.StatusNotFound, "ParentResourceNotFound", "Can not perform requested operation on nested resource. Parent resource '"+part[4]+"' not found.")
	case part[4]+"." != z.Name:
		azureError(w, http.StatusNotFound, "ResourceNotFound", "The Resource 'Microsoft.Network/dnszones/"+part[4]+"' under resource group '"+part[0]+"' was not found.")
	case len(part) == 5 && r.Method == http.MethodGet:
		json.NewEncoder(w).Encode(map[string]any{
			"id": r.URL.Path, "name": part[4], "type": "Microsoft.Network/dnszones", "etag": "00000002-0000-0000-76c2-f7ad90b5d701", "location": "global", "tags": map[string]string{},
			"properties": map[string]any{"maxNumberOfRecordSets": 10000, "numberOfRecordSets": 4, "nameServers": []string{"ns1-01.azure-dns.com."}, "zoneType": f.kind},
		})
	case len(part) == 6 && part[5] == "recordsets" && r.Method == http.MethodGet:
		f.list(w, r, z)
	case len(part) == 7:
		f.record(w, r, z, strings.ToUpper(part[5]), part[6])
	default:
		azureError(w, http.StatusMethodNotAllowed, "MethodNotAllowed", "Not allowed")
	}
}

// azureFakeTypes are those of the version.
var azureFakeTypes = []string{"A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"}

// set is a record set as it is sent; nil if there is none. Each write, by anybody,
// changes its ETag.
func (f *azureFake) set(z *conformance.Zone, recs []conformance.Rec, typ, relative string) map[string]any {
	name := relative + "." + z.Name
	if relative == "@" {
		name = z.Name
	}
	records := []any{}
	var ttl uint32
	var shown string
	sum := sha256.New()
	for _, r := range recs {
		if !r.Of(name, typ) {
			continue
		}
		fmt.Fprintf(sum, "%+v %v", r, f.metadata[name+" "+typ])
		ttl, shown = r.TTL, r.Name
		records = append(records, azureRecord(r))
	}
	if len(records) == 0 {
		return nil
	}
	if relative != "@" { // as it was spelled when it was created
		relative = strings.TrimSuffix(shown[:len(relative)], ".")
	}
	properties := map[string]any{"fqdn": name, "TTL": ttl, "targetResource": map[string]any{}, "provisioningState": "Succeeded"}
	switch typ {
	case "CNAME", "SOA":
		properties[typ+"Record"] = records[0]
	case "CAA":
		properties["caaRecords"] = records
	default:
		properties[typ+"Records"] = records
	}
	if m := f.metadata[name+" "+typ]; m != nil {
		properties["metadata"] = m
	}
	return map[string]any{
		"id": azureTestGroups + "dns/providers/Microsoft.Network/dnszones/" + strings.TrimSuffix(z.Name, ".") + "/" + typ + "/" + relative, "name": relative,
		"type": "Microsoft.Network/dnszones/" + typ, "etag": fmt.Sprintf("%x", sum.Sum(nil)[:16]), "properties": properties,
	}
}

func azureRecord(r conformance.Rec) any {
	f := strings.Fields(r.Data)
	number := func(i int) int { n, _ := strconv.Atoi(f[i]); return n }
	switch r.Type {
	case "A":
		return map[string]any{"ipv4Address": r.Data}
	case "AAAA":
		return map[string]any{"ipv6Address": r.Data}
	case "CNAME":
		return map[string]any{"cname": r.Data}
	case "NS":
		return map[string]any{"nsdname": r.Data}
	case "MX":
		return map[string]any{"preference": number(0), "exchange": f[1]}
	case "SOA":
		return map[string]any{"host": f[0], "email": strings.TrimSuffix(f[1], "."), "serialNumber": number(2), "refreshTime": number(3), "retryTime": number(4), "expireTime": number(5), "minimumTTL": number(6)}
	case "TXT":
		var parts []string
		for _, p := range must(dns.NewRR(". 0 IN TXT " + r.Data)).(*dns.TXT).Txt {
			parts = append(parts, regexp.MustCompile(`\\(.)`).ReplaceAllString(p, "$1"))
		}
		return map[string]any{"value": parts}
	}
	panic("the tests have no " + r.Type)
}

func (f *azureFake) list(w http.ResponseWriter, r *http.Request, z *conformance.Zone) {
	const size = 7
	type key struct{ name, typ string }
	of := map[key][]conformance.Rec{}
	var all []any // a key, or a whole set
	for _, x := range z.Records() {
		k := key{dns.CanonicalName(x.Name), x.Type}
		if of[k] == nil && slices.Contains(azureFakeTypes, x.Type) {
			all = append(all, k)
		}
		of[k] = append(of[k], x)
	}
	for _, x := range f.extra {
		all = append(all, x)
	}
	at, _ := strconv.Atoi(r.URL.Query().Get("$skipToken"))
	shown := slices.Clone(all[at:min(at+size, len(all))])
	for i, x := range shown {
		if k, ok := x.(key); ok {
			relative := "@"
			if k.name != z.Name {
				relative = strings.TrimSuffix(k.name, "."+z.Name)
			}
			shown[i] = f.set(z, of[k], k.typ, relative)
		}
	}
	answer := map[string]any{"value": shown}
	if at+size < len(all) {
		answer["nextLink"] = f.link(fmt.Sprintf("http://%s%s?api-version=2018-05-01&$skipToken=%d", r.Host, strings.Replace(r.URL.EscapedPath(), "dnsZones", "dnszones", 1), at+size))
	}
	json.NewEncoder(w).Encode(answer)
}

// record reads, writes or deletes one record set, in one moment.
func (f *azureFake) record(w http.ResponseWriter, r *http.Request, z *conformance.Zone, typ, relative string) {
	name := strings.ToLower(relative) + "." + z.Name
	if relative == "@" {
		name = z.Name
	}
	var body azureFakeBody
	switch {
	case !slices.Contains(azureFakeTypes, typ):
		azureDNSError(w, http.StatusBadRequest, "BadRequest", "The record type '"+typ+"' is not supported.")
		return
	case r.Method == http.MethodPut:
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		if err := d.Decode(&body); err != nil {
			azureDNSError(w, http.StatusBadRequest, "BadRequest", "The request body could not be read: "+err.Error())
			return
		}
		if why := body.Properties.wrong(typ); why != "" {
			azureDNSError(w, http.StatusBadRequest, "BadRequest", why)
			return
		}
	}
	status, code, message := http.StatusOK, "", ""
	var set map[string]any
	err := z.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) {
		there := f.set(z, recs, typ, relative)
		fail := func(s int, c, m string) ([]conformance.Rec, error) {
			status, code, message = s, c, m
			return nil, fmt.Errorf("%s", m)
		}
		match := r.Header.Get("If-Match")
		switch {
		case r.Method == http.MethodGet && there == nil:
			return fail(http.StatusNotFound, "NotFound", "The resource record '"+relative+"' does not exist in resource group 'dns' of subscription.")
		case match != "" && (there == nil || there["etag"] != match):
			return fail(http.StatusPreconditionFailed, "PreconditionFailed", "The condition '"+match+"' in the If-Match header was not satisfied. The current was something else.")
		case r.Header.Get("If-None-Match") == "*" && there != nil:
			return fail(http.StatusPreconditionFailed, "PreconditionFailed", "The Record set "+relative+" exists already and hence cannot be created again.")
		case r.Method == http.MethodGet:
			set = there
			return recs, nil
		case r.Method == http.MethodDelete && there == nil:
			status = http.StatusNoContent
			return recs, nil
		}
		recs = slices.DeleteFunc(recs, func(x conformance.Rec) bool { return x.Of(name, typ) })
		delete(f.metadata, name+" "+typ)
		if r.Method == http.MethodDelete {
			return recs, nil
		}
		for _, x := range recs {
			if x.Of(name, x.Type) && (x.Type == "CNAME") != (typ == "CNAME") {
				return fail(http.StatusBadRequest, "BadRequest", "The record could not be created because a CNAME record with the same name already exists in this zone.")
			}
		}
		for _, d := range body.Properties.data() {
			recs = append(recs, conformance.Rec{ID: z.NewID(), Name: name, Type: typ, TTL: uint32(*body.Properties.TTL), Data: d})
		}
		if body.Properties.Metadata != nil {
			f.metadata[name+" "+typ] = body.Properties.Metadata
		}
		if there == nil {
			status = http.StatusCreated
		}
		set = f.set(z, recs, typ, relative)
		return recs, nil
	})
	if err != nil {
		azureDNSError(w, status, code, message)
		return
	}
	w.WriteHeader(status)
	if set != nil {
		json.NewEncoder(w).Encode(set)
	}
}

type azureFakeBody struct {
	Etag       string          `json:"etag"`
	Properties azureFakeRecord `json:"properties"`
}

type azureFakeRecord struct {
	Metadata map[string]string `json:"metadata"`
	TTL      *int64            `json:"TTL"`
	A        []struct {
		Address string `json:"ipv4Address"`
	} `json:"ARecords"`
	AAAA []struct {
		Address string `json:"ipv6Address"`
	} `json:"AAAARecords"`
	CNAME *struct {
		Name string `json:"cname"`
	} `json:"CNAMERecord"`
	MX []struct {
		Preference *int   `json:"preference"`
		Exchange   string `json:"exchange"`
	} `json:"MXRecords"`
	TXT []struct {
		Value []string `json:"value"`
	} `json:"TXTRecords"`
}

// wrong says what the service refuses.
func (p azureFakeRecord) wrong(typ string) string {
	if p.TTL == nil || *p.TTL < 1 || *p.TTL > 1<<31-1 {
		return "The TTL value must be between 1 and 2147483647."
	}
	has := map[string]bool{"A": len(p.A) > 0, "AAAA": len(p.AAAA) > 0, "CNAME": p.CNAME != nil, "MX": len(p.MX) > 0, "TXT": len(p.TXT) > 0}
	if has[typ] = !has[typ]; slices.Contains(slices.Collect(maps.Values(has)), true) {
		return "The records are not of the record set's type."
	}
	for _, m := range p.MX {
		if _, ok := dns.IsDomainName(m.Exchange); !ok || m.Preference == nil || *m.Preference < 0 || *m.Preference > 65535 || m.Exchange == "." || m.Exchange == "" {
			return "The domain name '" + m.Exchange + "' is invalid."
		}
	}
	for _, t := range p.TXT {
		total := 0
		for _, v := range t.Value {
			if total += len(v); len(v) == 0 || len(v) > 255 {
				return "The TXT record string must have from 1 to 255 characters."
			}
		}
		if total == 0 || total > 4096 {
			return "The TXT record must have from 1 to 4096 characters."
		}
	}
	return ""
}

// data are the records in presentation format.
func (p azureFakeRecord) data() (out []string) {
	for _, a := range p.A {
		out = append(out, a.Address)
	}
	for _, a := range p.AAAA {
		out = append(out, a.Address)
	}
	if p.CNAME != nil {
		out = append(out, p.CNAME.Name)
	}
	for _, m := range p.MX {
		out = append(out, fmt.Sprintf("%d %s", *m.Preference, m.Exchange))
	}
	for _, t := range p.TXT {
		var parts []string
		for _, v := range t.Value {
			parts = append(parts, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v)+`"`)
		}
		out = append(out, strings.Join(parts, " "))
	}
	return out
}

// token gives a token for client credentials.
func (f *azureFake) token(w http.ResponseWriter, r *http.Request) {
	want := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {azureTestClient}, "client_secret": {azureTestSecret}, "scope": {"https://management.azure.com/.default"},
	}
	if r.ParseForm() != nil || r.Method != http.MethodPost || r.PostForm.Encode() != want.Encode() {
		w.WriteHeader(http.StatusUnauthorized)
		json.NewEncoder(w).Encode(map[string]string{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."})
		return
	}
	token := fmt.Sprintf("eyJ0eXAiOiJKV1QEXAMPLE.%d.signature", len(f.tokens))
	f.tokens = append(f.tokens, token)
	json.NewEncoder(w).Encode(map[string]any{"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token})
}

// azureBed is a fake of its own.
func azureBed(t testing.TB) (*azureFake, *conformance.Bed) {
	f := &azureFake{
		zone: conformance.NewZone("z", "example.test."), twin: conformance.NewZone("t", "example.test."), kind: "Public",
		metadata: map[string]map[string]string{}, link: func(next string) string { return next },
	}
	front := conformance.NewFront(t, f, azureAnswers())
	settings := fmt.Sprintf("endpoint: %[1]s\nauthority: %[1]s\ntenant_id: %s\nclient_id: %s\nclient_secret: {file: %s}\nsubscription_id: %s\nresource_group: dns\ntimeout: 2s\nper_second: 10000\n",
		front.URL, azureTestTenant, azureTestClient, conformance.SecretFile(t, azureTestSecret), strings.Split(azureTestGroups, "/")[2])
	return f, &conformance.Bed{
		Kind: "azure", Settings: settings,
		Zone: f.zone.Name, Truth: f.zone.Truth, Edit: f.zone.Edit, Seen: f.zone.Seen, Faults: front,
		Secrets: []string{azureTestSecret, "eyJ0eXAiOiJKV1QEXAMPLE"},
		Twin:    &conformance.Twin{Chosen: settings, Other: f.twin.Truth},
	}
}

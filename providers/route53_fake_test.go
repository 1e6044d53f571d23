package providers_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
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
)

// route53Fake speaks the API of Route 53 as documented at
// https://docs.aws.amazon.com/Route53/latest/APIReference/: hosted zones by name,
// listings that begin at a name and are ordered by labels from the right, change
// batches that are carried out as a whole, errors in XML, octal route53Escapes.
type route53Fake struct {
	zone *conformance.Zone
	twin *conformance.Zone // private, of the same name
	// keys are access keys: with the second the twin is seen too.
	keys  map[string]string
	token string // session token, if one is needed
	extra []route53FakeSet
	size  int // of a page, at most
}

const (
	route53TestKey   = "AKIAEXAMPLEPUBLIC001"
	route53TwinKey   = "AKIAEXAMPLEBOTH00002"
	route53TestToken = "FwoGZXIvYXdzEXAMPLE+TOKEN/with=signs"
)

type route53FakeSet struct {
	Name        string                `xml:"Name"`
	Type        string                `xml:"Type"`
	Identifier  string                `xml:"SetIdentifier,omitempty"`
	Weight      string                `xml:"Weight,omitempty"`
	TTL         *int64                `xml:"TTL"`
	Records     []route53FakeRecord   `xml:"ResourceRecords>ResourceRecord"`
	Alias       *route53FakeAlias     `xml:"AliasTarget"`
	HealthCheck string                `xml:"HealthCheckId,omitempty"`
	Policy      string                `xml:"TrafficPolicyInstanceId,omitempty"`
	Unknown     []route53FakeNameless `xml:",any"`
}

type (
	route53FakeRecord struct {
		Value string `xml:"Value"`
	}
	route53FakeAlias struct {
		ZoneID string `xml:"HostedZoneId"`
		Name   string `xml:"DNSName"`
		Health bool   `xml:"EvaluateTargetHealth"`
	}
	route53FakeNameless struct{ XMLName xml.Name }
)

func route53Error(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0"?>`+"\n"+`<ErrorResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Error><Type>Sender</Type><Code>%s</Code><Message>`, code)
	xml.EscapeText(w, []byte(message))
	fmt.Fprint(w, `</Message></Error><RequestId>b25f48e8-84fd-11e6-80d9-574e0c4664cb</RequestId></ErrorResponse>`)
}

func route53Answers() conformance.Answers {
	return conformance.Answers{
		// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html#limits-api-requests.
		// The service names no time; one that a proxy names is kept to.
		Busy: func(w http.ResponseWriter, r *http.Request, wait time.Duration) {
			w.Header().Set("Retry-After", fmt.Sprint(int(wait.Seconds())))
			if r.Method == http.MethodPost {
				route53Error(w, http.StatusBadRequest, "PriorRequestNotComplete", "The request was rejected because Route 53 was still processing a prior request.")
				return
			}
			route53Error(w, http.StatusBadRequest, "Throttling", "Rate exceeded")
		},
		Broken: func(w http.ResponseWriter, _ *http.Request) {
			route53Error(w, http.StatusInternalServerError, "InternalFailure", "The request processing has failed because of an unknown error")
		},
		Refused: func(w http.ResponseWriter, _ *http.Request) {
			route53Refusal(w, "Number of records limit of 10000 exceeded.")
		},
		Expired: func(w http.ResponseWriter, r *http.Request) {
			route53Error(w, http.StatusForbidden, "ExpiredToken", "The security token "+r.Header.Get("X-Amz-Security-Token")+" included in the request is expired")
		},
	}
}

// route53Refusal is an InvalidChangeBatch, which has a form of its own
// (https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html#API_ChangeResourceRecordSets_Errors).
func route53Refusal(w http.ResponseWriter, message string) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?><InvalidChangeBatch xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Messages><Message>`)
	xml.EscapeText(w, []byte(message))
	fmt.Fprint(w, `</Message></Messages><RequestId>b25f48e8-84fd-11e6-80d9-574e0c4664cb</RequestId></InvalidChangeBatch>`)
}

func (f *route53Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	key, why := f.signed(r, body)
	if why != "" {
		route53Error(w, http.StatusForbidden, "SignatureDoesNotMatch", why)
		return
	}
	path, q := r.URL.Path, r.URL.Query()
	const prefix = "/2013-04-01/hostedzone/"
	switch {
	case path == "/2013-04-01/hostedzonesbyname" && r.Method == http.MethodGet:
		f.named(w, q, key)
		return
	case !strings.HasPrefix(path, prefix):
		route53Error(w, http.StatusNotFound, "InvalidAction", "Could not find operation")
		return
	}
	id, rest, _ := strings.Cut(strings.TrimPrefix(path, prefix), "/")
	zone := f.zone
	switch {
	case id == f.twin.ID && key == route53TwinKey:
		zone = f.twin
	case id != f.zone.ID:
		route53Error(w, http.StatusNotFound, "NoSuchHostedZone", "No hosted zone found with ID: "+id)
		return
	}
	switch {
	case rest == "" && r.Method == http.MethodGet:
		fmt.Fprintf(w, `<GetHostedZoneResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/">%s<DelegationSet><NameServers><NameServer>ns-1.awsdns-01.org</NameServer></NameServers></DelegationSet></GetHostedZoneResponse>`, f.hosted(zone))
	case rest == "rrset" && r.Method == http.MethodGet:
		f.list(w, q, zone)
	case rest == "rrset" && r.Method == http.MethodPost:
		f.change(w, body, zone)
	default:
		route53Error(w, http.StatusNotFound, "InvalidAction", "Could not find operation")
	}
}

func (f *route53Fake) hosted(z *conformance.Zone) string {
	return fmt.Sprintf(`<HostedZone><Id>/hostedzone/%s</Id><Name>%s</Name><CallerReference>c</CallerReference><Config><Comment>of a test</Comment><PrivateZone>%v</PrivateZone></Config><ResourceRecordSetCount>%d</ResourceRecordSetCount></HostedZone>`,
		z.ID, z.Name, z == f.twin, len(z.Records()))
}

// named begins at a name and goes on with others, one a page.
func (f *route53Fake) named(w http.ResponseWriter, q url.Values, key string) {
	other := conformance.NewZone("ZOTHER", "zother.test.")
	all := []*conformance.Zone{f.zone, other}
	if key == route53TwinKey {
		all = []*conformance.Zone{f.zone, f.twin, other}
	}
	at := slices.IndexFunc(all, func(z *conformance.Zone) bool {
		if id := q.Get("hostedzoneid"); id != "" && z.ID != id {
			return false
		}
		return route53Reversed(z.Name) >= route53Reversed(q.Get("dnsname"))
	})
	fmt.Fprintf(w, `<ListHostedZonesByNameResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><HostedZones>`)
	more := ""
	if at >= 0 {
		fmt.Fprint(w, f.hosted(all[at]))
		if at+1 < len(all) {
			more = fmt.Sprintf(`<NextDNSName>%s</NextDNSName><NextHostedZoneId>%s</NextHostedZoneId>`, all[at+1].Name, all[at+1].ID)
		}
	}
	fmt.Fprintf(w, `</HostedZones><DNSName>%s</DNSName><IsTruncated>%v</IsTruncated>%s<MaxItems>1</MaxItems></ListHostedZonesByNameResponse>`, q.Get("dnsname"), more != "", more)
}

// route53Reversed is a name as the service orders it.
func route53Reversed(name string) string {
	labels := dns.SplitDomainName(strings.ToLower(name))
	slices.Reverse(labels)
	return strings.Join(labels, ".") + "."
}

// route53Escapes are those of presentation format: three decimal digits, or any other
// character.
var route53Escapes = regexp.MustCompile(`\\([0-9]{3}|.)`)

// route53Octal is a name or data as the service sends it: whatever is escaped is so by
// three octal digits, but for quotation marks in data; asterisks in names are, too.
func route53Octal(s string, name bool) string {
	s = route53Escapes.ReplaceAllStringFunc(s, func(x string) string {
		switch n, err := strconv.Atoi(x[1:]); {
		case len(x) == 4 && err == nil:
			return fmt.Sprintf(`\%03o`, n)
		case x == `\"` && !name:
			return x
		}
		return fmt.Sprintf(`\%03o`, x[1])
	})
	if name {
		s = strings.ReplaceAll(strings.ToLower(s), "*", `\052`)
	}
	return s
}

// route53FromOctal reads what a client sends; what the service does not take is an error.
func route53FromOctal(s string) (string, error) {
	if m := regexp.MustCompile(`\\[^"0-7\\]|\\[0-7]{1,2}([^0-7]|$)`).FindString(s); m != "" {
		return "", fmt.Errorf("bad escape %q", m)
	}
	return regexp.MustCompile(`\\[0-7]{3}`).ReplaceAllStringFunc(s, func(x string) string {
		n, _ := strconv.ParseUint(x[1:], 8, 8)
		return fmt.Sprintf(`\%03d`, n)
	}), nil
}

// all are the sets of a zone as they are listed.
func (f *route53Fake) all(z *conformance.Zone) (out []route53FakeSet) {
	for _, r := range z.Records() {
		name := route53Octal(dns.Fqdn(r.Name), true)
		i := slices.IndexFunc(out, func(s route53FakeSet) bool { return s.Name == name && s.Type == r.Type })
		if i < 0 {
			i = len(out)
			ttl := int64(r.TTL)
			out = append(out, route53FakeSet{Name: name, Type: r.Type, TTL: &ttl})
		}
		out[i].Records = append(out[i].Records, route53FakeRecord{route53Octal(r.Data, false)})
	}
	if z == f.zone {
		out = append(out, f.extra...)
	}
	slices.SortStableFunc(out, func(a, b route53FakeSet) int {
		return strings.Compare(route53Reversed(a.Name)+" "+a.Type+" "+a.Identifier, route53Reversed(b.Name)+" "+b.Type+" "+b.Identifier)
	})
	return out
}

func (f *route53Fake) list(w http.ResponseWriter, q url.Values, z *conformance.Zone) {
	if q.Get("name") == "" && q.Get("type") != "" {
		route53Error(w, http.StatusBadRequest, "InvalidInput", "The type can be given with a name only")
		return
	}
	all := f.all(z)
	size, err := strconv.Atoi(q.Get("maxitems"))
	if err != nil || size < 1 {
		size = 300
	}
	size = min(size, f.size)
	if q.Get("name") != "" {
		name, err := route53FromOctal(q.Get("name"))
		if err != nil {
			route53Error(w, http.StatusBadRequest, "InvalidInput", "FATAL problem: DomainLabelBadEscape")
			return
		}
		at := route53Reversed(route53Octal(dns.Fqdn(name), true)) + " " + q.Get("type") + " " + q.Get("identifier")
		i := slices.IndexFunc(all, func(s route53FakeSet) bool {
			return route53Reversed(s.Name)+" "+s.Type+" "+s.Identifier >= strings.TrimSuffix(at, " ")
		})
		if i < 0 {
			i = len(all)
		}
		all = all[i:]
	}
	more := ""
	if len(all) > size {
		n := all[size]
		more = fmt.Sprintf("<NextRecordName>%s</NextRecordName><NextRecordType>%s</NextRecordType>", n.Name, n.Type)
		if n.Identifier != "" {
			more += "<NextRecordIdentifier>" + n.Identifier + "</NextRecordIdentifier>"
		}
		all = all[:size]
	}
	fmt.Fprint(w, `<?xml version="1.0"?>`, "\n", `<ListResourceRecordSetsResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/">`)
	e := xml.NewEncoder(w)
	e.EncodeElement(struct {
		Sets []route53FakeSet `xml:"ResourceRecordSet"`
	}{all}, xml.StartElement{Name: xml.Name{Local: "ResourceRecordSets"}})
	fmt.Fprintf(w, `<IsTruncated>%v</IsTruncated>%s<MaxItems>%d</MaxItems></ListResourceRecordSetsResponse>`, more != "", more, size)
}

// change carries out a batch in one moment, or nothing.
func (f *route53Fake) change(w http.ResponseWriter, body []byte, z *conformance.Zone) {
	var batch struct {
		XMLName xml.Name `xml:"https://route53.amazonaws.com/doc/2013-04-01/ ChangeResourceRecordSetsRequest"`
		Comment string   `xml:"ChangeBatch>Comment"`
		Changes []struct {
			Action string         `xml:"Action"`
			Set    route53FakeSet `xml:"ResourceRecordSet"`
		} `xml:"ChangeBatch>Changes>Change"`
	}
	if err := xml.NewDecoder(bytes.NewReader(body)).Decode(&batch); err != nil || len(batch.Changes) == 0 {
		route53Error(w, http.StatusBadRequest, "InvalidInput", fmt.Sprintf("Invalid XML: %v", err))
		return
	}
	err := z.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) {
		for _, c := range batch.Changes {
			next, err := f.carry(z, recs, c.Action, c.Set)
			if err != nil {
				return nil, err
			}
			recs = next
		}
		return recs, nil
	})
	if err != nil {
		route53Refusal(w, err.Error())
		return
	}
	fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?><ChangeResourceRecordSetsResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><ChangeInfo><Id>/change/C2682N5HXP0BZ4</Id><Status>PENDING</Status><SubmittedAt>2026-11-25T12:00:00Z</SubmittedAt></ChangeInfo></ChangeResourceRecordSetsResponse>`)
}

// carry makes one change of a batch.
func (f *route53Fake) carry(z *conformance.Zone, recs []conformance.Rec, action string, s route53FakeSet) ([]conformance.Rec, error) {
	which := fmt.Sprintf("resource record set [name='%s', type='%s']", s.Name, s.Type)
	name, err := route53FromOctal(s.Name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("FATAL problem: DomainLabelBadEscape encountered with '%s'", s.Name)
	case !dns.IsSubDomain(z.Name, dns.CanonicalName(name)):
		return nil, fmt.Errorf("RRSet with DNS name %s is not permitted in zone %s", s.Name, z.Name)
	case len(s.Records) == 0 || s.TTL == nil || *s.TTL < 0 || *s.TTL > 1<<31-1 || len(s.Unknown) > 0 || s.Alias != nil:
		return nil, fmt.Errorf("Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or TrafficPolicyInstanceId], but found another in Change with [Action=%s, Name=%s]", action, s.Name)
	}
	var there []route53FakeRecord
	var ttl int64
	recs = slices.DeleteFunc(slices.Clone(recs), func(r conformance.Rec) bool {
		if !r.Of(name, s.Type) {
			return false
		}
		there, ttl = append(there, route53FakeRecord{route53Octal(r.Data, false)}), int64(r.TTL)
		return true
	})
	byValue := func(a, b route53FakeRecord) int { return strings.Compare(a.Value, b.Value) }
	slices.SortFunc(there, byValue)
	slices.SortFunc(s.Records, byValue)
	switch {
	case action == "DELETE" && len(there) == 0:
		return nil, fmt.Errorf("Tried to delete %s but it was not found", which)
	case action == "DELETE" && (ttl != *s.TTL || !slices.Equal(there, s.Records)):
		return nil, fmt.Errorf("Tried to delete %s but the values provided do not match the current values", which)
	case action == "DELETE":
		return recs, nil
	case action != "CREATE":
		return nil, fmt.Errorf("Invalid action %s", action)
	case len(there) > 0 || slices.ContainsFunc(f.extra, func(x route53FakeSet) bool { return x.Name == s.Name && x.Type == s.Type }):
		return nil, fmt.Errorf("Tried to create %s but it already exists", which)
	}
	for _, r := range recs {
		if r.Of(name, r.Type) && (r.Type == "CNAME") != (s.Type == "CNAME") {
			return nil, fmt.Errorf("RRSet of type %s with DNS name %s is not permitted as it conflicts with other records with the same DNS name in zone %s", s.Type, s.Name, z.Name)
		}
	}
	for _, r := range s.Records {
		data, err := route53FromOctal(r.Value)
		if err == nil {
			_, err = dns.NewRR(fmt.Sprintf(". %d IN %s %s", *s.TTL, s.Type, data))
		}
		if err != nil || s.Type == "TXT" && !strings.HasPrefix(r.Value, `"`) {
			return nil, fmt.Errorf("Invalid Resource Record: 'FATAL problem: Invalid%sRDATA encountered with '%s''", s.Type, r.Value)
		}
		recs = append(recs, conformance.Rec{ID: z.NewID(), Name: name, Type: s.Type, TTL: uint32(*s.TTL), Data: data})
	}
	return recs, nil
}

// route53Bed is a fake of its own.
func route53Bed(t testing.TB) (*route53Fake, *conformance.Bed) {
	const secret = "wJalrXUtnFEMI+K7MDENG/bPxRfiCYEXAMPLEKEY"
	f := &route53Fake{
		zone: conformance.NewZone("Z111PUBLIC", "example.test."), twin: conformance.NewZone("Z222PRIVATE", "example.test."),
		keys: map[string]string{route53TestKey: secret, route53TwinKey: secret}, token: route53TestToken, size: 7,
	}
	front := conformance.NewFront(t, f, route53Answers())
	settings := func(key, more string) string {
		return fmt.Sprintf("endpoint: %s\naccess_key_id: {file: %s}\nsecret_access_key: {file: %s}\nsession_token: {file: %s}\ntimeout: 2s\nper_second: 10000\n%s",
			front.URL, conformance.SecretFile(t, key), conformance.SecretFile(t, secret), conformance.SecretFile(t, f.token), more)
	}
	return f, &conformance.Bed{
		Kind: "route53", Settings: settings(route53TestKey, ""),
		Zone: f.zone.Name, Truth: f.zone.Truth, Edit: f.zone.Edit, Seen: f.zone.Seen, Faults: front, Secrets: []string{secret, f.token},
		Twin: &conformance.Twin{
			Ambiguous: settings(route53TwinKey, ""), Chosen: settings(route53TwinKey, "zone_ids: {example.test: Z111PUBLIC}\n"), Other: f.twin.Truth,
		},
	}
}

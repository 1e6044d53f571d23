package providers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"mxcutover/rrset"
)

// The API's version is part of every path.
const route53Version = "/2013-04-01"

// The documents of the API that are used
// (https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListResourceRecordSets.html
// and its neighbours).
type (
	route53Hosted struct {
		ID      string `xml:"Id"`
		Name    string `xml:"Name"`
		Private bool   `xml:"Config>PrivateZone"`
	}
	route53Zone struct {
		XMLName xml.Name      `xml:"GetHostedZoneResponse"`
		Zone    route53Hosted `xml:"HostedZone"`
	}
	route53Zones struct {
		XMLName   xml.Name        `xml:"ListHostedZonesByNameResponse"`
		Zones     []route53Hosted `xml:"HostedZones>HostedZone"`
		Truncated *bool           `xml:"IsTruncated"`
		NextName  string          `xml:"NextDNSName"`
		NextID    string          `xml:"NextHostedZoneId"`
	}
	route53Sets struct {
		XMLName   xml.Name     `xml:"ListResourceRecordSetsResponse"`
		Sets      []route53Set `xml:"ResourceRecordSets>ResourceRecordSet"`
		Truncated *bool        `xml:"IsTruncated"`
		NextName  string       `xml:"NextRecordName"`
		NextType  string       `xml:"NextRecordType"`
		NextID    string       `xml:"NextRecordIdentifier"`
	}
	// The order of a set's elements is the schema's.
	route53Set struct {
		Name        string          `xml:"Name"`
		Type        string          `xml:"Type"`
		Identifier  string          `xml:"SetIdentifier,omitempty"`
		TTL         *int64          `xml:"TTL"`
		Records     []route53Record `xml:"ResourceRecords>ResourceRecord"`
		Alias       *route53Alias   `xml:"AliasTarget"`
		HealthCheck string          `xml:"HealthCheckId,omitempty"`
		Policy      string          `xml:"TrafficPolicyInstanceId,omitempty"`
	}
	route53Record struct {
		Value string `xml:"Value"`
	}
	route53Alias struct {
		ZoneID string `xml:"HostedZoneId"`
		Name   string `xml:"DNSName"`
	}
	route53Change struct {
		Action string     `xml:"Action"`
		Set    route53Set `xml:"ResourceRecordSet"`
	}
	route53Changed struct {
		XMLName xml.Name `xml:"ChangeResourceRecordSetsResponse"`
		Status  string   `xml:"ChangeInfo>Status"`
	}
)

// special says why a set is not one RRset with data of its own.
func (s route53Set) special() string {
	switch {
	case s.Alias != nil:
		return "it is an alias record"
	case s.Policy != "":
		return "it belongs to a traffic policy"
	case s.Identifier != "" || s.HealthCheck != "":
		return "it is routed (weighted, by latency, by place, failover or multivalue)"
	}
	return ""
}

// route53Path is the path of a zone's ID, which may have a path before it.
func route53Path(id string) (string, error) {
	id = strings.TrimPrefix(id, "/hostedzone/")
	ok := id != "" && len(id) <= 32
	for _, c := range id {
		ok = ok && (c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9')
	}
	if !ok {
		return "", fmt.Errorf("%.40q is no ID of a hosted zone; one as in Z0123456789 was expected", id)
	}
	return route53Version + "/hostedzone/" + id, nil
}

func route53Told(zones []route53Hosted) (out []string) {
	for _, z := range zones {
		kind := "public"
		if z.Private {
			kind = "private"
		}
		out = append(out, fmt.Sprintf("%.40q (%s)", strings.TrimPrefix(z.ID, "/hostedzone/"), kind))
	}
	return out
}

// get reads a document.
func (p *route53) get(ctx context.Context, c call, into any) error {
	var text []byte
	c.method, c.into, c.header = http.MethodGet, &text, http.Header{"Accept": {"text/xml"}}
	if err := p.do(ctx, c); err != nil {
		return err
	}
	return p.decode(c, text, into)
}

func (p *route53) decode(c call, text []byte, into any) error {
	if err := xml.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: the answer cannot be read: %.300q", p.where(c), p.clean(err.Error()))
	}
	return nil
}

var errNoMark = errors.New("the listing does not say whether it goes on")

// named lists the zones of a name. The service begins with them and goes on with
// others.
func (p *route53) named(ctx context.Context, zone string) (out []route53Hosted, err error) {
	first := url.Values{"dnsname": {route53Spelled(zone, false)}}
	err = pages(first.Encode(), func(at string) (page, error) {
		q, err := url.ParseQuery(at)
		if err != nil {
			return page{}, err
		}
		q.Set("maxitems", "100")
		var l route53Zones
		switch err := p.get(ctx, call{path: route53Version + "/hostedzonesbyname", query: q, zone: zone}, &l); {
		case err != nil:
			return page{}, err
		case l.Truncated == nil:
			return page{}, errNoMark
		}
		var first string
		for i, z := range l.Zones {
			if i == 0 {
				first = z.ID
			}
			if !route53Same(z.Name, zone) {
				return page{first: first}, nil
			}
			out = append(out, z)
		}
		if !*l.Truncated {
			return page{first: first}, nil
		}
		return page{url.Values{"dnsname": {l.NextName}, "hostedzoneid": {l.NextID}}.Encode(), first}, nil
	})
	return out, err
}

// list lists the sets of one name, or of the zone. The service begins with the
// name and goes on with others.
func (p *route53) list(ctx context.Context, path, zone, name string) (out []route53Set, err error) {
	first := url.Values{}
	if name != "" {
		first.Set("name", route53Spelled(name, false))
	}
	err = pages(first.Encode(), func(at string) (page, error) {
		q, err := url.ParseQuery(at)
		if err != nil {
			return page{}, err
		}
		q.Set("maxitems", "300")
		var l route53Sets
		switch err := p.get(ctx, call{path: path + "/rrset", query: q, zone: zone}, &l); {
		case err != nil:
			return page{}, err
		case l.Truncated == nil:
			return page{}, errNoMark
		}
		var first string
		for i, s := range l.Sets {
			if i == 0 {
				first = s.Name + " " + s.Type + " " + s.Identifier
			}
			if name != "" && !route53Same(s.Name, name) {
				return page{first: first}, nil
			}
			out = append(out, s)
		}
		if !*l.Truncated {
			return page{first: first}, nil
		}
		next := url.Values{"name": {l.NextName}, "type": {l.NextType}}
		if l.NextID != "" {
			next.Set("identifier", l.NextID)
		}
		return page{next.Encode(), first}, nil
	})
	return out, err
}

// sets are the RRsets of what was listed. Aliases have the data of what they lead
// to within it; those that lead elsewhere are left out.
func (p *route53) sets(path, zone string, all []route53Set) ([]rrset.Set, error) {
	z := newZoneData(zone)
	at := map[string][]route53Set{}
	for _, s := range all {
		at[s.key(s.Name)] = append(at[s.key(s.Name)], s)
	}
	for _, alias := range all {
		name, err := route53Name(alias.Name)
		if err != nil {
			return nil, fmt.Errorf("zone %s: %w", zone, err)
		}
		for _, s := range alias.leads(path, at) {
			if s.TTL == nil {
				return nil, fmt.Errorf("%s %.20q: the service sent no TTL", name, s.Type)
			}
			for _, r := range s.Records {
				data, err := parseData(s.Type, route53Decimal(r.Value))
				if err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
				if err := z.add(name, s.Type, *s.TTL, data); err != nil {
					return nil, err
				}
			}
		}
	}
	return z.sets()
}

// key tells sets apart by name and type.
func (s route53Set) key(name string) string {
	return s.Type + " " + strings.ToLower(rrset.Bare(name))
}

// leads gives the sets with data that an alias of the zone leads to within the
// zone; a set that is no alias itself.
func (s route53Set) leads(path string, at map[string][]route53Set) (out []route53Set) {
	seen := map[string]bool{}
	for todo := []route53Set{s}; len(todo) > 0; todo = todo[1:] {
		switch x := todo[0]; {
		case x.Alias == nil && (x.TTL != nil || x.Policy == ""):
			out = append(out, x)
		case x.Alias != nil && strings.HasSuffix(path, "/"+x.Alias.ZoneID) && !seen[x.key(x.Alias.Name)]:
			seen[x.key(x.Alias.Name)] = true
			todo = append(todo, at[x.key(x.Alias.Name)]...)
		}
	}
	return out
}

// route53SetOf is a set as it is created.
func route53SetOf(s rrset.Set) route53Set {
	ttl := int64(s.TTL)
	out := route53Set{Name: route53Spelled(s.Name, false), Type: s.Type, TTL: &ttl}
	for _, d := range s.Data {
		out.Records = append(out.Records, route53Record{route53Spelled(d, s.Type == "TXT" || s.Type == "SPF")})
	}
	return out
}

func route53Body(batch []route53Change) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	err := xml.NewEncoder(&b).Encode(struct {
		XMLName xml.Name        `xml:"https://route53.amazonaws.com/doc/2013-04-01/ ChangeResourceRecordSetsRequest"`
		Comment string          `xml:"ChangeBatch>Comment"`
		Changes []route53Change `xml:"ChangeBatch>Changes>Change"`
	}{Comment: "mxcutover", Changes: batch})
	return b.Bytes(), err
}

// route53Name is the canonical name of one in the service's spelling.
func route53Name(name string) (string, error) { return fullName(route53Decimal(name)) }

func route53Same(spelled, name string) bool {
	n, err := route53Name(spelled)
	return err == nil && n == name
}

// route53Decimal turns the service's octal escapes into those of RFC 1035, which
// are decimal (https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DomainNameFormat.html).
func route53Decimal(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		if n, err := strconv.ParseUint(s[i+1:min(i+4, len(s))], 8, 8); err == nil && i+3 < len(s) {
			fmt.Fprintf(&b, `\%03d`, n)
			i += 3
			continue
		}
		b.WriteString(s[i : i+2])
		i++
	}
	return b.String()
}

// route53Spelled is the other way, for names and data. In texts, quotation marks
// are escaped by a backslash (https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/ResourceRecordTypes.html#TXTFormat).
func route53Spelled(s string, text bool) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		c := s[i]
		if n, err := strconv.ParseUint(s[i:min(i+3, len(s))], 10, 8); err == nil && i+2 < len(s) && c >= '0' && c <= '9' {
			c, i = byte(n), i+2
		}
		if text && c == '"' {
			b.WriteString(`\"`)
			continue
		}
		fmt.Fprintf(&b, `\%03o`, c)
	}
	return b.String()
}

// route53Complaint reads ErrorResponse, and InvalidChangeBatch, which has a form
// of its own.
func route53Complaint(_ int, body []byte) (code, words string) {
	var e struct {
		XMLName  xml.Name
		Code     string   `xml:"Error>Code"`
		Message  string   `xml:"Error>Message"`
		Messages []string `xml:"Messages>Message"`
	}
	if xml.Unmarshal(body, &e) != nil {
		return "", strings.TrimSpace(string(body))
	}
	if e.XMLName.Local == "InvalidChangeBatch" {
		return e.XMLName.Local, strings.Join(e.Messages, "; ")
	}
	return e.Code, e.Message
}

// route53Throttled: too many requests of the account, or the zone's last change is
// not done yet.
func route53Throttled(_ int, code string) bool {
	return slices.Contains([]string{"Throttling", "ThrottlingException", "RequestLimitExceeded", "PriorRequestNotComplete"}, code)
}

// A route53Key is what requests are signed with.
type route53Key struct{ id, secret, session string }

// Format shows the key's ID alone.
func (k route53Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.id) }

// route53Signer signs requests
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).
func route53Signer(k route53Key, region string) func(r *http.Request, body []byte) error {
	signer := v4.NewSigner()
	credentials := aws.Credentials{AccessKeyID: k.id, SecretAccessKey: k.secret, SessionToken: k.session}
	return func(r *http.Request, body []byte) error {
		sum := sha256.Sum256(body)
		return signer.SignHTTP(r.Context(), credentials, r, hex.EncodeToString(sum[:]), "route53", region, time.Now())
	}
}

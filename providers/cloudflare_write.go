package providers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"mxcutover/rrset"
)

// record is a record as it is served.
func (r cloudflareRecord) record(zone string) (Record, error) {
	name, err := nameIn(r.Name, zone)
	if err != nil {
		return Record{}, err
	}
	out := Record{ID: r.ID, Name: name, Type: strings.ToUpper(r.Type)}
	switch {
	case r.TTL == 1: // automatic
		out.TTL = 300
	case r.TTL < 0 || r.TTL > rrset.MaxTTL:
		return Record{}, fmt.Errorf("%s %.20s: a TTL of %d seconds", name, r.Type, r.TTL)
	default:
		out.TTL = uint32(r.TTL)
	}
	switch {
	case out.Type == "MX" && r.Priority != nil:
		out.Data, err = mxData(*r.Priority, r.Content)
	case out.Type == "TXT" && !strings.HasPrefix(r.Content, `"`): // made before quotes were kept
		out.Data = quoted(r.Content)
	case out.Type == "SRV" && r.Priority != nil && len(strings.Fields(r.Content)) == 3:
		out.Data, err = parseData("SRV", fmt.Sprintf("%d %s", *r.Priority, r.Content))
	default:
		out.Data, err = parseData(out.Type, r.Content)
	}
	return out, err
}

// cloudflareOf is a record as it is sent. Types whose value is sent in parts are
// written where the parts are known here.
func cloudflareOf(name, typ string, ttl uint32, data string) (cloudflareRecord, error) {
	r := cloudflareRecord{Name: rrset.Bare(name), Type: typ, TTL: int64(ttl)}
	f := strings.Fields(data)
	switch typ {
	case "MX":
		mx, err := rrset.ParseMX(data)
		if err != nil {
			return r, err
		}
		p := int64(mx.Preference)
		r.Priority, r.Content = &p, rrset.Bare(mx.Host)
	case "CNAME", "NS":
		r.Content = rrset.Bare(data)
	case "A", "AAAA", "TXT":
		r.Content = data
	case "TLSA":
		if len(f) < 4 {
			return r, fmt.Errorf("TLSA data %.80q: four parts were expected", data)
		}
		r.Data = map[string]any{"certificate": strings.Join(f[3:], "")}
		for i, part := range []string{"usage", "selector", "matching_type"} {
			n, err := strconv.ParseUint(f[i], 10, 8)
			if err != nil {
				return r, fmt.Errorf("TLSA data %.80q: %w", data, err)
			}
			r.Data[part] = n
		}
	default:
		return r, fmt.Errorf("%s %s: records of this type are not written at this provider", name, typ)
	}
	return r, nil
}

// A cloudflareBatch is carried out in this order
// (https://developers.cloudflare.com/api/resources/dns/subresources/records/methods/batch/).
type cloudflareBatch struct {
	Deletes []cloudflareRecordID `json:"deletes,omitempty"`
	Patches []cloudflareRecord   `json:"patches,omitempty"`
	Posts   []cloudflareRecord   `json:"posts,omitempty"`
}

type cloudflareRecordID struct {
	ID string `json:"id"`
}

// SetRRset replaces one RRset by one batch; see [Setter].
func (p *cloudflare) SetRRset(ctx context.Context, c rrset.Change) error {
	path, err := p.find(ctx, c.Zone)
	if err != nil {
		return err
	}
	found, records, err := p.read(ctx, path, c.Zone, c.After.Name, c.After.Type)
	switch {
	case err != nil:
		return err
	case !found.Equal(c.Before):
		return &DriftError{Expected: c.Before, Found: found}
	}
	if c.After.TTL == 1 {
		return fmt.Errorf(`%s %s: a TTL of 1 second means "automatic" there; 60 to 86400 was expected`, c.After.Name, c.After.Type)
	}
	batch, err := batchOf(records, c.After)
	if err != nil {
		return err
	}
	err = p.do(ctx, call{method: http.MethodPost, path: path + "/batch", body: batch, zone: c.Zone})
	var e *apiError
	if errors.As(err, &e) && e.Status/100 == 4 && !errors.Is(err, ErrTransient) && !errors.Is(err, ErrCredential) {
		// A record that is not there any more: somebody else was faster.
		if now, _, rerr := p.read(ctx, path, c.Zone, c.After.Name, c.After.Type); rerr == nil && !now.Equal(c.Before) {
			return &DriftError{Expected: c.Before, Found: now}
		}
	}
	return err
}

// batchOf turns each record that goes into one that comes, of the same host where
// there is one, so that the record is there at each moment on each name server.
func batchOf(records []Record, after rrset.Set) (cloudflareBatch, error) {
	var b cloudflareBatch
	coming := slices.Clone(after.Data)
	var going []Record
	for _, r := range records {
		i := slices.Index(coming, r.Data)
		if i < 0 {
			going = append(going, r)
			continue
		}
		coming = slices.Delete(coming, i, i+1)
		if r.TTL != after.TTL {
			b.Patches = append(b.Patches, cloudflareRecord{ID: r.ID, TTL: int64(after.TTL)})
		}
	}
	for _, same := range []func(a, b string) bool{sameHost, func(string, string) bool { return true }} {
		for _, r := range slices.Clone(going) {
			i := slices.IndexFunc(coming, func(d string) bool { return same(d, r.Data) })
			if i < 0 {
				continue
			}
			patch, err := cloudflareOf(after.Name, after.Type, after.TTL, coming[i])
			if err != nil {
				return b, err
			}
			patch.ID = r.ID
			b.Patches = append(b.Patches, patch)
			coming = slices.Delete(coming, i, i+1)
			going = slices.DeleteFunc(going, func(x Record) bool { return x.ID == r.ID })
		}
	}
	for _, d := range coming {
		post, err := cloudflareOf(after.Name, after.Type, after.TTL, d)
		if err != nil {
			return b, err
		}
		b.Posts = append(b.Posts, post)
	}
	for _, r := range going {
		b.Deletes = append(b.Deletes, cloudflareRecordID{r.ID})
	}
	return b, nil
}

// sameHost tells whether two MX records' data differ in their preference alone.
func sameHost(a, b string) bool {
	x, errX := rrset.ParseMX(a)
	y, errY := rrset.ParseMX(b)
	return errX == nil && errY == nil && x.Host == y.Host
}

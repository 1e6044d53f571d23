package providers_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libdns/libdns"

	"mxcutover/providers"
	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

// A keeper keeps single records, in memory. It is also its own faults.
type keeper struct {
	zone *conformance.Zone
	min  uint32
	one  bool // TTL for the whole RRset; see sharer

	mu      sync.Mutex
	faults  []*conformance.Fault
	expired bool
	met     int
	writes  int
}

const keeperSecret = "keeper-0123456789"

// A sharer is a keeper that keeps one TTL for an RRset.
type sharer struct{ *keeper }

func (sharer) SharesTTL() {}

func (k *keeper) open() (providers.Provider, error) {
	if k.one {
		return sharer{k}, nil
	}
	return k, nil
}

func (k *keeper) Inject(f conformance.Fault) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f.Kind == conformance.Expired {
		k.expired = true
		return true
	}
	k.faults = append(k.faults, &f)
	return true
}

func (k *keeper) Met() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.met
}

func (k *keeper) Heal() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.faults, k.expired = nil, false
}

// due is the fault that befalls a request.
func (k *keeper) due(write bool) (conformance.Fault, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if write {
		k.writes++
	}
	if k.expired {
		k.met++
		return conformance.Fault{}, fmt.Errorf("%w: token", providers.ErrCredential)
	}
	for _, f := range k.faults {
		if f.Nth <= 0 || f.Kind != conformance.Busy && !write {
			continue
		}
		if f.Nth--; f.Nth > 0 {
			continue
		}
		k.met++
		if f.Kind == conformance.Busy {
			return *f, providers.Transient(errors.New("429"))
		}
		return *f, nil
	}
	return conformance.Fault{Kind: -1}, nil
}

// write carries one write out, or fails as it was told to.
func (k *keeper) write(ctx context.Context, f func([]conformance.Rec) ([]conformance.Rec, error)) error {
	if err := ctx.Err(); err != nil {
		return providers.Transient(err)
	}
	x, err := k.due(true)
	if err != nil {
		return err
	}
	lost := providers.Unanswered(time.Minute, errors.New("time-out"))
	switch x.Kind {
	case conformance.Between:
		x.Do()
	case conformance.Broken:
		return lost
	case conformance.Refused:
		return errors.New("400: refused")
	case conformance.Lost, conformance.Silent:
		return errors.Join(k.zone.Update(f), lost)
	}
	if err := k.zone.Update(f); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return lost
	}
	return nil
}

func (k *keeper) GetRecords(context.Context, string) ([]libdns.Record, error) {
	return nil, errors.New("not used")
}

func (k *keeper) Zone(ctx context.Context, _ string) ([]rrset.Set, error) {
	if _, err := k.due(false); err != nil {
		return nil, err
	}
	var out []rrset.Set
	for _, r := range k.zone.Records() {
		s := must(k.zone.Truth(ctx, strings.ToLower(r.Name), r.Type))
		if !slices.ContainsFunc(out, s.Equal) {
			out = append(out, s)
		}
	}
	return out, nil
}

func (k *keeper) Records(ctx context.Context, zone, name, typ string) ([]providers.Record, error) {
	if _, err := k.due(false); err != nil {
		return nil, err
	}
	if zone != k.zone.Name {
		return nil, fmt.Errorf("%w: %s", providers.ErrNoZone, zone)
	}
	var out []providers.Record
	for _, r := range k.zone.Records() {
		switch {
		case r.Of(name, typ):
			s := must(rrset.New(name, typ, 0, r.Data))
			out = append(out, providers.Record{ID: r.ID, Name: name, Type: typ, TTL: r.TTL, Data: s.Data[0]})
		case r.Of(name, "CNAME"):
			return nil, providers.ErrCNAME
		}
	}
	return out, ctx.Err()
}

func (k *keeper) AddRecord(ctx context.Context, _ string, r providers.Record) error {
	return k.write(ctx, func(recs []conformance.Rec) ([]conformance.Rec, error) {
		ttl := max(k.min, r.TTL)
		for _, x := range recs {
			if k.one && x.Of(r.Name, r.Type) {
				ttl = x.TTL
			}
		}
		return append(recs, conformance.Rec{ID: k.zone.NewID(), Name: r.Name, Type: r.Type, TTL: ttl, Data: r.Data}), nil
	})
}

func (k *keeper) UpdateRecord(ctx context.Context, _ string, r providers.Record) error {
	return k.write(ctx, func(recs []conformance.Rec) ([]conformance.Rec, error) {
		found := false
		for i := range recs {
			if recs[i].ID == r.ID || k.one && recs[i].Of(r.Name, r.Type) {
				recs[i].TTL, found = max(k.min, r.TTL), true
			}
		}
		if !found {
			return nil, errors.New("404")
		}
		return recs, nil
	})
}

func (k *keeper) DeleteRecord(ctx context.Context, _ string, r providers.Record) error {
	return k.write(ctx, func(recs []conformance.Rec) ([]conformance.Rec, error) {
		n := len(recs)
		if recs = slices.DeleteFunc(recs, func(x conformance.Rec) bool { return x.ID == r.ID }); len(recs) == n {
			return nil, errors.New("404")
		}
		return recs, nil
	})
}

func keeperBed(minTTL uint32, one bool) (*keeper, *conformance.Bed) {
	k := &keeper{zone: conformance.NewZone("k", "example.test."), min: minTTL, one: one}
	return k, &conformance.Bed{
		Open: k.open, Zone: k.zone.Name,
		Truth: k.zone.Truth, Edit: k.zone.Edit, Seen: k.zone.Seen, Faults: k, Secrets: []string{keeperSecret}, MinTTL: minTTL,
	}
}

// What mode edit does passes all cases, with a foreign change between reading and
// writing too: nothing is deleted beside it.
func TestEditConforms(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]struct {
		min uint32
		one bool
	}{"as asked": {}, "clamped": {min: 60}, "one TTL": {one: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lacking := map[string]string{"two zones of one name": "one zone"}
			if k.min == 0 {
				lacking["TTL clamped by the host"] = "it takes all"
			}
			conformance.Suite{
				Name: "edit", Against: "memory", Lacking: lacking,
				Bed: func(testing.TB) *conformance.Bed { _, b := keeperBed(k.min, k.one); return b },
			}.Run(t)
		})
	}
}

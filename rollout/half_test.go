package rollout

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"

	"github.com/libdns/libdns"

	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/rrset"
	"mxcutover/state"
)

// single keeps single records of one name, and fails from some write on.
type single struct {
	records []providers.Record
	left    int // writes until it fails; -1: never
	next    int
}

func (s *single) GetRecords(context.Context, string) ([]libdns.Record, error) {
	return nil, errors.New("not used")
}

func (s *single) Records(context.Context, string, string, string) ([]providers.Record, error) {
	return slices.Clone(s.records), nil
}

func (s *single) write(f func()) error {
	if s.left == 0 {
		return errors.New("refused")
	}
	s.left--
	f()
	return nil
}

func (s *single) AddRecord(_ context.Context, _ string, r providers.Record) error {
	return s.write(func() {
		s.next++
		r.ID = strconv.Itoa(s.next)
		s.records = append(s.records, r)
	})
}

func (s *single) UpdateRecord(_ context.Context, _ string, r providers.Record) error {
	return s.write(func() {
		i := slices.IndexFunc(s.records, func(x providers.Record) bool { return x.ID == r.ID })
		s.records[i] = r
	})
}

func (s *single) DeleteRecord(_ context.Context, _ string, r providers.Record) error {
	return s.write(func() {
		s.records = slices.DeleteFunc(s.records, func(x providers.Record) bool { return x.ID == r.ID })
	})
}

// open is a checker to which the old server is open.
type open struct{ Checker }

func (open) OldOpen(context.Context) []plan.Finding { return []plan.Finding{{Severity: plan.Pass}} }

// TestUndoOfHalfAWrite stops a write at a provider of single records after each of
// its writes. What is left is ours: it is taken back, and is no drift. With a
// member of somebody else's it is.
func TestUndoOfHalfAWrite(t *testing.T) {
	t.Parallel()
	set := func(ttl uint32, data ...string) rrset.Set {
		s, err := rrset.New("d.test", "MX", ttl, data...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before, after := set(3600, "10 old.test.", "20 kept.test."), set(300, "10 gw.test.", "20 kept.test.")
	const writes = 3 // add, update, delete
	for n := range writes {
		for _, foreign := range []bool{false, true} {
			p := &single{left: -1}
			for _, d := range before.Data {
				_ = p.AddRecord(t.Context(), "", providers.Record{Name: before.Name, Type: "MX", TTL: before.TTL, Data: d})
			}
			p.left = n
			change := rrset.Change{Zone: "d.test.", Before: before, After: after}
			if _, err := providers.Replace(t.Context(), p, change); err == nil || errors.Is(err, providers.ErrHalf) != (n > 0) {
				t.Errorf("after %d writes: %v", n, err)
			}
			p.left = -1
			if foreign {
				_ = p.AddRecord(t.Context(), "", providers.Record{Name: before.Name, Type: "MX", TTL: 3600, Data: "30 other.test."})
			}
			w := write{World{Checker: open{}, Providers: map[string]providers.Provider{"p": p}, limits: &limits{}}}
			turn := Turn{Step: plan.Step{ID: "x", Kind: plan.LowerTTL}, Domain: state.DomainStatus{Steps: map[string]state.StepRecord{}}}
			_, err := w.restore(t.Context(), turn, state.Intent{Change: &change, Snapshot: &before, Provider: "p"})
			switch now, rerr := providers.Read(t.Context(), p, "d.test.", "d.test.", "MX"); {
			case foreign && err == nil:
				t.Errorf("after %d writes somebody else's member was overwritten", n)
			case !foreign && (err != nil || rerr != nil || !now.Equal(before)):
				t.Errorf("after %d writes: %v, %v; %v is there", n, err, rerr, now)
			}
		}
	}
}

// publisher keeps single records, and serves them when they are published.
type publisher struct {
	single
	served []providers.Record
	fails  error
}

func (l *publisher) Publish(context.Context, string) error {
	if l.fails == nil {
		l.served = slices.Clone(l.records)
	}
	return l.fails
}

// TestUndoPublishes dies after it wrote the snapshot back and before that was
// published: it is published, though it is there.
func TestUndoPublishes(t *testing.T) {
	t.Parallel()
	set := func(data string) rrset.Set {
		s, err := rrset.New("d.test", "MX", 300, data)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before, after := set("10 old.test."), set("10 gw.test.")
	p := &publisher{single: single{left: -1}, fails: errors.New("no way to the host")}
	p.records = []providers.Record{{ID: "x", Name: before.Name, Type: "MX", TTL: 300, Data: before.Data[0]}}
	p.served = []providers.Record{{ID: "y", Name: after.Name, Type: "MX", TTL: 300, Data: after.Data[0]}}
	w := write{World{Checker: open{}, Providers: map[string]providers.Provider{"p": p}, limits: &limits{}}}
	turn := Turn{Step: plan.Step{ID: "x", Kind: plan.LowerTTL}, Domain: state.DomainStatus{Steps: map[string]state.StepRecord{}}}
	intent := state.Intent{Change: &rrset.Change{Zone: "d.test.", Before: before, After: after}, Snapshot: &before, Provider: "p"}
	if _, err := w.restore(t.Context(), turn, intent); !errors.Is(err, providers.ErrHalf) {
		t.Errorf("not published: %v", err)
	}
	p.fails = nil
	if _, err := w.restore(t.Context(), turn, intent); err != nil || !slices.Equal(p.served, p.records) {
		t.Errorf("%v; %v is served", err, p.served)
	}
}

package state_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
	"mxcutover/state/storetest"
)

// longer is a plan extended to n domains.
func longer(t testing.TB, base plan.Plan, n int) plan.Plan {
	t.Helper()
	set := plan.Settings{
		Migration: base.Migration, Config: base.Config, Made: base.Made, Planned: []rrset.MX{{Preference: 10, Host: "gw.example."}},
		First: 2, Growth: 2, Max: 1000, LowTTL: 300, Ports: []uint16{25},
	}
	var inv plan.Inventory
	for i := range n {
		name := fmt.Sprintf("d%04d.example.", i)
		inv.Domains = append(inv.Domains, plan.Domain{Name: name, Zone: name, Provider: "campus", PointsTo: plan.ToOld, MX: mx(t, name, 3600, "old.example.")})
		set.Zones = append(set.Zones, plan.Zone{Name: name, Provider: "campus"})
	}
	p, err := plan.Extend(base, inv, set)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// someLife is what was journaled before the extension; some of it is about all
// domains.
func someLife(t testing.TB, j *state.Journal) {
	t.Helper()
	step := string(plan.Preflight)
	err := j.Append(t.Context(),
		state.Event{Kind: state.Started, Engine: &state.Engine{Version: "1"}},
		state.Event{Kind: state.WaveStarted, Wave: "pilot"},
		state.Event{Kind: state.Intended, Wave: "pilot", Domain: "d0000.example.", Step: step, Intent: &state.Intent{}},
		state.Event{Kind: state.Done, Wave: "pilot", Domain: "d0000.example.", Step: step},
		state.Event{Kind: state.Stopped},
	)
	if err == nil {
		err = j.Decide(t.Context(), state.Decision{Verb: state.Hold, Target: state.All, By: "a test"})
	}
	if err == nil {
		err = j.Decide(t.Context(), state.Decision{Verb: state.Approve, Target: state.Isolate, By: "a test"})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestExtendGoesOn(t *testing.T) {
	t.Parallel()
	base := samplePlan(t, 6)
	s := storetest.NewMemory()
	j := create(t, s, base)
	someLife(t, j)
	before := j.Status()
	p := longer(t, base, 9)
	if err := j.Extend(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	st := j.Status()
	if j.Plan().ID != p.ID || st.PlanID != p.ID || len(st.Domains) != 9 || len(st.Waves) != len(p.Waves) {
		t.Errorf("plan %.8s, status of %.8s with %d domains; want %.8s", j.Plan().ID, st.PlanID, len(st.Domains), p.ID)
	}
	for i := range before.Domains {
		if !reflect.DeepEqual(before.Domains[i], st.Domains[i]) {
			t.Errorf("%s changed: %+v, was %+v", before.Domains[i].Domain, st.Domains[i], before.Domains[i])
		}
	}
	if !reflect.DeepEqual(before.Waves, st.Waves[:len(before.Waves)]) {
		t.Errorf("waves changed: %+v", st.Waves)
	}
	for _, d := range st.Domains[6:] {
		if d.State != state.Planned || d.Paused {
			t.Errorf("%s is %s, paused %v: a hold of all was not about it", d.Domain, d.State, d.Paused)
		}
		if _, ok := st.Cutover(d.Domain); !ok {
			t.Errorf("%s has no cutover", d.Domain)
		}
	}
	if st.Isolation.Approved {
		t.Error("isolation is approved, as it was before there were more domains")
	}
	later := longer(t, p, 12)
	if err := j.Append(t.Context(), state.Event{Kind: state.Done, Wave: p.Waves[len(p.Waves)-1].Name, Domain: "d0008.example.", Step: string(plan.Preflight)}); err != nil {
		t.Fatal(err)
	}
	if err := j.Extend(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	want := j.Status()
	if d := want.Domain("d0008.example."); d.State != state.Preflighted {
		t.Errorf("a second extension took a domain of the first back: %s", d.State)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for _, opt := range []state.Options{{Now: clock}, {Now: clock, Verify: true}} {
		j, err := state.Open(t.Context(), s.Copy(), opt)
		if err != nil {
			t.Fatal(err)
		}
		if got := j.Status(); !reflect.DeepEqual(flat(got), flat(want)) || j.Plan().ID != later.ID {
			t.Errorf("opened again (%+v) it is\n%+v, want\n%+v", opt, flat(got), flat(want))
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}
}

// flat is what of a Status can be compared.
func flat(s *state.Status) any {
	return []any{s.PlanID, s.Extended, s.Seq, s.Waves, s.Domains, s.Isolation.Approved, s.Isolation.State}
}

// TestExtendKilledAnywhere: whichever commit is the last one, done or not, the
// migration is as it was or wholly extended, and the same extension goes through
// after that.
func TestExtendKilledAnywhere(t *testing.T) {
	t.Parallel()
	base := samplePlan(t, 6)
	p := longer(t, base, 400)
	begin := storetest.NewMemory()
	j := create(t, begin, base)
	someLife(t, j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	was, is := 0, 0
	for at := 1; ; at++ {
		for _, late := range []bool{false, true} {
			s := begin.Copy()
			j, err := state.Open(t.Context(), &storetest.Failing{Store: s, At: at, Late: late}, state.Options{Now: clock})
			if err != nil {
				t.Fatal(err)
			}
			err = j.Extend(t.Context(), p)
			_ = j.Close() // its disk is gone
			if err == nil && at > 3 {
				if was == 0 || is == 0 {
					t.Errorf("it was left as it was %d times, and extended %d times", was, is)
				}
				return
			}
			after, err := state.Open(t.Context(), s.Copy(), state.Options{Now: clock, Verify: true})
			if err != nil {
				t.Fatalf("killed at commit %d (there: %v), it cannot be opened: %v", at, late, err)
			}
			switch st := after.Status(); {
			case st.PlanID == base.ID && len(st.Domains) == 6 && len(st.Extended) == 0:
				was++
				if err := after.Extend(t.Context(), p); err != nil {
					t.Errorf("killed at commit %d, then extended: %v", at, err)
				}
			case st.PlanID == p.ID && len(st.Domains) == 400 && len(st.Extended) == 1:
				is++
				if err := after.Extend(t.Context(), p); !errors.Is(err, state.ErrRefused) {
					t.Errorf("extended, and again by the same: %v", err)
				}
			default:
				t.Errorf("killed at commit %d it is neither: plan %.8s, %d domains", at, st.PlanID, len(st.Domains))
			}
			if st := after.Status(); st.PlanID != p.ID || len(st.Extended) != 1 {
				t.Errorf("killed at commit %d, it ends as plan %.8s", at, st.PlanID)
			}
			if err := after.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestExtendRefusals(t *testing.T) {
	t.Parallel()
	base := samplePlan(t, 6)
	p := longer(t, base, 8)
	other := samplePlan(t, 5)
	arm := []state.Event{{Kind: state.Intended, Step: string(plan.Observe)}, {Kind: state.Done, Step: string(plan.Observe)}, {Kind: state.Intended, Step: string(plan.Arm)}}
	for name, c := range map[string]struct {
		events []state.Event
		plan   plan.Plan
	}{
		"another plan":              {nil, other},
		"the same plan":             {nil, base},
		"the end":                   {[]state.Event{{Kind: state.Closed}}, p},
		"the server may be closed":  {arm, p},
		"the server is closed":      {append(arm, state.Event{Kind: state.Done, Step: string(plan.Arm)}), p},
		"a journal to be read only": {nil, p},
	} {
		memory := storetest.NewMemory()
		var s state.Store = memory
		j := create(t, s, base)
		if err := j.Append(t.Context(), append([]state.Event{{Kind: state.Started}}, c.events...)...); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		want := state.ErrRefused
		if strings.Contains(name, "read only") {
			s, want = readOnly{memory}, state.ErrReadOnly
		}
		j, err := state.Open(t.Context(), s, state.Options{Now: clock})
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Extend(t.Context(), c.plan); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if j.Status().PlanID != base.ID {
			t.Errorf("%s: the plan was extended all the same", name)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestExtensionsAreGuarded: a later plan that is changed, gone, or named by no
// event is a damage, never another plan.
func TestExtensionsAreGuarded(t *testing.T) {
	t.Parallel()
	base := samplePlan(t, 6)
	s := storetest.NewMemory()
	j := create(t, s, base)
	if err := j.Extend(t.Context(), longer(t, base, 8)); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]state.KV{
		"a chunk changed": {Key: "extended/0000/00000000", Value: []byte("x")},
		"a chunk gone":    {Key: "extended/0000/00000000"},
		"a chunk more":    {Key: "extended/0000/00000001", Value: []byte("x")},
		"the list gone":   {Key: "meta/extended"},
		"the list torn":   {Key: "meta/extended", Value: []byte("[")},
		"an empty list":   {Key: "meta/extended", Value: []byte("[]")},
	} {
		c := s.Copy()
		if err := c.Commit(t.Context(), state.Txn{Put: []state.KV{put}}); err != nil {
			t.Fatal(err)
		}
		if j, err := state.Open(t.Context(), c, state.Options{Now: clock}); !errors.Is(err, state.ErrBroken) {
			t.Errorf("%s: %v, want that it is damaged", name, err)
			if err == nil {
				_ = j.Close()
			}
		}
	}
}

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"mxcutover/config"
	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

func mxSet(t *testing.T, ttl uint32, host string) rrset.Set {
	t.Helper()
	s, err := rrset.New("a.test.", "MX", ttl, "10 "+host)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCompanionsByOneNumber: a domain that was planned anew had another companion by
// the same number. Both are undone, and the plan can be read.
func TestCompanionsByOneNumber(t *testing.T) {
	t.Parallel()
	old, low := mxSet(t, 3600, "old.test."), mxSet(t, 60, "old.test.")
	snaps := []state.Snapshot{{Migration: "m", Domain: "a.test.", Zone: "a.test.", Provider: "p", Step: "lower-ttl", Name: old.Name, Type: "MX", Set: old, After: &low}}
	for i, step := range []string{"companion:1", "companion:2", "companion:1"} {
		name := []string{"_mta-sts.a.test.", "a.test.", "_spf.a.test."}[i]
		set, after := rrset.Set{Name: name, Type: "TXT", TTL: 60, Data: []string{`"1"`}}, rrset.Set{Name: name, Type: "TXT", TTL: 60, Data: []string{`"2"`}}
		snaps = append(snaps, state.Snapshot{Migration: "m", Domain: "a.test.", Zone: "a.test.", Provider: "p", Step: step, Name: name, Type: "TXT", Set: set, After: &after})
	}
	r, err := fromSnapshots(&config.Config{Migration: "m"}, snaps)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := r.plan.Write(&text); err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Read(&text); err != nil {
		t.Error(err)
	}
	var told []string
	for _, ev := range retold(r.chains["a.test."], nil) {
		if ev.Kind == state.Intended {
			told = append(told, ev.Step+" "+ev.Intent.Change.After.Name)
		}
	}
	if got, want := strings.Join(told, ", "), "lower-ttl a.test., companion:1 _mta-sts.a.test., companion:2 a.test., companion:3 _spf.a.test."; got != want {
		t.Errorf("told: %s\nwant: %s", got, want)
	}
}

// TestWhatSnapshotsTell gives what was written in several attempts, and how the
// record stands now: which steps are told as done, from which records on.
func TestWhatSnapshotsTell(t *testing.T) {
	t.Parallel()
	old, low := mxSet(t, 3600, "old.test."), mxSet(t, 60, "old.test.")
	gw, gwLow, theirs := mxSet(t, 3600, "gw.test."), mxSet(t, 60, "gw.test."), mxSet(t, 900, "theirs.test.")
	snap := func(step plan.Kind, attempt int, set, after rrset.Set) state.Snapshot {
		return state.Snapshot{Migration: "m", Domain: "a.test.", Zone: "a.test.", Step: string(step), Attempt: attempt, Set: set, After: &after}
	}
	lower, publish, settle := snap(plan.LowerTTL, 1, old, low), snap(plan.Publish, 1, low, gwLow), snap(plan.Settle, 1, gwLow, gw)
	adopted := snap(plan.Publish, 1, theirs, gwLow)
	adopted.Base = true
	sts := func(step string, attempt int, ttl uint32) state.Snapshot {
		set := rrset.Set{Name: "_mta-sts.a.test.", Type: "TXT", TTL: ttl, Data: []string{"10 id.test."}}
		return state.Snapshot{
			Migration: "m", Domain: "a.test.", Zone: "a.test.", Provider: "p", Step: step, Attempt: attempt, Name: set.Name, Type: set.Type, Set: set, After: &set,
		}
	}
	for name, c := range map[string]struct {
		snaps []state.Snapshot
		now   *rrset.Set
		want  string
	}{
		"published":                    {[]state.Snapshot{lower, publish}, &gwLow, "lower-ttl 3600 old, publish 60 old"},
		"it cannot be read":            {[]state.Snapshot{lower, publish, settle}, nil, "lower-ttl 3600 old, publish 60 old, settle 60 gw"},
		"somebody else changed it":     {[]state.Snapshot{lower, publish}, &theirs, "lower-ttl 3600 old, publish 60 old"},
		"it was rolled back":           {[]state.Snapshot{lower, publish}, &old, "lower-ttl 3600 old"},
		"its TTL was not, yet":         {[]state.Snapshot{lower, publish, settle}, &low, "lower-ttl 3600 old, publish 60 old"},
		"rolled back and begun again":  {[]state.Snapshot{lower, publish, snap(plan.LowerTTL, 2, theirs, low)}, &low, "lower-ttl 900 theirs"},
		"skipped, and then retried":    {[]state.Snapshot{lower, snap(plan.Publish, 2, low, gwLow)}, &gwLow, "lower-ttl 3600 old, publish 60 old"},
		"a step that died and goes on": {[]state.Snapshot{lower, publish, snap(plan.Publish, 1, gwLow, gwLow)}, &gwLow, "lower-ttl 3600 old, publish 60 old"},
		"with a companion": {
			snaps: []state.Snapshot{lower, sts("companion:1", 1, 70), publish, sts("companion:2", 1, 80)}, now: &gwLow,
			want: "lower-ttl 3600 old, companion:1 70 id, publish 60 old, companion:2 80 id",
		},
		"its MX went back, the companion may not have": {[]state.Snapshot{sts("companion:1", 1, 70), lower, publish}, &old, "companion:1 70 id, lower-ttl 3600 old"},
		"a companion begun again":                      {[]state.Snapshot{sts("companion:1", 1, 70), publish, sts("companion:1", 2, 80)}, &gwLow, "publish 60 old, companion:1 80 id"},
		"adopted":                                      {[]state.Snapshot{lower, adopted}, &gwLow, "lower-ttl 3600 old, publish 900 theirs base"},
		"begun, and then adopted":                      {[]state.Snapshot{lower, publish, adopted}, &gwLow, "lower-ttl 3600 old, publish 900 theirs base"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := fromSnapshots(&config.Config{Migration: "m"}, c.snaps)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, ev := range retold(r.chains["a.test."], c.now) {
				if ev.Kind != state.Intended {
					continue
				}
				host := strings.TrimSuffix(strings.TrimPrefix(ev.Intent.Snapshot.Data[0], "10 "), ".test.")
				line := ev.Step + " " + strings.Fields(ev.Intent.Snapshot.String())[1] + " " + host
				if ev.Intent.Base {
					line += " base"
				}
				got = append(got, line)
			}
			if s := strings.Join(got, ", "); s != c.want {
				t.Errorf("told: %s\nwant: %s", s, c.want)
			}
		})
	}
}

// What waits by the plan before a companion goes back is known from the snapshots
// alone.
func TestSnapshotsKnowTheWait(t *testing.T) {
	t.Parallel()
	after := rrset.Set{Name: "_25._tcp.gw.example.", Type: "TLSA", TTL: 60, Data: []string{"3 1 1 ab"}}
	chain := []state.Snapshot{{
		Domain: "a.example.", Step: "companion:1", Zone: "gw.example.", Name: after.Name, Type: after.Type, Set: rrset.Set{Name: after.Name, Type: after.Type},
		After: &after, Rest: 48 * time.Hour,
	}}
	if events := retold(chain, nil); len(events) == 0 || events[0].Intent.Rest != 48*time.Hour {
		t.Errorf("%+v", events)
	}
}

// TestCompanionsWaitWhenTheMXWentBackBefore: the MX is back already, and nobody knows
// since when: caches may have the gateway's for the highest TTL that it had, and
// companions wait for that.
func TestCompanionsWaitWhenTheMXWentBackBefore(t *testing.T) {
	t.Parallel()
	old, low := mxSet(t, 3600, "old.test."), mxSet(t, 60, "old.test.")
	gw, gwLow := mxSet(t, 3600, "gw.test."), mxSet(t, 60, "gw.test.")
	snap := func(step string, set, after rrset.Set) state.Snapshot {
		return state.Snapshot{Migration: "m", Domain: "a.test.", Zone: "a.test.", Provider: "p", Step: step, Attempt: 1, Name: set.Name, Type: set.Type, Set: set, After: &after}
	}
	tlsa := rrset.Set{Name: "_25._tcp.gw.test.", Type: "TLSA", TTL: 60, Data: []string{"3 1 1 ab"}}
	companion, lower := snap("companion:1", rrset.Set{Name: tlsa.Name, Type: tlsa.Type}, tlsa), snap("lower-ttl", old, low)
	publish, settle := snap("publish", low, gwLow), snap("settle", gwLow, gw)
	for name, c := range map[string]struct {
		snaps []state.Snapshot
		now   *rrset.Set
		want  time.Duration
	}{
		"it leads to the gateway": {[]state.Snapshot{companion, lower, publish}, &gwLow, 0}, // its undo tells
		"it cannot be read":       {[]state.Snapshot{companion, lower, publish}, nil, 0},
		"it went back":            {[]state.Snapshot{companion, lower, publish}, &old, time.Minute},
		"it had settled":          {[]state.Snapshot{companion, lower, publish, settle}, &old, time.Hour},
		"its TTL is low":          {[]state.Snapshot{companion, lower, publish, settle}, &low, time.Hour},
		"it never moved":          {[]state.Snapshot{companion, lower}, &old, 0},
	} {
		r, err := fromSnapshots(&config.Config{Migration: "m"}, c.snaps)
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range retold(r.chains["a.test."], c.now) {
			if ev.Kind != state.Intended {
				continue
			}
			want := c.want
			if plan.KindOf(ev.Step) != plan.WriteCompanion {
				want = 0
			}
			if ev.Intent.Wait != want {
				t.Errorf("%s: %s waits %v, want %v", name, ev.Step, ev.Intent.Wait, want)
			}
		}
	}
}

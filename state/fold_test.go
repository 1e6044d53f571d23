package state_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
)

const dom = "d0000.example."

// fold applies events, one second apart, to a plan of three domains: two in the
// pilot wave, one in the next.
func fold(t testing.TB, events ...state.Event) *state.Status {
	t.Helper()
	s := state.NewStatus(samplePlan(t, 3))
	for i, e := range events {
		e.Seq, e.At = uint64(i+1), epoch.Add(time.Duration(i)*time.Second)
		s.Apply(e)
	}
	return s
}

func at(k state.Kind, step string) state.Event {
	return state.Event{Kind: k, Domain: dom, Step: step}
}

func until(k state.Kind, step string, d time.Duration) state.Event {
	e := at(k, step)
	e.Intent = &state.Intent{Until: epoch.Add(d)}
	return e
}

// done are the events of steps that went well.
func done(steps ...string) (out []state.Event) {
	for _, s := range steps {
		out = append(out, at(state.Intended, s), at(state.Done, s))
	}
	return out
}

func decided(v state.Verb, target string) state.Event {
	return state.Event{Kind: state.Decided, Decision: &state.Decision{Verb: v, Target: target, By: "uid 7"}}
}

func join(parts ...[]state.Event) (out []state.Event) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func one(e ...state.Event) []state.Event { return e }

func TestFoldOfADomain(t *testing.T) {
	t.Parallel()
	moved := done("preflight", "lower-ttl", "await-ttl", "publish")
	inDoubt := join(done("preflight"), one(at(state.Intended, "publish"), until(state.InDoubt, "publish", time.Hour)))
	for name, c := range map[string]struct {
		events []state.Event
		want   state.Phase
		check  func(state.DomainStatus) bool
	}{
		"nothing yet":      {nil, state.Planned, nil},
		"step under way":   {one(at(state.Intended, "preflight")), state.Planned, func(d state.DomainStatus) bool { return d.Step == "preflight" }},
		"preflighted":      {done("preflight"), state.Preflighted, func(d state.DomainStatus) bool { return d.Step == "" && d.Has("preflight") && !d.Moved() }},
		"published":        {moved, state.Published, func(d state.DomainStatus) bool { return d.Moved() }},
		"publish intended": {one(at(state.Intended, "publish")), state.Planned, func(d state.DomainStatus) bool { return d.Moved() && !d.Has("publish") }},
		"soaking":          {join(moved, done("propagate", "probe"), one(until(state.Intended, "soak", time.Minute))), state.Soaking, func(d state.DomainStatus) bool { return d.Until.Equal(epoch.Add(time.Minute)) }},
		"live":             {join(moved, done("propagate", "probe", "soak")), state.Live, func(d state.DomainStatus) bool { return d.Until.IsZero() }},
		"settled":          {join(moved, done("propagate", "probe", "soak", "settle")), state.Settled, nil},
		"prepared only":    {done("lower-ttl", "await-ttl"), state.Waited, func(d state.DomainStatus) bool { return !d.Moved() }},
		"wait extended":    {one(until(state.Intended, "await-ttl", time.Minute), until(state.Observed, "await-ttl", time.Hour)), state.Planned, func(d state.DomainStatus) bool { return d.Until.Equal(epoch.Add(time.Hour)) }},
		"failed check":     {one(at(state.Intended, "preflight"), at(state.Failed, "preflight")), state.Planned, func(d state.DomainStatus) bool { return d.Failed && len(d.Steps) == 0 }},
		"failed write":     {one(at(state.Intended, "publish"), at(state.Failed, "publish")), state.Planned, func(d state.DomainStatus) bool { return d.Failed && d.Moved() }},
		"held":             {join(done("preflight"), one(at(state.Held, ""))), state.IsHeld, func(d state.DomainStatus) bool { return d.Waiting() }},
		"drifted":          {join(done("preflight"), one(at(state.Drifted, ""))), state.IsDrifted, func(d state.DomainStatus) bool { return d.Waiting() }},
		"in doubt": {inDoubt, state.IsInDoubt, func(d state.DomainStatus) bool {
			return !d.Waiting() && d.Until.Equal(epoch.Add(time.Hour)) && d.Moved()
		}},
		"doubt ended":       {join(inDoubt, one(at(state.Done, "publish"))), state.Published, func(d state.DomainStatus) bool { return d.Until.IsZero() }},
		"rolling back":      {join(moved, one(at(state.RollingBack, ""))), state.IsRollingBack, func(d state.DomainStatus) bool { return d.Back }},
		"late outcome":      {join(done("preflight"), one(at(state.Intended, "publish"), at(state.RollingBack, ""), at(state.Done, "publish"))), state.IsRollingBack, func(d state.DomainStatus) bool { return d.Has("publish") }},
		"rolled back":       {join(moved, one(at(state.RollingBack, ""), at(state.Undoing, "publish"), at(state.Undone, "publish"), at(state.RolledBack, ""))), state.IsRolledBack, func(d state.DomainStatus) bool { return !d.Back && !d.Moved() && len(d.Steps) == 0 }},
		"rollback held":     {join(moved, one(at(state.RollingBack, ""), at(state.Held, "publish"))), state.IsHeld, func(d state.DomainStatus) bool { return d.Back }},
		"rollback in doubt": {join(moved, one(at(state.RollingBack, ""), at(state.Undoing, "publish"), until(state.InDoubt, "publish", time.Hour))), state.IsInDoubt, func(d state.DomainStatus) bool { return d.Back && !d.Until.IsZero() }},
		"asked back while in doubt": {
			join(inDoubt, one(decided(state.Rollback, state.All))), state.IsInDoubt,
			func(d state.DomainStatus) bool { return d.Back && d.Until.Equal(epoch.Add(time.Hour)) },
		},
		"failed and back while in doubt": {
			join(inDoubt, one(at(state.RollingBack, ""))), state.IsInDoubt,
			func(d state.DomainStatus) bool { return d.Back && d.Until.Equal(epoch.Add(time.Hour)) },
		},
		"undone after doubt":           {join(inDoubt, one(decided(state.Rollback, state.All), at(state.Undoing, "publish"))), state.IsRollingBack, nil},
		"asked back before it began":   {one(decided(state.Rollback, "wave:pilot")), state.IsRolledBack, func(d state.DomainStatus) bool { return !d.Back && d.Reason == "asked by uid 7" }},
		"asked back":                   {join(moved, one(decided(state.Rollback, "domain:d0000.example"))), state.IsRollingBack, func(d state.DomainStatus) bool { return d.Back }},
		"held, then asked to go on":    {join(done("preflight"), one(at(state.Held, ""), decided(state.Retry, state.All))), state.Preflighted, func(d state.DomainStatus) bool { return !d.Waiting() && d.Reason == "" }},
		"drifted, then only resumed":   {join(done("preflight"), one(at(state.Drifted, ""), decided(state.Hold, state.All), decided(state.Resume, state.All))), state.IsDrifted, func(d state.DomainStatus) bool { return !d.Paused }},
		"rolled back, then again":      {one(decided(state.Rollback, state.All), decided(state.Retry, "wave:pilot")), state.Planned, func(d state.DomainStatus) bool { return d.Attempt == 2 }},
		"rolled back, and all retried": {one(decided(state.Rollback, state.All), decided(state.Retry, state.All)), state.IsRolledBack, func(d state.DomainStatus) bool { return d.Attempt == 1 }},
		"rollback held, then retried":  {join(moved, one(at(state.RollingBack, ""), at(state.Held, ""), decided(state.Retry, state.All))), state.IsRollingBack, nil},
		"another wave's is untouched":  {one(decided(state.Rollback, "wave:wave-2")), state.Planned, nil},
		"unknown kind":                 {join(moved, one(at("invented", "publish"))), state.Published, nil},
		"what nobody knows":            {one(state.Event{Kind: state.Held, Domain: "other.example."}), state.Planned, nil},
		"hold does not hide the state": {join(moved, one(decided(state.Hold, state.All))), state.Published, func(d state.DomainStatus) bool { return d.Paused && d.Waiting() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := *fold(t, c.events...).Domain(dom)
			if d.State != c.want || c.check != nil && !c.check(d) {
				t.Errorf("%s, want %s: %+v", d.State, c.want, d)
			}
		})
	}
}

func TestFoldKeepsTheJournaledSnapshot(t *testing.T) {
	t.Parallel()
	got := mx(t, dom, 300, "gw.example.")
	read := at(state.Done, "publish")
	read.Intent = &state.Intent{Snapshot: &got}
	r := fold(t, intended(t, dom, 1), read).Domain(dom).Steps["publish"]
	if want := mx(t, dom, 300, "old.example."); !r.Intent.Snapshot.Equal(want) || !r.Got.Equal(got) || !r.Done || !r.DoneAt.At.Equal(epoch.Add(time.Second)) {
		t.Errorf("%+v", r)
	}
}

func TestFoldOfAWave(t *testing.T) {
	t.Parallel()
	other := func(k state.Kind, step string) state.Event {
		return state.Event{Kind: k, Domain: "d0001.example.", Step: step}
	}
	wave := func(k state.Kind) state.Event { return state.Event{Kind: k, Wave: "pilot", Reason: "why"} }
	live := done("preflight", "publish", "propagate", "probe", "soak")
	for name, c := range map[string]struct {
		events []state.Event
		want   state.WaveStatus
	}{
		"before":      {nil, state.WaveStatus{State: state.WaveWaiting}},
		"running":     {one(wave(state.WaveStarted)), state.WaveStatus{State: state.WaveRunning, Reason: "why"}},
		"one live":    {live, state.WaveStatus{State: state.WaveWaiting, Live: 1}},
		"mixed":       {join(live, one(other(state.Held, ""))), state.WaveStatus{State: state.WaveWaiting, Live: 1, Held: 1}},
		"in doubt":    {join(live, one(at(state.InDoubt, "publish"))), state.WaveStatus{State: state.WaveWaiting, Held: 1}},
		"going back":  {join(live, one(at(state.RollingBack, ""), other(state.Drifted, ""))), state.WaveStatus{State: state.WaveWaiting, Failed: 1, Held: 1}},
		"gone back":   {one(at(state.RollingBack, ""), at(state.RolledBack, "")), state.WaveStatus{State: state.WaveWaiting, Failed: 1}},
		"all back":    {one(decided(state.Rollback, "wave:pilot")), state.WaveStatus{State: state.WaveWaiting, Failed: 2}},
		"held":        {one(wave(state.WaveHeld)), state.WaveStatus{State: state.IsHeld, Reason: "why"}},
		"retried":     {one(at(state.Held, ""), wave(state.WaveHeld), decided(state.Retry, "wave:pilot")), state.WaveStatus{State: state.WaveRunning}},
		"paused":      {one(decided(state.Hold, "wave:pilot")), state.WaveStatus{State: state.WaveWaiting, Paused: true}},
		"resumed":     {one(decided(state.Hold, state.All), decided(state.Resume, state.All)), state.WaveStatus{State: state.WaveWaiting}},
		"a later one": {one(decided(state.Hold, "wave:wave-2")), state.WaveStatus{State: state.WaveWaiting}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.want.Name, c.want.Total, c.want.Approved = "pilot", 2, true
			if got := *fold(t, c.events...).Wave("pilot"); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestFoldOfIsolation(t *testing.T) {
	t.Parallel()
	iso := func(k state.Kind, step string, d time.Duration) state.Event {
		e := state.Event{Kind: k, Step: step, Intent: &state.Intent{}}
		if d > 0 {
			e.Intent.Until = epoch.Add(d)
		}
		return e
	}
	armed := one(iso(state.Intended, "observe", 0), iso(state.Done, "observe", 0), iso(state.Intended, "arm", time.Hour), iso(state.Done, "arm", 0))
	proven := join(armed, one(iso(state.Intended, "prove", 0), iso(state.Done, "prove", 0)))
	confirmed := join(proven, one(decided(state.Keep, state.Isolate), iso(state.Intended, "confirm", 0), iso(state.Done, "confirm", 0)))
	hour := epoch.Add(time.Hour)
	flushed := state.Event{Kind: state.Drifted, Step: "confirm", Reason: "flushed"}
	told := func(check, target string, s plan.Severity) state.Event {
		return state.Event{Kind: state.Observed, Step: "observe", Findings: []plan.Finding{{Check: check, Target: target, Severity: s}}}
	}
	looked := func(s plan.Severity) state.Event {
		return state.Event{Kind: state.Observed, Step: "confirm", Findings: []plan.Finding{{Check: "old.closed", Target: "firewall", Severity: s}}}
	}
	for name, c := range map[string]struct {
		events []state.Event
		want   func(state.IsolationStatus) bool
	}{
		"open": {nil, func(i state.IsolationStatus) bool { return i.State == state.IsolationOpen && !i.Closed }},
		"arming": {armed[:3], func(i state.IsolationStatus) bool {
			return i.State == state.IsolationObserved && i.Closed && i.Step == "arm"
		}},
		"armed":  {armed, func(i state.IsolationStatus) bool { return i.State == state.IsolationArmed && i.Until.Equal(hour) }},
		"proven": {proven, func(i state.IsolationStatus) bool { return i.State == state.IsolationProven && i.Until.Equal(hour) }},
		"confirmed": {confirmed, func(i state.IsolationStatus) bool {
			return i.State == state.IsolationConfirmed && i.Until.IsZero() && !i.Keep
		}},
		"mended, and asked anew": {
			one(told("old.stragglers", "a.test.", plan.Fail), told("old.inside", "before", plan.Pass), told("old.stragglers", "all", plan.Pass), told("old.inside", "after", plan.Pass)),
			func(i state.IsolationStatus) bool {
				return len(i.Findings) == 3 && plan.Judge(i.Findings) == plan.Pass
			},
		},
		"another set of ports": {
			join(confirmed, one(iso(state.Intended, "arm:465", 2*time.Hour), iso(state.Done, "arm:465", 0))),
			func(i state.IsolationStatus) bool {
				return i.State == state.IsolationArmed && !i.Keep && i.Until.Equal(epoch.Add(2*time.Hour))
			},
		},
		"held": {
			join(armed, one(state.Event{Kind: state.Held, Reason: "why"})),
			func(i state.IsolationStatus) bool { return i.Held && !i.Paused && i.Reason == "why" && i.Closed },
		},
		"drifted": {join(confirmed, one(flushed)), func(i state.IsolationStatus) bool {
			return i.State == state.IsDrifted && i.Waiting() && !i.Held && i.Closed && i.Reason == "flushed"
		}},
		"drifted, and not asked": {join(confirmed, one(flushed, looked(plan.Unknown))), func(i state.IsolationStatus) bool { return i.State == state.IsDrifted }},
		"drifted, and there again": {join(confirmed, one(flushed, looked(plan.Pass))), func(i state.IsolationStatus) bool {
			return i.State == state.IsolationConfirmed && !i.Waiting() && i.Reason == ""
		}},
		"drifted while it is to be lifted": {join(confirmed, one(decided(state.Lift, state.Isolate), flushed)), func(i state.IsolationStatus) bool { return i.Lift && !i.Held }},
		"all confirmed, amiss, and retried": {
			join(confirmed, one(flushed, decided(state.Retry, state.Isolate))),
			func(i state.IsolationStatus) bool {
				return i.State == state.IsolationOpen && !i.Held && i.Closed && len(i.Steps) == 0
			},
		},
		"held, then held and resumed by a person": {
			join(armed, one(state.Event{Kind: state.Held}, decided(state.Hold, state.All), decided(state.Resume, state.All))),
			func(i state.IsolationStatus) bool { return i.Held },
		},
		"a person's hold":                  {one(decided(state.Hold, state.Isolate)), func(i state.IsolationStatus) bool { return i.Held && i.Paused }},
		"a person's resume":                {one(decided(state.Hold, state.All), decided(state.Resume, state.Isolate)), func(i state.IsolationStatus) bool { return !i.Held && !i.Paused }},
		"a hold while a step begins":       {one(decided(state.Hold, state.All), iso(state.Intended, "observe", 0)), func(i state.IsolationStatus) bool { return i.Held }},
		"a wave's observation is not ours": {one(state.Event{Kind: state.Observed, Wave: "pilot", Intent: &state.Intent{Until: hour}}), func(i state.IsolationStatus) bool { return i.Until.IsZero() }},
		"approved":                         {one(decided(state.Approve, state.Isolate)), func(i state.IsolationStatus) bool { return i.Approved }},
		"asked to lift":                    {join(armed, one(state.Event{Kind: state.Held}, decided(state.Lift, state.Isolate))), func(i state.IsolationStatus) bool { return i.Lift && !i.Held }},
		"lifted": {
			join(confirmed, one(decided(state.Lift, state.Isolate), state.Event{Kind: state.Lifted})),
			func(i state.IsolationStatus) bool {
				return i.State == state.IsolationLifted && !i.Closed && !i.Lift && !i.Approved && len(i.Steps) == 0
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := fold(t, c.events...).Isolation; !c.want(got) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestRetryKeepsEarlierStages: a retry in a later set of ports leaves those before it
// closed for good, and asks all of its own anew; where all is to be opened, nothing of
// it counts.
func TestRetryKeepsEarlierStages(t *testing.T) {
	t.Parallel()
	var p plan.Plan
	for _, n := range []string{"", ":2"} {
		for _, k := range []plan.Kind{plan.Observe, plan.Arm, plan.Prove, plan.Confirm} {
			p.Isolate = append(p.Isolate, plan.Step{ID: string(k) + n, Kind: k})
		}
	}
	for name, c := range map[string]struct {
		more  []state.Event
		phase state.Phase
		steps int
	}{
		"retried":             {one(decided(state.Retry, state.Isolate)), state.IsolationPartly, 4},
		"drifted":             {one(state.Event{Kind: state.Drifted, Step: "confirm"}, decided(state.Retry, state.Isolate)), state.IsolationOpen, 0},
		"to be lifted before": {one(decided(state.Lift, state.Isolate), state.Event{Kind: state.Held}, decided(state.Retry, state.Isolate)), state.IsolationOpen, 0},
	} {
		s := state.NewStatus(p)
		events := []state.Event{}
		for _, step := range p.Isolate[:6] {
			events = append(events, state.Event{Kind: state.Intended, Step: step.ID}, state.Event{Kind: state.Done, Step: step.ID})
		}
		events = append(append(events, state.Event{Kind: state.Held, Reason: "why"}), c.more...)
		for i, e := range events {
			e.Seq, e.At = uint64(i+1), epoch.Add(time.Duration(i)*time.Second)
			s.Apply(e)
		}
		if i := s.Isolation; i.State != c.phase || len(i.Steps) != c.steps || i.Held || !i.Closed {
			t.Errorf("%s: %s with %d steps, held %v, closed %v", name, i.State, len(i.Steps), i.Held, i.Closed)
		}
	}
}

func TestOverUntilAsked(t *testing.T) {
	t.Parallel()
	over := one(state.Event{Kind: state.Started}, state.Event{Kind: state.Closed}, state.Event{Kind: state.Stopped})
	if s := fold(t, over...); !s.Over || s.Engine != "stopped" {
		t.Errorf("%+v", s)
	}
	for _, v := range []state.Verb{state.Rollback, state.Retry} {
		if s := fold(t, join(over, one(decided(v, state.All)))...); s.Over {
			t.Errorf("over, though %s was decided weeks later", v)
		}
	}
	if fold(t, join(over, one(decided(state.Lift, state.Isolate)))...).Over {
		t.Error("over, though isolation is to be lifted")
	}
}

func TestFindingsKeepTheLastOfEach(t *testing.T) {
	t.Parallel()
	seen := func(check string, s plan.Severity) state.Event {
		return state.Event{Kind: state.Observed, Domain: dom, Findings: []plan.Finding{{Check: check, Target: dom, Severity: s}}}
	}
	d := fold(t, seen("a", plan.Fail), seen("b", plan.Pass), seen("a", plan.Pass)).Domain(dom)
	if len(d.Findings) != 2 || d.Findings[1].Check != "a" || d.Findings[1].Severity != plan.Pass {
		t.Errorf("%+v", d.Findings)
	}
	var many []state.Event
	for i := range 200 {
		many = append(many, seen(strings.Repeat("x", i+1), plan.Pass))
	}
	if n := len(fold(t, many...).Domain(dom).Findings); n > 100 {
		t.Errorf("%d findings are kept", n)
	}
}

// TestWorstFindingStays: of several answers of one check about one target in one
// event, none hides another; the next event's replace them all.
func TestWorstFindingStays(t *testing.T) {
	t.Parallel()
	said := func(all ...plan.Severity) state.Event {
		e := state.Event{Kind: state.Observed, Domain: dom}
		for _, s := range all {
			e.Findings = append(e.Findings, plan.Finding{Check: "spf.future", Target: dom, Severity: s})
		}
		return e
	}
	if d := fold(t, said(plan.Fail, plan.Warn)).Domain(dom); plan.Judge(d.Findings) != plan.Fail {
		t.Errorf("hidden: %+v", d.Findings)
	}
	if d := fold(t, said(plan.Fail, plan.Warn), said(plan.Pass)).Domain(dom); len(d.Findings) != 1 || plan.Judge(d.Findings) != plan.Pass {
		t.Errorf("left: %+v", d.Findings)
	}
}

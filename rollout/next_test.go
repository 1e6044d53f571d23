package rollout

import (
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
)

var now = state.Moment{At: time.Unix(1e9, 0), Boot: "one", Up: 100 * time.Hour}

// domainAt is a domain whose steps up to a kind are done, each just now.
func domainAt(t *testing.T, upTo plan.Kind, adjust func(*state.DomainStatus)) (plan.Cutover, state.DomainStatus) {
	t.Helper()
	c := newSim(t, nil).plan.Waves[0].Cutovers[0]
	d := state.DomainStatus{Domain: c.Domain, Wave: c.Wave, State: state.Planned, Steps: map[string]state.StepRecord{}}
	if upTo != "" {
		for _, s := range c.Steps {
			d.Steps[s.ID] = state.StepRecord{Begun: now, Done: true, DoneAt: now}
			if s.Kind == upTo {
				break
			}
		}
	}
	if adjust != nil {
		adjust(&d)
	}
	return c, d
}

func quietFor(d time.Duration) func(string) time.Duration {
	return func(string) time.Duration { return d }
}

func TestNext(t *testing.T) {
	t.Parallel()
	running := gates{wave: true, open: true, room: true}
	all := Policy{PrepareAll: true}.withDefaults()
	for name, c := range map[string]struct {
		upTo   plan.Kind
		adjust func(*state.DomainStatus)
		gates  gates
		policy Policy
		what   moveKind
		step   plan.Kind
	}{
		"first":                               {"", nil, running, all, moveDo, plan.Preflight},
		"its wave waits, TTLs do not":         {"", nil, gates{open: true, room: true}, all, moveDo, plan.LowerTTL},
		"its wave waits, and so do TTLs":      {"", nil, gates{open: true, room: true}, Policy{}.withDefaults(), moveNone, ""},
		"no publish before its wave (P4)":     {plan.AwaitTTL, nil, gates{open: true, room: true}, all, moveNone, ""},
		"publish on a fresh preflight":        {plan.AwaitTTL, nil, running, all, moveDo, plan.Publish},
		"no publish on a stale preflight":     {plan.AwaitTTL, stale, running, all, moveDo, plan.Preflight},
		"nor one that a crash interrupted":    {plan.AwaitTTL, interrupted, running, all, moveDo, plan.Preflight},
		"held":                                {plan.LowerTTL, in(state.IsHeld), running, all, moveNone, ""},
		"drifted":                             {plan.LowerTTL, in(state.IsDrifted), running, all, moveNone, ""},
		"on hold":                             {plan.LowerTTL, func(d *state.DomainStatus) { d.Paused = true }, running, all, moveNone, ""},
		"rolled back stays so":                {"", in(state.IsRolledBack), running, all, moveNone, ""},
		"in doubt waits":                      {plan.AwaitTTL, doubt(time.Second), running, all, moveLater, ""},
		"in doubt is over":                    {plan.AwaitTTL, doubt(-time.Second), running, all, moveDo, plan.Publish},
		"in doubt waits, rolling back too":    {plan.Publish, both(doubt(time.Second), back), running, all, moveLater, ""},
		"back: newest first":                  {plan.Soak, back, running, all, moveUndo, plan.Publish},
		"back: the TTL last":                  {plan.AwaitTTL, back, running, all, moveUndo, plan.LowerTTL},
		"back: not while closed (P8)":         {plan.Soak, back, gates{wave: true, room: true}, all, moveNone, ""},
		"back: the TTL may come while closed": {plan.AwaitTTL, back, gates{wave: true, room: true}, all, moveUndo, plan.LowerTTL},
		"back: a begun write counts":          {plan.AwaitTTL, both(begun(plan.Publish), back), running, all, moveUndo, plan.Publish},
		"back: nothing is left":               {plan.Preflight, back, running, all, moveBack, ""},
		"back: drifted waits for a person":    {plan.Soak, both(back, in(state.IsDrifted)), running, all, moveNone, ""},
		"only backwards":                      {plan.AwaitTTL, nil, running, Policy{BackOnly: true}.withDefaults(), moveNone, ""},
		"live: no settling before its time":   {plan.Soak, nil, running, all, moveNone, ""},
		"live: settling":                      {plan.Soak, nil, gates{wave: true, room: true, settle: now.At.Add(-1)}, all, moveDo, plan.Settle},
		"live: settling later":                {plan.Soak, nil, gates{wave: true, room: true, settle: now.At.Add(1)}, all, moveLater, ""},
		"live: watched":                       {plan.Soak, in(state.Live), gates{wave: true, room: true, canWatch: true, watched: now.At.Add(-time.Hour)}, all, moveWatch, ""},
		"rolled back: watched":                {"", gone, gates{wave: true, room: true, canWatch: true, watched: now.At.Add(-time.Hour)}, all, moveWatch, ""},
		"a full disk stops the way forward":   {plan.LowerTTL, nil, gates{wave: true, open: true}, all, moveNone, ""},
		"and not the way back":                {plan.AwaitTTL, back, gates{wave: true, open: true}, all, moveUndo, plan.LowerTTL},
		"its wave is shut: not published":     {plan.AwaitTTL, nil, gates{wave: true, open: true, room: true, shut: true}, all, moveNone, ""},
		"shut: a begun publish goes on":       {plan.AwaitTTL, begun(plan.Publish), gates{wave: true, open: true, room: true, shut: true}, all, moveDo, plan.Publish},
		"shut: what is published goes on":     {plan.Publish, nil, gates{wave: true, open: true, room: true, shut: true}, all, moveDo, plan.Propagate},
		"not in its window":                   {plan.AwaitTTL, nil, gates{wave: true, open: true, room: true, gate: closedGate()}, all, moveLater, ""},
		"preflight of another boot":           {plan.AwaitTTL, rebooted, running, all, moveDo, plan.Preflight},
		"preflight from the future":           {plan.AwaitTTL, future, running, all, moveDo, plan.Preflight},
		"skipped":                             {plan.Publish, in(state.IsSkipped), running, all, moveNone, ""},
		"in doubt over a restart":             {plan.AwaitTTL, endlessDoubt(time.Minute), gates{wave: true, open: true, room: true, quiet: quietFor(2 * time.Minute)}, all, moveLater, ""},
		"in doubt over a restart, and over":   {plan.AwaitTTL, endlessDoubt(time.Minute), gates{wave: true, open: true, room: true, quiet: quietFor(time.Second)}, all, moveDo, plan.Publish},
	} {
		cut, d := domainAt(t, c.upTo, c.adjust)
		m := next(cut, d, c.gates, c.policy, now)
		if m.what != c.what || m.step.Kind != c.step {
			t.Errorf("%s: move %v %q, want %v %q", name, m.what, m.step.Kind, c.what, c.step)
		}
	}
}

func in(p state.Phase) func(*state.DomainStatus) {
	return func(d *state.DomainStatus) { d.State = p }
}

func back(d *state.DomainStatus) { d.Back, d.State = true, state.IsRollingBack }

func stale(d *state.DomainStatus) {
	r := d.Steps["preflight"]
	r.DoneAt = ago(2 * time.Hour)
	d.Steps["preflight"] = r
}

func ago(d time.Duration) state.Moment {
	return state.Moment{At: now.At.Add(-d), Boot: now.Boot, Up: now.Up - d}
}

func gone(d *state.DomainStatus) { d.State, d.Gone = state.IsRolledBack, now.At }

func rebooted(d *state.DomainStatus) {
	r := d.Steps["preflight"]
	r.DoneAt = state.Moment{At: now.At, Boot: "zero", Up: time.Hour}
	d.Steps["preflight"] = r
}

// future is a preflight of the same machine whose clock was set back since.
func future(d *state.DomainStatus) {
	r := d.Steps["preflight"]
	r.DoneAt = state.Moment{At: now.At.Add(time.Hour)}
	d.Steps["preflight"] = r
}

// closedGate has a window that is never open at now, a Sunday.
func closedGate() plan.Gate {
	w, err := plan.ParseWindow("mon 10:00-11:00")
	if err != nil {
		panic(err)
	}
	return plan.Gate{Windows: []plan.Window{w}}
}

func endlessDoubt(since time.Duration) func(*state.DomainStatus) {
	return func(d *state.DomainStatus) {
		d.State, d.Doubt = state.IsInDoubt, state.Wait{From: ago(since), For: state.Unfenced}
	}
}

func begun(k plan.Kind) func(*state.DomainStatus) {
	return func(d *state.DomainStatus) { d.Steps[string(k)] = state.StepRecord{Begun: now} }
}

func interrupted(d *state.DomainStatus) { stale(d); begun(plan.Publish)(d) }

func doubt(left time.Duration) func(*state.DomainStatus) {
	return func(d *state.DomainStatus) {
		d.State, d.Doubt = state.IsInDoubt, state.Wait{From: ago(time.Minute), For: time.Minute + left}
	}
}

func both(a, b func(*state.DomainStatus)) func(*state.DomainStatus) {
	return func(d *state.DomainStatus) { a(d); state := d.State; b(d); d.State = max2(state, d.State) }
}

// max2 keeps in-doubt and drifted over what comes after it.
func max2(a, b state.Phase) state.Phase {
	if a == state.IsInDoubt {
		return a
	}
	return b
}

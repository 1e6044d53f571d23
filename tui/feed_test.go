package tui

import (
	"context"
	"errors"
	"runtime"
	"testing"

	tea "charm.land/bubbletea/v2"

	"mxcutover/plan"
	"mxcutover/state"
)

// TestFeedGoesOn breaks the stream in the middle: no event is lost or doubled.
func TestFeedGoesOn(t *testing.T) {
	t.Parallel()
	p := thePlan(t, six...)
	f := &fake{story: tale(p), fails: 1}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []uint64
	lost := 0
	l := &line{engine: f, wake: make(chan struct{}, 1), send: func(msg tea.Msg) {
		switch msg := msg.(type) {
		case batchMsg:
			for _, e := range msg {
				got = append(got, e.Seq)
			}
			if len(got) == len(f.story) {
				cancel()
			}
		case lostMsg:
			lost++
		}
	}}
	l.feed(ctx)
	for i, n := range got {
		if n != uint64(i+1) {
			t.Fatalf("events %v", got)
		}
	}
	if len(got) != len(f.story) || lost != 1 {
		t.Errorf("%d of %d events, lost %d times", len(got), len(f.story), lost)
	}
}

// TestAnotherPlanBeginsAnew gives the model a plan that was extended, or a journal that
// was put back from a backup.
func TestAnotherPlanBeginsAnew(t *testing.T) {
	t.Parallel()
	p := thePlan(t, six...)
	for name, status := range map[string]state.Status{
		"extended": {PlanID: "another", Seq: 60}, "put back": {PlanID: p.ID, Seq: 10},
	} {
		since, told := uint64(50), 0
		l := &line{plan: p.ID, send: func(msg tea.Msg) {
			if _, ok := msg.(planMsg); ok {
				told++
			}
		}, ask: Questions{
			Status: func(context.Context) (*state.Status, error) { return &status, nil },
			Plan:   func(context.Context) (plan.Plan, error) { return p, nil },
		}}
		if err := l.link(t.Context(), &since); err != nil || since != 0 || told != 1 {
			t.Errorf("%s: since %d, told %d times, %v", name, since, told, err)
		}
		l.plan, status.PlanID, status.Seq, since = p.ID, p.ID, 60, 50
		if err := l.link(t.Context(), &since); err != nil || since != 50 || told != 1 {
			t.Errorf("%s, as it was: since %d, told %d times, %v", name, since, told, err)
		}
	}
	l := &line{send: func(tea.Msg) {}, ask: Questions{Status: func(context.Context) (*state.Status, error) { return nil, errors.New("silent") }}}
	if err := l.link(t.Context(), new(uint64)); err == nil {
		t.Error("an engine that does not answer counts as reached")
	}
	s := started(t, 80, 24, false)
	s.send(planMsg{p})
	if len(s.log.all) != 0 || s.status().Seq != 0 {
		t.Error("the fold goes on from another plan's")
	}
	s.send(tale(p))
	s.shows(t, "estates.example")
}

// holder gives control once, and refuses while somebody has it.
type holder struct {
	lost  chan string
	taken int
}

func (h *holder) Take(context.Context, bool) (<-chan string, error) {
	if h.taken++; h.taken > 1 {
		return nil, state.ErrRefused
	}
	return h.lost, nil
}

// TestControlOutlivesAStream links anew after the events broke off alone: the session
// that has control is this screen's own.
func TestControlOutlivesAStream(t *testing.T) {
	t.Parallel()
	h := &holder{lost: make(chan string)}
	var told []controlMsg
	l := &line{control: h, send: func(msg tea.Msg) {
		if c, ok := msg.(controlMsg); ok {
			told = append(told, c)
		}
	}, ask: Questions{Status: func(context.Context) (*state.Status, error) { return &state.Status{}, nil }}}
	for range 2 {
		if err := l.link(t.Context(), new(uint64)); err != nil {
			t.Fatal(err)
		}
	}
	if h.taken != 1 || len(told) != 2 || told[1].lost != "" {
		t.Errorf("taken %d times, told %+v", h.taken, told)
	}
	close(h.lost) // with the engine
	for l.holds.Load() {
		runtime.Gosched()
	}
	if err := l.link(t.Context(), new(uint64)); err != nil || h.taken != 2 {
		t.Errorf("after it was lost it is not asked for: %v", err)
	}
}

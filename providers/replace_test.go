package providers

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/libdns/libdns"

	"mxcutover/rrset"
)

// plain is a provider of libdns alone.
type plain []libdns.Record

func (p plain) GetRecords(context.Context, string) ([]libdns.Record, error) { return p, nil }

func TestPlainProvider(t *testing.T) {
	t.Parallel()
	p := plain{
		libdns.MX{Name: "@", TTL: time.Minute, Preference: 20, Target: "B.example."},
		libdns.MX{Name: "@", TTL: time.Minute, Preference: 10, Target: "a.example"},
		libdns.MX{Name: "notexample.test", TTL: time.Minute, Target: "."},
		libdns.CNAME{Name: "alias", TTL: time.Minute, Target: "x.example."},
		libdns.TXT{Name: "t", TTL: time.Minute, Text: "a \"b\xc8"},
	}
	for name, want := range map[string]rrset.Set{
		"apex": mx("@", 60, "10 a.example.", "20 b.example."), "absent": mx("none", 0),
		"labels": mx("notexample.test", 60, "0 ."), "text": set("t", "TXT", 60, `"a \"b\200"`),
	} {
		if got, err := Read(t.Context(), p, siteZone, want.Name, want.Type); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := Read(t.Context(), p, siteZone, "alias."+siteZone, "MX"); !errors.Is(err, ErrCNAME) {
		t.Errorf("alias: %v", err)
	}
	if _, err := Replace(t.Context(), p, rrset.Change{Zone: siteZone, Before: mx("@", 60, oldMX), After: mx("@", 60, gwMX)}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Replace: %v, want read only", err)
	}
}

// script is a provider whose Read gives one thing after the other.
type script struct {
	plain
	reads []any // rrset.Set or error
	swap  error
	calls int
}

func (s *script) Read(ctx context.Context, _, _, _ string) (rrset.Set, error) {
	next := s.reads[0]
	s.reads = s.reads[1:]
	if err, ok := next.(error); ok {
		return rrset.Set{}, err
	}
	return next.(rrset.Set), ctx.Err()
}

func (s *script) Swap(context.Context, rrset.Change) error {
	s.calls++
	return s.swap
}

func TestReplace(t *testing.T) {
	t.Parallel()
	before, after := mx("@", 300, oldMX), mx("@", 60, gwMX)
	lower := mx("@", 60, oldMX)
	down, lostAnswer := errors.New("down"), &unanswered{fence: time.Minute, err: errors.New("time-out")}
	for name, c := range map[string]struct {
		change rrset.Change
		reads  []any
		swap   error
		want   Result
		err    error
		calls  int
	}{
		"written":         {rrset.Change{Before: before, After: after}, []any{before, after}, nil, Result{Swap, after, true, false}, nil, 1},
		"clamped":         {rrset.Change{Before: before, After: after}, []any{before, after.WithTTL(90)}, nil, Result{Swap, after.WithTTL(90), true, true}, nil, 1},
		"clamped back":    {rrset.Change{Before: before, After: lower}, []any{before, before}, nil, Result{Swap, before, true, true}, nil, 1},
		"ignored":         {rrset.Change{Before: before, After: after}, []any{before, before}, nil, Result{}, ErrLied, 1},
		"merged":          {rrset.Change{Before: before, After: after}, []any{before, mx("@", 60, oldMX, gwMX)}, nil, Result{}, ErrLied, 1},
		"foreign since":   {rrset.Change{Before: before, After: after}, []any{before, mx("@", 60, "10 other.example.")}, nil, Result{}, ErrDrifted, 1},
		"drifted":         {rrset.Change{Before: before, After: after}, []any{mx("@", 300, "10 other.example.")}, nil, Result{}, ErrDrifted, 0},
		"drifted in TTL":  {rrset.Change{Before: before, After: after}, []any{before.WithTTL(301)}, nil, Result{}, ErrDrifted, 0},
		"clamped before":  {rrset.Change{Before: before, After: after}, []any{after.WithTTL(90)}, nil, Result{}, ErrDrifted, 0},
		"not read":        {rrset.Change{Before: before, After: after}, []any{down}, nil, Result{}, down, 0},
		"not read back":   {rrset.Change{Before: before, After: after}, []any{before, down}, nil, Result{}, ErrInDoubt, 1},
		"refused":         {rrset.Change{Before: before, After: after}, []any{before}, down, Result{}, down, 1},
		"lost, done":      {rrset.Change{Before: before, After: after}, []any{before, after}, lostAnswer, Result{Swap, after, true, false}, nil, 1},
		"lost, clamped":   {rrset.Change{Before: before, After: after}, []any{before, after.WithTTL(90)}, lostAnswer, Result{Swap, after.WithTTL(90), true, true}, nil, 1},
		"lost, not done":  {rrset.Change{Before: before, After: after}, []any{before, before}, lostAnswer, Result{}, ErrInDoubt, 1},
		"lost, third TTL": {rrset.Change{Before: before, After: lower}, []any{before, lower.WithTTL(90)}, lostAnswer, Result{}, ErrInDoubt, 1},
		"lost, blind":     {rrset.Change{Before: before, After: after}, []any{before, down}, lostAnswer, Result{}, ErrInDoubt, 1},
		"other name":      {rrset.Change{Before: before, After: mx("x", 60, gwMX)}, nil, nil, Result{}, nil, 0},
		"not canonical":   {rrset.Change{Before: before, After: rrset.Set{Name: siteZone, Type: "MX", TTL: 1, Data: []string{"20 b.", "10 a."}}}, nil, nil, Result{}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.change.Zone = siteZone
			s := &script{reads: c.reads, swap: c.swap}
			got, err := Replace(t.Context(), s, c.change)
			switch {
			case c.want.Mode == "" && (err == nil || c.err != nil && !errors.Is(err, c.err)):
				t.Errorf("Replace: %+v, %v; want %v", got, err, c.err)
			case c.want.Mode != "" && (err != nil || !got.Got.Equal(c.want.Got) || got.Written != c.want.Written || got.Clamped != c.want.Clamped):
				t.Errorf("Replace: %+v, %v; want %+v", got, err, c.want)
			case s.calls != c.calls || len(s.reads) != 0:
				t.Errorf("%d writes, %d reads not made", s.calls, len(s.reads))
			}
			if f := Fence(err); f != 0 && !errors.Is(err, ErrInDoubt) {
				t.Errorf("fence %v of %v", f, err)
			}
		})
	}
}

// A caller who gives up while a write is under way still learns what became of it.
func TestReplaceLooksThoughCancelled(t *testing.T) {
	t.Parallel()
	before, after := mx("@", 300, oldMX), mx("@", 60, gwMX)
	ctx, cancel := context.WithCancel(t.Context())
	s := &cancelling{script{reads: []any{before, after}, swap: &unanswered{time.Minute, context.Canceled}}, cancel}
	if r, err := Replace(ctx, s, rrset.Change{Zone: siteZone, Before: before, After: after}); err != nil || !r.Got.Equal(after) {
		t.Errorf("Replace: %+v, %v", r, err)
	}
}

type cancelling struct {
	script
	cancel func()
}

func (c *cancelling) Swap(ctx context.Context, ch rrset.Change) error {
	c.cancel()
	return c.script.Swap(ctx, ch)
}

// What could not be put back as it was is not changed in the first place, and a
// way back is open whatever is there.
func TestReplaceOnlyWhatCanBePutBack(t *testing.T) {
	t.Parallel()
	odd := rrset.Set{Name: siteZone, Type: "TLSA", TTL: 60, Data: []string{"300 1 1 00ff"}}
	good := rrset.Set{Name: siteZone, Type: "TLSA", TTL: 60, Data: []string{"3 1 1 00ff"}}
	for _, back := range []bool{false, true} {
		s := &setting{script: script{reads: []any{odd, good}}}
		replace := Replace
		if back {
			replace = Restore
		}
		if _, err := replace(t.Context(), s, rrset.Change{Zone: siteZone, Before: odd, After: good}); (err == nil) != back || s.sets > 0 != back {
			t.Errorf("back %v: %v after %d writes", back, err, s.sets)
		}
	}
}

// setting is a provider of mode set.
type setting struct {
	plain
	script script
	sets   int
}

func (s *setting) Read(ctx context.Context, zone, name, typ string) (rrset.Set, error) {
	return s.script.Read(ctx, zone, name, typ)
}

func (s *setting) SetRRset(context.Context, rrset.Change) error {
	s.sets++
	return nil
}

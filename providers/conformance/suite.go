package conformance

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mxcutover/providers"
)

// A Suite runs all cases against beds of one kind.
type Suite struct {
	Name    string // of the column in the table, "powerdns"
	Against string // what the beds are, "a fake", "BIND 9.18"
	// Bed gives a bed for one case. A fake is made anew for each; a real server may
	// be the same for all: each case has names of its own.
	Bed func(t testing.TB) *Bed
	// Shortfalls are the cases that are known not to pass, each with its reason.
	Shortfalls map[string]string
	// Lacking are the cases that cannot be run, each with its reason.
	Lacking map[string]string
	// Serial runs one case after the other.
	Serial bool
	// Context ends the run; nil: nothing does.
	Context context.Context
	// Golden is the file that the results are compared with, and written to with
	// the flag -update; empty: none.
	Golden string
}

// caseTime bounds one case.
const caseTime = 2 * time.Minute

// Run runs all cases as subtests, and prints the table.
func (s Suite) Run(t *testing.T) {
	t.Helper()
	for _, known := range []map[string]string{s.Shortfalls, s.Lacking} {
		for name := range known {
			if !slices.ContainsFunc(cases, func(c Case) bool { return c.Name == name }) {
				t.Errorf("there is no case %q", name)
			}
		}
	}
	var mu sync.Mutex
	report := Report{Name: s.Name, Against: s.Against, Results: map[string]Result{}}
	ran := t.Run("cases", func(t *testing.T) {
		for _, c := range cases {
			t.Run(strings.ReplaceAll(c.Name, " ", "_"), func(t *testing.T) {
				if !s.Serial {
					t.Parallel()
				}
				bed := s.Bed(t)
				r, mode := s.one(t, c, bed)
				mu.Lock()
				defer mu.Unlock()
				report.Results[c.Name] = r
				report.Kind, report.Mode = bed.Kind, mode
			})
		}
	})
	t.Logf("\n%s", report.Table())
	if ran && len(report.Results) == len(cases) && s.Golden != "" {
		report.golden(t, s.Golden)
	}
}

// promised tells whether a mode is as safe as the kind's documentation says: some
// settings make it safer.
func promised(b *Bed, mode providers.Mode) bool {
	safest := []providers.Mode{providers.Swap, providers.Set, providers.Edit, providers.Hand}
	kind := kindMode(b)
	return kind == "" || slices.Index(safest, mode) <= slices.Index(safest, kind)
}

func kindMode(b *Bed) providers.Mode {
	for _, k := range providers.Kinds() {
		if k.Kind == b.Kind {
			return k.Mode
		}
	}
	return ""
}

// one runs one case and judges it.
func (s Suite) one(t *testing.T, c Case, bed *Bed) (Result, providers.Mode) {
	if s.Context == nil {
		s.Context = t.Context()
	}
	ctx, cancel := context.WithTimeout(s.Context, caseTime)
	defer cancel()
	if ctx.Err() != nil {
		t.Fatal("the run was ended before")
	}
	tr, err := newTrial(ctx, bed, c.Name)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.close()
	mode := providers.ModeOf(tr.p)
	if !promised(bed, mode) {
		t.Errorf("mode %q is less than what kind %s promises", mode, bed.Kind)
	}
	if kindMode(bed) == providers.Hand {
		mode = providers.Hand // the bed's person does what is asked
	}
	if err = unfit("the service cannot be made to fail"); !c.faults || bed.Faults != nil {
		err = c.run(tr)
	}
	if err == nil || !errors.Is(err, errUnfit) {
		tr.afterwards()
	}
	lacks, lacking := s.Lacking[c.Name]
	short, shortfall := s.Shortfalls[c.Name]
	problems := tr.problems
	switch {
	case errors.Is(err, errUnfit) && !lacking:
		t.Errorf("%v; say why in Lacking", err)
	case errors.Is(err, errUnfit):
		return Result{NotRun, lacks}, mode
	case lacking:
		t.Errorf("it can be run; it is in Lacking: %s", lacks)
	case err != nil:
		problems = append(problems, err.Error())
	}
	switch {
	case shortfall && len(problems) == 0:
		t.Errorf("it passes; it is in Shortfalls: %s", short)
		return Result{Pass, ""}, mode
	case len(problems) == 0:
		return Result{Pass, ""}, mode
	case shortfall && len(tr.unsafe()) == 0:
		t.Logf("shortfall (%s): %s", short, strings.Join(problems, "; "))
		return Result{Shortfall, short}, mode
	}
	for _, p := range append(problems, tr.unsafe()...) {
		t.Error(p)
	}
	return Result{Fail, problems[0]}, mode
}

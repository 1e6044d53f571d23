package verify_test

import (
	"slices"
	"strings"
	"testing"

	"mxcutover/plan"
	"mxcutover/verify"
)

// A row shows one check in a world where it passes, and in one that is broken in
// just that. Every check has a row; a check that can break in many ways has many.
type row struct {
	check  string
	breaks string // what is broken, as the subtest's name
	when   verify.When
	good   world
	broken world
	want   plan.Severity // in the broken world; "" = fail
	says   string        // what a finding's detail says there
}

// matrix are all rows; each file matrix_*_test.go has those of one subject.
func matrix() []row {
	return slices.Concat(matrixDNS(), matrixGateway(), matrixArrival(), matrixMail(), matrixParity(), matrixOld(), matrixPolicy())
}

// elsewhere are the checks whose rows are tests of their own, since they belong
// to no domain.
var elsewhere = map[string]string{"old.closed": "TestOldServer"}

func TestMatrix(t *testing.T) {
	t.Parallel()
	for _, r := range matrix() {
		t.Run(r.check+"/"+r.breaks, func(t *testing.T) {
			t.Parallel()
			if r.want == "" {
				r.want = plan.Fail
			}
			t.Run("good", func(t *testing.T) {
				c, cut := r.good(t)
				found := only(t, c, cut, r)
				if v := plan.Judge(found); v != plan.Pass {
					t.Errorf("%s in a good world: %s", v, words(found))
				}
			})
			t.Run("broken", func(t *testing.T) {
				c, cut := r.broken(t)
				found := only(t, c, cut, r)
				if v := plan.Judge(found); v != r.want || !strings.Contains(words(found), r.says) {
					t.Errorf("%s in a broken world, want %s with %q: %s", v, r.want, r.says, words(found))
				}
			})
		})
	}
}

// TestMatrixIsWhole wants a row of every check.
func TestMatrixIsWhole(t *testing.T) {
	t.Parallel()
	for _, k := range verify.Checks() {
		if elsewhere[k.ID] == "" && !slices.ContainsFunc(matrix(), func(r row) bool { return r.check == k.ID }) {
			t.Errorf("%s: no row shows it in a good and in a broken world", k.ID)
		}
	}
}

// A world gives a checker in it, and the cutover that it is asked about.
type world func(t *testing.T) (*verify.Checker, plan.Cutover)

// in is a world with a cutover of choir.test, spoilt by a function; nil = good.
func in(spoil func(*testing.T, *bench, *verify.Settings, *plan.Cutover)) world {
	return func(t *testing.T) (*verify.Checker, plan.Cutover) {
		t.Helper()
		b, c := newBench(t), cut(t, "choir.test.", old, gws)
		set := b.set
		if spoil != nil {
			spoil(t, b, &set, &c)
		}
		checker, err := verify.New(set)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(checker.Close)
		return checker, c
	}
}

// only runs a row's check at its time.
func only(t *testing.T, c *verify.Checker, cut plan.Cutover, r row) []plan.Finding {
	t.Helper()
	return c.Some(t.Context(), r.when, cut, func(id string) bool { return id == r.check })
}

func words(found []plan.Finding) string {
	out := ""
	for _, f := range found {
		out += "\n  " + string(f.Severity) + " " + f.Check + " " + f.Target + ": " + f.Detail
	}
	return out
}

package verify

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mxcutover/plan"
)

func TestSharedAnswersAreAskedForOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &Checker{Settings: Settings{Shared: time.Minute, Now: time.Now}}
		var asked atomic.Int32
		verdict := plan.Pass
		ask := func(context.Context) ([]plan.Finding, error) {
			asked.Add(1)
			time.Sleep(time.Second)
			return []plan.Finding{{Severity: verdict}}, nil
		}
		get := func() []plan.Finding {
			found, err := c.shared(t.Context(), "k", ask)
			if err != nil {
				t.Error(err)
			}
			return found
		}
		inParallel(10, func(int) {
			get()[0].Target = "a domain's own" // what one is told, no other sees
		})
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times, want once", n)
		}
		if f := get(); f[0].Target != "" {
			t.Errorf("%+v: another's", f)
		}
		time.Sleep(time.Minute)
		if verdict = plan.Fail; plan.Judge(get()) != plan.Fail {
			t.Error("an old answer")
		}
		time.Sleep(7 * time.Second)
		if get(); asked.Load() != 3 {
			t.Error("what failed counts as long as what passed")
		}
	})
}

// Whoever asks may give up; those that wait go on.
func TestSharedAnswersOutliveTheAsker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &Checker{Settings: Settings{Shared: time.Minute, Now: time.Now}}
		ask := func(ctx context.Context) ([]plan.Finding, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(time.Second):
				return []plan.Finding{{Severity: plan.Pass}}, nil
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			if _, err := c.shared(ctx, "k", ask); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}()
		synctest.Wait()
		go cancel()
		if found, err := c.shared(t.Context(), "k", ask); err != nil || plan.Judge(found) != plan.Pass {
			t.Error(found, err)
		}
	})
}

// What sends messages, or looks like an attack, is not asked again and again where it
// never passes.
func TestCostlyAnswersCountLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &Checker{Settings: Settings{Shared: 5 * time.Minute, Now: time.Now}}
		for verdict, want := range map[plan.Severity]int{plan.Pass: 2, plan.Warn: 2, plan.Unknown: 24, plan.Fail: 24} {
			asked := 0
			for range 240 { // two hours of domains, one each half a minute
				_, err := c.rarely(t.Context(), string(verdict), func(context.Context) ([]plan.Finding, error) {
					asked++
					return []plan.Finding{{Severity: verdict}}, nil
				})
				if err != nil {
					t.Error(err)
				}
				time.Sleep(30 * time.Second)
			}
			if asked != want {
				t.Errorf("%s: asked %d times in two hours, want %d", verdict, asked, want)
			}
		}
	})
}

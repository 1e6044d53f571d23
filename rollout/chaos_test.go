package rollout

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// How much of the chaos is played. "make test" plays some of it, "make chaos"
// all points and as many pairs and schedules as it is told.
var (
	everyPoint = flag.Int("chaos.every", 307, "end the engine at each nth point")
	pairs      = flag.Int("chaos.pairs", 2, "play so many pairs of deaths")
	seed       = flag.Uint64("chaos.seed", 1, "of the pairs, and of where the matrix begins")
)

// TestMain plays few of rapid's schedules, unless it is told how many.
func TestMain(m *testing.M) {
	flag.Parse()
	told := false
	flag.Visit(func(f *flag.Flag) { told = told || f.Name == "rapid.checks" })
	if !told {
		if err := flag.Set("rapid.checks", "12"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// playOnce plays the migration with a world that was prepared.
func playOnce(t *testing.T, prepare func(*sim)) (w *sim) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w = newSim(t, nil)
		if prepare != nil {
			prepare(w)
		}
		w.play(t.Context())
	})
	return w
}

// report fails the test for each violation, and shows how it came to that.
func (w *sim) report(t *testing.T) {
	t.Helper()
	if len(w.oracle.violations) == 0 {
		return
	}
	for _, v := range w.oracle.violations {
		t.Error(v)
	}
	for _, l := range w.trace[max(0, len(w.trace)-250):] {
		t.Log(l)
	}
}

// TestPlay is the whole migration undisturbed: 20 domains in three waves, one of
// which fails, one drifts, and one has a name server that comes and goes; then
// isolation; then the rollback of a wave.
func TestPlay(t *testing.T) {
	t.Parallel()
	w := playOnce(t, nil)
	t.Logf("%d points, %d writes, %d events", w.points, w.writes, w.oracle.events)
	w.report(t)
}

// TestCrashMatrix ends the engine without warning at every point: inside each
// commit, before and after each effect and each probe. Whatever the point, the
// end is the same, and nothing forbidden happens on the way (P1 to P8).
func TestCrashMatrix(t *testing.T) {
	t.Parallel()
	points := playOnce(t, nil).points
	var played, violations atomic.Int64
	t.Run("points", func(t *testing.T) {
		for at := 1 + int(*seed)%*everyPoint; at <= points; at += *everyPoint {
			for _, how := range []string{"kill", "reboot"} {
				t.Run(fmt.Sprint(how, " at ", at), func(t *testing.T) {
					t.Parallel()
					w := playOnce(t, func(w *sim) { w.deaths[at] = how })
					played.Add(1)
					violations.Add(int64(len(w.oracle.violations)))
					w.report(t)
				})
			}
		}
	})
	t.Logf("crash matrix: %d points, %d of them played with a kill and with a reboot, violations: %d", points, played.Load()/2, violations.Load())
}

// TestPairsOfDeaths samples two deaths in one migration.
func TestPairsOfDeaths(t *testing.T) {
	t.Parallel()
	points := playOnce(t, nil).points
	random := rand.New(rand.NewPCG(*seed, 2))
	var violations atomic.Int64
	t.Run("pairs", func(t *testing.T) {
		for range *pairs {
			a, b := 1+random.IntN(points), 1+random.IntN(points)
			if random.IntN(2) == 0 {
				b = a + 1 + random.IntN(20) // in the middle of recovering
			}
			t.Run(fmt.Sprint(a, " and ", b), func(t *testing.T) {
				t.Parallel()
				w := playOnce(t, func(w *sim) { w.deaths[a], w.deaths[b] = "kill", "kill" })
				violations.Add(int64(len(w.oracle.violations)))
				w.report(t)
			})
		}
	})
	t.Logf("pairs of deaths: %d played, violations: %d", *pairs, violations.Load())
}

// A schedule is what befalls one migration.
type schedule struct {
	Deaths map[int]string
	Faults map[int]fault
	Jumps  []happening   // of the wall's clock
	Stale  []happening   // the provider answers what was a minute ago
	Twice  bool          // each decision is said twice
	Delay  time.Duration // each decision comes so late
}

// A happening is something at a time after the beginning.
type happening struct{ At, By time.Duration }

func schedules() *rapid.Generator[schedule] {
	return rapid.Custom(func(t *rapid.T) schedule {
		s := schedule{Deaths: map[int]string{}, Faults: map[int]fault{}, Twice: rapid.Bool().Draw(t, "twice")}
		s.Delay = time.Duration(rapid.SampledFrom([]int{0, 0, 3, 7}).Draw(t, "delay")) * time.Minute
		for range rapid.IntRange(0, 6).Draw(t, "deaths") {
			s.Deaths[rapid.IntRange(1, 1700).Draw(t, "point")] = rapid.SampledFrom([]string{"kill", "kill", "reboot"}).Draw(t, "how")
		}
		for range rapid.IntRange(0, 8).Draw(t, "faults") {
			kind := rapid.SampledFrom([]string{"timeout", "late", "ignored", "throttled", "refused", "stalled"}).Draw(t, "kind")
			most := 20
			if kind == "late" {
				most = 30 // a write comes late while it is fenced
			}
			s.Faults[rapid.IntRange(1, 100).Draw(t, "write")] = fault{kind, time.Duration(rapid.IntRange(1, most).Draw(t, "wait")) * time.Second}
		}
		for range rapid.IntRange(0, 3).Draw(t, "jumps") {
			by := time.Duration(rapid.SampledFrom([]int{-60, 60, -5, 90}).Draw(t, "by")) * time.Minute
			s.Jumps = append(s.Jumps, happening{At: time.Duration(rapid.IntRange(1, 60*40).Draw(t, "jump at")) * time.Minute, By: by})
		}
		for range rapid.IntRange(0, 3).Draw(t, "stales") {
			s.Stale = append(s.Stale, happening{At: time.Duration(rapid.IntRange(1, 60*40).Draw(t, "stale at")) * time.Minute, By: time.Minute})
		}
		return s
	})
}

// prepare lets a schedule befall the world.
func (s schedule) prepare(w *sim) {
	w.deaths, w.faults, w.director.twice, w.director.delay, w.inOrder = maps.Clone(s.Deaths), s.Faults, s.Twice, s.Delay, true
	n := 0
	at := func(h happening, f func()) {
		n++ // no two things happen at the same instant
		time.AfterFunc(h.At+time.Duration(n)*11*time.Microsecond, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			f()
		})
	}
	for _, h := range s.Jumps {
		at(h, func() { w.note("the clock jumps by %v", h.By); w.jump += h.By })
	}
	for _, h := range s.Stale {
		at(h, func() { w.note("the provider answers what was"); w.director.staleUntil = time.Now().Add(h.By) })
	}
}

// TestSchedules plays what rapid makes up: deaths, faults of the provider, jumps
// of the clock. rapid prints the seed that plays a failing one again; as JSON it
// is kept in testdata/schedules once its cause is mended.
func TestSchedules(t *testing.T) {
	t.Parallel()
	played := 0
	rapid.Check(t, func(rt *rapid.T) {
		s := schedules().Draw(rt, "schedule")
		w := playOnce(t, s.prepare)
		played++
		for _, v := range w.oracle.violations {
			rt.Error(v)
		}
		if len(w.oracle.violations) > 0 {
			for _, l := range w.trace[max(0, len(w.trace)-250):] {
				rt.Log(l)
			}
			text, err := json.Marshal(s)
			rt.Logf("as JSON, for testdata/schedules: %s, %v", text, err)
		}
	})
	t.Logf("schedules: %d played, violations: none", played)
}

// TestPastSchedules plays the schedules that once broke a promise.
func TestPastSchedules(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/schedules/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d schedules, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var s schedule
			d := json.NewDecoder(bytes.NewReader(text))
			d.DisallowUnknownFields()
			if err := d.Decode(&s); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			playOnce(t, s.prepare).report(t)
		})
	}
}

// TestSchedulesAreReplayed plays schedules twice: a seed that failed would be of
// no use if it were played otherwise the next time.
func TestSchedulesAreReplayed(t *testing.T) {
	t.Parallel()
	for seed := range 3 {
		s := schedules().Example(seed)
		one := playOnce(t, s.prepare).trace
		two := playOnce(t, s.prepare).trace
		for i := range max(len(one), len(two)) {
			if i >= len(one) || i >= len(two) || one[i] != two[i] {
				t.Fatalf("schedule %d is played otherwise from line %d on:\n%q\n%q", seed, i, one[min(i, len(one)):min(i+3, len(one))], two[min(i, len(two)):min(i+3, len(two))])
			}
		}
	}
}

package plan

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestLegsAreReadAsWritten(t *testing.T) {
	t.Parallel()
	ms := time.Millisecond
	for want, l := range map[string]Legs{
		"accepted 120ms, arrived 1450ms, queued 880ms, stored 450ms":                         {Accepted: 120 * ms, Arrived: 1450 * ms, Queued: 880 * ms, Stored: 450 * ms},
		"accepted 1ms, arrived 2ms, gateway clock +3600000ms, old clock -2000ms":             {Accepted: ms, Arrived: 2 * ms, Queued: Unmeasured, Stored: Unmeasured, GatewayClock: time.Hour, OldClock: -2000 * ms},
		"accepted 0ms, arrived 0ms, queued 0ms, stored 0ms":                                  {},
		"accepted 31536000000ms, arrived 31536000000ms, queued 0ms, stored 0ms":              {Accepted: 8760 * time.Hour, Arrived: 8760 * time.Hour},
		"accepted 1ms, arrived 5000ms, queued 4999ms, stored 0ms, gateway clock -86400000ms": {Accepted: ms, Arrived: 5000 * ms, Queued: 4999 * ms, GatewayClock: -24 * time.Hour},
	} {
		if got := l.String(); got != want {
			t.Errorf("written %q, want %q", got, want)
		}
		if got, ok := ParseLegs(want); !ok || got != l {
			t.Errorf("%q is read as %+v, %v", want, got, ok)
		}
	}
	for _, bad := range []string{
		"", "accepted", "accepted 1ms", "arrived 1ms, accepted 1ms", "accepted 1s, arrived 2ms", "accepted -1ms, arrived 2ms",
		"accepted 1ms, arrived 2ms, arrived 3ms", "accepted 1ms, arrived 2ms, lost 3ms", "accepted 1ms, arrived 99999999999999999999ms",
		"accepted 1ms, arrived 9223372036854775807ms", "accepted 1ms, arrived 2ms, queued",
	} {
		if got, ok := ParseLegs(bad); ok {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
}

// TestKnownLegs: every leg of the type has a name of its own, and what is not
// measured is not known.
func TestKnownLegs(t *testing.T) {
	t.Parallel()
	var l Legs
	legs := 0
	for f, v := range reflect.ValueOf(&l).Elem().Fields() {
		if strings.HasSuffix(f.Name, "Clock") {
			continue
		}
		legs++
		v.SetInt(int64(legs) * int64(time.Millisecond))
	}
	if got := l.Known(); len(got) != legs {
		t.Errorf("%v of %d legs", got, legs)
	}
	for name, took := range l.Known() {
		if !strings.Contains(l.String(), fmt.Sprintf("%s %dms", name, took.Milliseconds())) {
			t.Errorf("%s %s is not in %q", name, took, l)
		}
	}
	if got := (Legs{Arrived: 1, Queued: Unmeasured, Stored: Unmeasured}).Known(); len(got) != 2 {
		t.Errorf("%v", got)
	}
}

func FuzzParseLegs(f *testing.F) {
	f.Add("accepted 120ms, arrived 1450ms, queued 880ms, stored 450ms, old clock -1ms")
	f.Fuzz(func(t *testing.T, text string) {
		l, ok := ParseLegs(text)
		if !ok {
			return
		}
		if again, ok := ParseLegs(l.String()); !ok || again != l {
			t.Errorf("%q is read as %+v, and written as %q", text, l, l.String())
		}
	})
}

func TestSpread(t *testing.T) {
	t.Parallel()
	var took []time.Duration
	for i := range 20 {
		took = append(took, time.Duration(20-i)*time.Second)
	}
	if s := SpreadOf(append(took, Unmeasured)); s != (Spread{20, 10 * time.Second, 19 * time.Second, 20 * time.Second}) {
		t.Errorf("of twenty: %+v", s)
	}
	if s := SpreadOf(took[:1]); s != (Spread{1, 20 * time.Second, 20 * time.Second, 20 * time.Second}) {
		t.Errorf("of one: %+v", s)
	}
	if s := SpreadOf(nil); s != (Spread{}) || s.String() != "none" {
		t.Errorf("of none: %+v", s)
	}
}

package providers

import (
	"testing"
	"time"
)

func TestSerial(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 23, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		scheme    serialScheme
		old, want uint32
	}{
		{serialCounter, 7, 8},
		{serialCounter, 1<<32 - 1, 1},
		{serialCounter, 2026010101, 2026010102},
		{serialDate, 2026112400, 2026112500},
		{serialDate, 2026112500, 2026112501},
		{serialDate, 2026112599, 2026112600},
		{serialDate, 2027010100, 2027010101},
		{serialDate, 7, 2026112500},
		{serialDate, 4100000000, 4100000001},
		{serialDate, 1<<32 - 1, 2026112500},
		{serialUnix, 7, 1795649400},
		{serialUnix, 1795649400, 1795649401},
		{serialUnix, 2026112500, 2026112501},
		{serialAuto, 7, 8},
		{serialAuto, 2025010199, 2026112500},
		{serialAuto, 2026130100, 2026130101},
		{serialAuto, 0, 1},
		{serialAuto, 2030010100, 2030010101},
	} {
		got := c.scheme.next(c.old, now)
		if got != c.want || !serialGreater(got, c.old) {
			t.Errorf("%s after %d: %d, want %d", c.scheme, c.old, got, c.want)
		}
	}
	for _, c := range []struct {
		a, b uint32
		want bool
	}{{1, 0, true}, {0, 1, false}, {0, 1<<32 - 1, true}, {1 << 31, 0, false}, {0, 1 << 31, false}, {5, 5, false}} { // RFC 1982 section 5
		if got := serialGreater(c.a, c.b); got != c.want {
			t.Errorf("%d > %d: %v", c.a, c.b, got)
		}
	}
	var s serialScheme
	if err := s.UnmarshalText([]byte("dates")); err == nil {
		t.Error("an unknown scheme was taken")
	}
}

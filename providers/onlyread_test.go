package providers

import (
	"errors"
	"testing"
	"time"

	"mxcutover/rrset"
)

// TestOnlyRead: nothing is written through it, forth or back, whatever the provider can.
func TestOnlyRead(t *testing.T) {
	t.Parallel()
	before, after := mx("@", 300, oldMX), mx("@", 60, gwMX)
	s := &script{plain: plain{}, reads: []any{before, before, before, before}}
	for _, from := range []Provider{s, Guard(s)} {
		p := OnlyRead(from)
		c := rrset.Change{Zone: siteZone, Before: before, After: after}
		if ModeOf(p) != "" {
			t.Errorf("it writes in mode %s", ModeOf(p))
		}
		if _, err := Replace(t.Context(), p, c); !errors.Is(err, ErrReadOnly) {
			t.Errorf("Replace: %v", err)
		}
		if _, err := Restore(t.Context(), p, c); !errors.Is(err, ErrReadOnly) {
			t.Errorf("Restore: %v", err)
		}
		if _, _, err := WriteScratch(t.Context(), p, siteZone, "m", time.Now()); !errors.Is(err, ErrReadOnly) {
			t.Errorf("WriteScratch: %v", err)
		}
		if got, err := Read(t.Context(), p, siteZone, siteZone, "MX"); err != nil || !got.Equal(before) {
			t.Errorf("Read: %v, %v", got, err)
		}
		if _, err := Zone(t.Context(), p, siteZone); err != nil {
			t.Errorf("Zone: %v", err)
		}
	}
	if s.calls != 0 {
		t.Errorf("%d writes came through", s.calls)
	}
}

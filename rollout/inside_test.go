package rollout

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"mxcutover/firewall"
	"mxcutover/plan"
	"mxcutover/state"
)

// An insideFirewall answers from within.
type insideFirewall struct {
	firewall.Driver
	mail  map[uint16]error
	login error
}

func (f insideFirewall) OwnMail(_ context.Context, _ []netip.Addr, port uint16) (string, error) {
	return "127.0.0.1", f.mail[port]
}
func (f insideFirewall) NewLogin(context.Context) (string, error) { return "root@old", f.login }

type noAddresses struct{ Checker }

func (noAddresses) Old() []netip.Addr { return nil }

// What is cut off within fails the proof; what could not be asked is unknown; and a
// port at which nobody listened before it was armed proves nothing either way.
func TestInside(t *testing.T) {
	t.Parallel()
	refused := fmt.Errorf("connect: %w", syscall.ECONNREFUSED)
	blind := fmt.Errorf("the key: %w", firewall.ErrNoWay)
	for name, c := range map[string]struct {
		before, after insideFirewall
		want          plan.Severity
	}{
		"all works":              {insideFirewall{}, insideFirewall{}, plan.Pass},
		"cut off by arming":      {insideFirewall{}, insideFirewall{mail: map[uint16]error{25: refused}}, plan.Fail},
		"silent before, too":     {insideFirewall{mail: map[uint16]error{465: refused}}, insideFirewall{mail: map[uint16]error{465: refused}}, plan.Pass},
		"another than before":    {insideFirewall{mail: map[uint16]error{465: refused}}, insideFirewall{mail: map[uint16]error{25: refused, 465: refused}}, plan.Fail},
		"it could not be asked":  {insideFirewall{}, insideFirewall{mail: map[uint16]error{25: blind}}, plan.Unknown},
		"nor before":             {insideFirewall{mail: map[uint16]error{25: blind}}, insideFirewall{mail: map[uint16]error{25: blind}}, plan.Unknown},
		"unknown, then cut off":  {insideFirewall{mail: map[uint16]error{25: blind}}, insideFirewall{mail: map[uint16]error{25: refused}}, plan.Fail},
		"nobody can log in anew": {insideFirewall{}, insideFirewall{login: errors.New("refused")}, plan.Fail},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := state.NewStatus(plan.Plan{})
			turn := Turn{Step: plan.Step{Ports: []uint16{25, 465}}, Clock: SystemClock(), View: func(f func(*state.Status)) { f(st) }}
			st.Isolation.Findings = World{Firewall: c.before, Checker: noAddresses{}}.listens(t.Context(), turn)
			if v := plan.Judge(append(st.Isolation.Findings, plan.Finding{Severity: plan.Pass})); v != plan.Pass {
				t.Errorf("how it was before does not keep it from being armed: %s", v)
			}
			found := World{Firewall: c.after, Checker: noAddresses{}}.inside(t.Context(), turn)
			if v := plan.Judge(found); v != c.want {
				t.Errorf("%s, want %s: %v", v, c.want, found)
			}
			if found[0].At.Before(time.Now().Add(-time.Minute)) {
				t.Error("it has no time")
			}
		})
	}
}

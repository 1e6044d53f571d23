package main

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/verify"
)

// What takes hours says so before it begins, and an end comes at once.
func TestLongRunsAreForetold(t *testing.T) {
	t.Parallel()
	c, err := verify.New(verify.Settings{RandomPerHour: 10, Planned: []rrset.MX{{Host: "gw.test."}}, Resolvers: []verify.Resolver{{View: "public", Addr: netip.MustParseAddrPort("127.0.0.1:1")}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	var out bytes.Buffer
	tellEstimate(c, make([]plan.Cutover, 10), 10, &out)
	if out.Len() > 0 {
		t.Errorf("of what waits for nothing: %s", &out)
	}
	tellEstimate(c, make([]plan.Cutover, 95), 10, &out)
	if want := "about 9 h at probe.random_per_hour 10: gw.unknown asks one host of the gateway for 95 addresses"; !strings.HasPrefix(out.String(), want) {
		t.Errorf("%s; want %s", &out, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := takeTurn(ctx, c, plan.Cutover{}, &out); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

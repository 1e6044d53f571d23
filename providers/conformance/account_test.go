package conformance_test

import (
	"context"
	"flag"
	"os/signal"
	"syscall"
	"testing"

	"mxcutover/providers/conformance"
)

var account = struct{ config, provider, zone, cleanup *string }{
	flag.String("conformance.config", "", "the configuration file"),
	flag.String("conformance.provider", "", "the provider's name there"),
	flag.String("conformance.zone", "", "a zone that it has"),
	flag.String("conformance.cleanup", "", "only delete what an earlier run left at this scratch name"),
}

var minTTL = flag.Uint("conformance.minttl", 0, "the lowest TTL that the provider takes")

// TestAccount runs at a real account, when it is asked to; see make conformance.
func TestAccount(t *testing.T) {
	if *account.provider == "" {
		t.Skip("opt-in, since it writes to a real account: make conformance CONFIG=... PROVIDER=... ZONE=...")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	a := conformance.Account{
		Config: *account.config, Provider: *account.provider, Zone: *account.zone, Cleanup: *account.cleanup, MinTTL: uint32(*minTTL), Log: t.Logf,
	}
	if err := a.Run(ctx, t); err != nil {
		t.Fatal(err)
	}
}

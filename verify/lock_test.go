package verify

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"
)

// Who waits for what another one reads can give up; the other goes on.
func TestWaitingForALockEndsWithTheContext(t *testing.T) {
	t.Parallel()
	c := &Checker{Settings: Settings{Shared: time.Minute, Now: time.Now}}
	e := endpoint{"gw.test.", netip.MustParseAddr("192.0.2.1")}
	for _, l := range []*lock{&c.logs.mu, &c.oldMail.mu, &c.relays.of("k", c.Now()).mu} {
		if err := l.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer l.free()
	}
	chain, _ := c.chains.take("zone.test.", c.Now()) // another one follows it
	defer close(chain.ready)
	for name, ask := range map[string]func(context.Context) error{
		"logs": func(ctx context.Context) error {
			_, err := c.logs.picture(ctx, c, "", time.Time{})
			return err
		},
		"stragglers": func(ctx context.Context) error {
			_, _, _, err := c.straggling(ctx, "x.test.", time.Time{}, nil)
			return err
		},
		"chain": func(ctx context.Context) error {
			_, err := c.chainOf(ctx, "zone.test.")
			return err
		},
		"relay": func(ctx context.Context) error {
			c.relay(ctx, Vantage{}, e, stranger{}, "x.test.", "k")
			return ctx.Err()
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan error)
		go func() { got <- ask(ctx) }()
		cancel()
		select {
		case err := <-got:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: it waits on", name)
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"mxcutover/control"
	"mxcutover/tui"
)

// runBare is mxcutover without a command: the screen of a running migration on a
// terminal, its status elsewhere, and help where there is nothing to see yet.
func runBare(ctx context.Context, s *streams) error {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	if !isTerminal(s.out) || !isTerminal(s.in) {
		return runStatus(ctx, s, "", false)
	}
	client, err := control.Dial(socketDir(cfg))
	if errors.Is(err, control.ErrNoEngine) {
		if err := runStatus(ctx, s, "", false); err != nil {
			return err
		}
		return fmt.Errorf("no engine runs; start one, in another terminal or as a service, with:\n  mxcutover run")
	}
	if err != nil {
		return err
	}
	p, err := client.Plan(ctx)
	if err != nil {
		return err
	}
	return tui.Run(ctx, tui.Options{
		Plan: p, Engine: client, Control: screen{client}, ASCII: s.plain(s.out), NoColor: os.Getenv("NO_COLOR") != "", In: s.in, Out: s.out,
	})
}

// screen takes control for the screen.
type screen struct{ *control.Client }

// Take takes control until the context ends, or another does.
func (s screen) Take(ctx context.Context, force bool) (<-chan string, error) {
	session, err := s.Client.Take(ctx, force)
	if err != nil {
		return nil, err
	}
	return session.Lost, nil
}

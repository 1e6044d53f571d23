package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"mxcutover/lab"
	"mxcutover/report"
)

func newDemo(s *streams) *cobra.Command {
	var keep bool
	c := &cobra.Command{
		Use: "demo", Short: "a whole migration in an embedded world, without root, in under a minute",
		Long: `demo starts a world on loopback: two name servers a zone (one lags behind), a
caching resolver, two gateways, an old server with a mailbox, honest senders, a
stubborn spammer, and a firewall. It then migrates a dozen domains there with the
real engine, providers and checks, and tells what happens. Nothing outside a
temporary folder and loopback is touched, and nothing is left behind.`,
		Example: "  mxcutover demo\n  mxcutover demo --keep      leave the world up and try every command by hand",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if keep {
				return runDemoKeep(cmd.Context(), s)
			}
			return runDemo(cmd.Context(), s)
		},
	}
	c.Flags().BoolVar(&keep, "keep", false, "only start the world, print its configuration file, and wait for Ctrl-C")
	return c
}

// startWorld starts the embedded world in a folder of its own, with its
// configuration file.
func startWorld(ctx context.Context) (w *lab.World, cfg string, stop func() error, err error) {
	dir, err := os.MkdirTemp("", "mxcutover-demo-")
	if err != nil {
		return nil, "", nil, fmt.Errorf("demo: %w", err)
	}
	w, err = lab.Start(ctx, lab.Options{Dir: dir, TTL: 3 * time.Second, Lag: time.Second})
	if err != nil {
		return nil, "", nil, errors.Join(fmt.Errorf("demo: %w", err), os.RemoveAll(dir))
	}
	stop = func() error { return errors.Join(w.Close(), os.RemoveAll(dir)) }
	cfg, err = w.WriteConfig(dir)
	if err != nil {
		return nil, "", nil, errors.Join(fmt.Errorf("demo: %w", err), stop())
	}
	return w, cfg, stop, nil
}

// runDemoKeep leaves the world up until it is interrupted.
func runDemoKeep(ctx context.Context, s *streams) (err error) {
	w, cfg, stop, err := startWorld(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	self, err := os.Executable()
	if err != nil {
		self = "mxcutover"
	}
	q := report.Quote
	fmt.Fprintf(s.out, `The world is up. In another terminal:

  export MXCUTOVER_CONFIG=%s
  cd %s
  %s inventory
  %s plan
  %s plan show
  %s preflight
  %s run                          # begins; then, in a third terminal:
  %s                              # the screen
  %s status
  %s approve --wave wave-2
  %s rollback --wave pilot --confirm pilot
  %s approve --isolate
  %s isolate confirm --confirm isolate
  %s verify
  %s report -o html --out report.html

Ctrl-C here ends the world and removes its folder.
`, q(cfg), q(filepath.Dir(cfg)), q(self), q(self), q(self), q(self), q(self), q(self), q(self), q(self), q(self), q(self), q(self), q(self), q(self))
	<-ctx.Done()
	before := w.Accounts()
	fmt.Fprintf(s.out, "\nHonest senders sent %d messages here; %d were delivered.\n", before.Sent, before.Delivered)
	return nil
}

// settleTime bounds how long the demo waits for what must come.
const settleTime = 90 * time.Second

// runDemo tells the whole story.
func runDemo(ctx context.Context, s *streams) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*settleTime, errors.New("the demo took too long"))
	defer cancel()
	w, path, stop, err := startWorld(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	t := &teller{streams: s, world: w, p: s.printer(s.out), began: time.Now()}
	s.configPath = path
	if err := t.prepare(ctx); err != nil {
		return err
	}
	defer t.site.checker.Close()
	if err := t.migrate(ctx); err != nil {
		return err
	}
	return t.close(ctx)
}

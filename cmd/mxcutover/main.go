// Command mxcutover moves the public mail of many domains from an old mail
// server to a new gateway: see README.md. This package holds flags and wiring
// only, one file and one runX a command.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // gates have time zones, and a bare machine may know none

	"mxcutover/report"
)

// version is set at link time.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends at once; the journal is safe at any point
	}()
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program but for the process around it; tests call it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	cmd := newRoot(&streams{in: stdin, out: stdout, err: stderr})
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	var done exitCode
	if errors.As(err, &done) {
		return int(done)
	}
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(stderr, "mxcutover: interrupted")
		return codeInterrupted
	}
	if err != nil {
		fmt.Fprintln(stderr, "mxcutover: "+report.HarmlessLines(err.Error()+whoMay(err)))
	}
	return codeOf(err)
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/verify"
)

// Bounds of a list of names, and of asking for them.
const (
	maxNames    = 4 << 20
	askedAtOnce = 2000 // as many as one server's line has in flight
)

// eachLine gives the lines of a list that are not empty, with their numbers from 1 and
// without what follows a #.
func eachLine(name string, r io.Reader, do func(n int, text string) error) error {
	lines := bufio.NewScanner(r)
	n := 1
	for ; lines.Scan(); n++ {
		text, _, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "\ufeff"), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if err := do(n, text); err != nil {
			return err
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return usagef("%s:%d: the line is longer than %d bytes; is it a list?", name, n, bufio.MaxScanTokenSize)
	case err != nil:
		return fmt.Errorf("%s:%d: %w", name, n, err)
	}
	return nil
}

// readNames reads a list of domain names, one a line, with # for comments. What
// follows the name on its line does not count. Each is given once.
func readNames(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	seen := map[string]bool{}
	err = eachLine(path, f, func(n int, text string) error {
		name, err := rrset.CanonicalName(strings.Fields(text)[0])
		switch {
		case err != nil:
			return usagef("%s:%d: %w; write one domain name a line, as in: example.org", path, n, err)
		case seen[name], name == ".":
			return nil
		case len(out) == maxNames:
			return usagef("%s:%d: above %d names", path, n, maxNames)
		}
		seen[name] = true
		out = append(out, name)
		return nil
	})
	return out, err
}

// askNames asks a view's resolvers for the MX of many names, and for the addresses of
// those without. One that cannot be asked says so by itself.
func (s *site) askNames(ctx context.Context, view verify.View, names []string, source plan.Source, progress io.Writer) ([]plan.Named, error) {
	out := make([]plan.Named, len(names))
	err := side(ctx, len(names), "names", progress, func(i int) { out[i] = askName(ctx, view, names[i], source) })
	return out, err
}

func askName(ctx context.Context, view verify.View, name string, source plan.Source) plan.Named {
	n := plan.Named{Name: name, Source: source, MX: rrset.Set{Name: name, Type: "MX"}}
	set, alias, err := view.Asked(ctx, name, "MX")
	if err != nil {
		n.Failed = err.Error()
		return n
	}
	if n.Alias = alias; !set.Absent() {
		n.MX = set
		return n
	}
	if n.Addresses, err = view.Addresses(ctx, name); err != nil {
		n.Failed = err.Error()
	}
	return n
}

// side does many things side by side, and tells on a terminal how far it is.
func side(ctx context.Context, n int, what string, progress io.Writer, do func(i int)) error {
	var next, done atomic.Int64
	var wg sync.WaitGroup
	for range min(askedAtOnce, n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				do(i)
				done.Add(1)
			}
		})
	}
	stop := tellProgress(progress, what, n, &done)
	wg.Wait()
	stop()
	return ctx.Err()
}

// tellProgress tells a terminal four times a second, until it is stopped.
func tellProgress(w io.Writer, what string, n int, done *atomic.Int64) (stop func()) {
	if !isTerminal(w) {
		return func() {}
	}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(time.Second / 4)
		defer t.Stop()
		for {
			select {
			case <-quit:
				fmt.Fprint(w, "\r\x1b[K")
				return
			case <-t.C:
				fmt.Fprintf(w, "\r%d of %d %s ", done.Load(), n, what)
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
	}
}

// resolved are the addresses of hosts in a view. What cannot be resolved is left out, and
// told by the domains that lead there: one foreign name server that is down must not
// hide all others.
func (s *site) resolved(ctx context.Context, view verify.View, hosts []string, progress io.Writer) (plan.Addresses, error) {
	found := make([][]netip.Addr, len(hosts))
	err := side(ctx, len(hosts), "hosts", progress, func(i int) { found[i], _ = view.Addresses(ctx, hosts[i]) })
	out := plan.Addresses{}
	for i, h := range hosts {
		if len(found[i]) > 0 {
			out[h] = found[i]
		}
	}
	return out, err
}

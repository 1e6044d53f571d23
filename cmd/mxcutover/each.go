package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/rrset"
)

// each asks about many domains, some at once, and tells how far it is on a
// terminal. The answers that are not empty come in the order of the domains.
func each(ctx context.Context, cuts []plan.Cutover, ask func(context.Context, plan.Cutover) (string, error), progress io.Writer) ([]string, error) {
	answers := make([]string, len(cuts))
	var done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i, c := range cuts {
		g.Go(func() (err error) {
			answers[i], err = ask(ctx, c)
			if n := done.Add(1); isTerminal(progress) {
				fmt.Fprintf(progress, "\r\x1b[K%d of %d domains ", n, len(cuts))
			}
			return err
		})
	}
	err := g.Wait()
	if isTerminal(progress) {
		fmt.Fprint(progress, "\r\x1b[K")
	}
	var out []string
	for _, a := range answers {
		if a != "" {
			out = append(out, a)
		}
	}
	return out, err
}

// read is a domain's MX RRset as its provider has it.
func (s *site) read(ctx context.Context, c plan.Cutover) (rrset.Set, error) {
	p, ok := s.providers[c.Provider]
	if !ok {
		return rrset.Set{}, fmt.Errorf("%s: the configuration has no provider %q", rrset.Bare(c.Domain), c.Provider)
	}
	set, err := providers.Read(ctx, p, c.Zone, c.Domain, "MX")
	if err != nil {
		return rrset.Set{}, fmt.Errorf("read %s at %s: %w", rrset.Bare(c.Domain), c.Provider, err)
	}
	return set, nil
}

func indent(s rrset.Set) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(s.String(), "\n"), "\n", "\n  ") + "\n"
}

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"mxcutover/config"
	"mxcutover/rrset"
	"mxcutover/traffic"
	"mxcutover/traffic/logfile"
)

// Bounds of a list of addresses.
const (
	maxAddresses = 1 << 20
	maxAddress   = 320 // bytes, RFC 5321 section 4.5.3.1 with what the specification's own sum comes to
)

// list are the addresses to ask for, each once.
func (o parityOptions) list(ctx context.Context, s *streams, cfg *config.Config) (out []string, err error) {
	switch {
	case len(o.logs) > 0:
		out, err = recipientsIn(ctx, cfg, o.logs)
		out = out[:min(len(out), o.most)]
	case o.addresses == "-":
		out, err = readAddresses("standard input", s.in)
	default:
		out, err = addressesIn(o.addresses)
	}
	if err == nil && len(out) == 0 {
		err = usagef("no address is there to ask for")
	}
	return out, err
}

func addressesIn(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAddresses(path, f)
}

// readAddresses reads one address a line. Its domain is lower case then; what stands
// before it is left as it is, since servers may tell cases apart.
func readAddresses(name string, r io.Reader) (out []string, err error) {
	seen := map[string]bool{}
	err = eachLine(name, r, func(n int, text string) error {
		a, ok := address(text)
		switch {
		case !ok:
			return usagef("%s:%d: expected one mail address, as in: postmaster@example.org", name, n)
		case seen[a]:
			return nil
		case len(out) >= maxAddresses:
			return usagef("%s: more than %d addresses", name, maxAddresses)
		}
		seen[a] = true
		out = append(out, a)
		return nil
	})
	return out, err
}

// address checks a mail address as far as it must be to be asked for.
func address(s string) (string, bool) {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")
	i := strings.LastIndexByte(s, '@')
	if i < 1 || len(s) > maxAddress || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '<' || r == '>' }) {
		return "", false
	}
	if strings.HasPrefix(s[i+1:], "[") { // an address literal is of no domain
		return "", false
	}
	domain, err := rrset.CanonicalName(s[i+1:])
	if err != nil || domain == "." {
		return "", false
	}
	return s[:i+1] + rrset.Bare(domain), true
}

// recipientsIn are the recipients that mail logs name, of domains in the providers'
// zones, the most used first.
func recipientsIn(ctx context.Context, cfg *config.Config, globs []string) ([]string, error) {
	m, err := mailOf(cfg)
	if err != nil {
		return nil, err
	}
	zones := map[string]bool{}
	for _, z := range m.Domains {
		zones[rrset.Bare(z)] = true
	}
	r := traffic.Recipients{Wanted: func(d []byte) bool { return within(zones, d) }}
	got, err := readLogs(ctx, cfg, nil, globs, r.Add)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, usagef("--logs: %w", err)
	}
	for _, f := range got.Files {
		if f.Err != nil {
			return nil, fmt.Errorf("log %s: %w", f.Path, f.Err)
		}
	}
	ranked := r.Ranked()
	out := ranked[:0]
	for _, a := range ranked {
		if a, ok := address(a); ok {
			out = append(out, a)
		}
	}
	return out, nil
}

// readLogs reads logs as the configuration says, rotated and compressed ones too. What
// keeps a file from being read whole is told in the result.
func readLogs(ctx context.Context, cfg *config.Config, in io.Reader, logs []string, add func(*traffic.Record)) (*logfile.Result, error) {
	m, err := mailOf(cfg)
	if err != nil {
		return nil, err
	}
	return logfile.Read(ctx, logs, logfile.Options{Format: m.Format, Zone: m.Zone, Stdin: in, Now: time.Now(), Records: add})
}

// byDomain gives the first addresses of each domain in a list.
func byDomain(path string, each int) (func(domain string) []string, error) {
	all, err := addressesIn(path)
	if err != nil {
		return nil, fmt.Errorf("preflight.addresses: %w", err)
	}
	of := map[string][]string{}
	for _, a := range all {
		domain := a[strings.LastIndexByte(a, '@')+1:]
		if len(of[domain]) < each {
			of[domain] = append(of[domain], a)
		}
	}
	return func(domain string) []string { return of[domain] }, nil
}

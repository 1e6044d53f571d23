package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"mxcutover/config"
	"mxcutover/firewall"
	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/rollout"
	"mxcutover/rrset"
	"mxcutover/secret"
	"mxcutover/verify"
	"mxcutover/verify/resolve"
)

// A site is what the configuration leads to: providers, a checker, a firewall.
type site struct {
	cfg       *config.Config
	providers map[string]providers.Provider
	checker   *verify.Checker
	firewall  firewall.Driver
	secrets   map[string][]secret.Ref // by provider; "" = what all domains need

	companions companionsOf // what else a cutover needs; nil = nothing
}

// companionsOf finds what a cutover needs besides its MX.
type companionsOf func(ctx context.Context, cut plan.Cutover) ([]plan.Companion, []plan.Finding)

// openSite opens everything that the configuration names. It changes nothing.
func openSite(cfg *config.Config) (*site, error) {
	s := &site{cfg: cfg, providers: map[string]providers.Provider{}, secrets: map[string][]secret.Ref{}}
	for name, p := range cfg.Providers {
		opened, err := providers.Open(p.Kind, func(into any) error {
			err := p.Settings.Decode(into)
			s.secrets[name] = append(s.secrets[name], secret.In(into)...)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("provider %s: %w", name, err)
		}
		if p.Compared {
			opened = providers.OnlyRead(opened)
		}
		s.providers[name] = opened
	}
	if i := cfg.Probe.Arrival.IMAP; i != nil {
		s.secrets[""] = secret.In(i)
	}
	var err error
	if s.checker, err = newChecker(cfg); err != nil {
		return nil, err
	}
	s.companions = s.checker.Companions
	if cfg.Isolate != nil {
		if s.firewall, err = openFirewall(cfg); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func newChecker(cfg *config.Config) (*verify.Checker, error) {
	v := verify.Settings{
		OldHosts: cfg.Old.Hosts, OldAddresses: cfg.Old.Addresses, Planned: cfg.MX.Records,
		DNSPort: cfg.Ports.DNS, SMTPPort: cfg.Ports.SMTP, From: cfg.Probe.From,
		Recipients: verify.Recipients{Postmaster: cfg.Probe.Recipients.Postmaster, Rewrite: cfg.Probe.Recipients.Rewrite},
		Arrival:    cfg.Probe.Timeout, GreylistRetry: cfg.Probe.GreylistRetry, CatchAll: cfg.Probe.CatchAll, CatchAlls: cfg.Probe.CatchAlls,
		Concurrency: cfg.Probe.Concurrency, RandomPerHour: cfg.Probe.RandomPerHour, Largest: cfg.Probe.Largest,
		Outbound: cfg.Outbound, DKIMSelectors: cfg.DKIM.Selectors,
		HTTPSPort: cfg.Ports.HTTPS, HTTPSCA: cfg.HTTPS.CA, Holder: holder(cfg, ""), View: cfg.MovedView(),
	}
	v.Hello, _ = os.Hostname()
	v.DNSRate = float64(cfg.DNS.Rate)
	var err error
	if v.Anchors, err = anchors(cfg.DNS); err != nil {
		return nil, err
	}
	for _, r := range cfg.Resolvers {
		v.Resolvers = append(v.Resolvers, verify.Resolver{View: r.View, Addr: r.Addr})
	}
	if v.Vantages, err = vantages(cfg.Vantages); err != nil {
		return nil, err
	}
	if v.Roots, err = roots(cfg.Probe.CA); err != nil {
		return nil, err
	}
	if path := cfg.Probe.Recipients.File; path != "" {
		file, err := readRecipients(path)
		if err != nil {
			return nil, err
		}
		v.Recipients.File = file
	}
	if err := readMail(cfg, &v); err != nil {
		return nil, err
	}
	v.IMAP, v.Maildir, v.OldLog = imap(cfg.Probe.Arrival.IMAP), cfg.Probe.Arrival.Maildir, cfg.Probe.Arrival.Log
	v.GatewaySends = cfg.Probe.GatewaySends
	v.Bounces, v.SpamMarks, v.StrictSender = imap(cfg.Probe.Bounces.IMAP), cfg.Probe.SpamMarks, cfg.Probe.StrictSender
	return verify.New(v)
}

// anchors are where trust in signed zones begins.
func anchors(d config.DNS) (resolve.Anchors, error) {
	key, text := "dns.anchors", strings.Join(d.Anchors, "\n")
	switch {
	case d.AnchorFile != "":
		b, err := os.ReadFile(d.AnchorFile)
		if err != nil {
			return nil, fmt.Errorf("dns.anchor_file: %w", err)
		}
		key, text = "dns.anchor_file", string(b)
	case text == "":
		return resolve.RootAnchors()
	}
	a, err := resolve.ParseAnchors(text)
	if err != nil {
		return nil, usagef("%s: %w", key, err)
	}
	return a, nil
}

// imap is a mailbox as package verify has it.
func imap(i *config.IMAP) verify.IMAP {
	if i == nil {
		return verify.IMAP{}
	}
	return verify.IMAP{Address: i.Address, User: i.User, Password: i.Password.Read, TLS: i.TLS, CAFile: i.CA}
}

// maxRecipients bounds the file of probe recipients, in domains.
const maxRecipients = 1 << 20

// readRecipients reads lines "domain address".
func readRecipients(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("probe.recipients.file: %w", err)
	}
	defer f.Close()
	out := map[string]string{}
	err = eachLine(path, f, func(n int, text string) error {
		fields := strings.Fields(text)
		switch {
		case len(fields) != 2 || !strings.Contains(fields[1], "@"):
			return usagef("%s:%d: expected a domain and an address, as in: example.org postmaster@example.org", path, n)
		case len(out) == maxRecipients:
			return usagef("%s:%d: above %d domains", path, n, maxRecipients)
		}
		domain, err := rrset.CanonicalName(fields[0])
		if err != nil {
			return usagef("%s:%d: %w", path, n, err)
		}
		out[rrset.Bare(domain)] = fields[1]
		return nil
	})
	return out, err
}

// planned are the gateway's records, those of templates too.
func (s *site) planned() []rrset.MX {
	out := slices.Clone(s.cfg.MX.Records)
	for _, t := range s.cfg.MX.Templates {
		out = append(out, t...)
	}
	return out
}

// credentials reads each secret again that moving a provider's domains back
// needs: what an engine has in memory is of no use after it.
func (s *site) credentials(_ context.Context, provider string) (found []plan.Finding) {
	for _, r := range slices.Concat(s.secrets[provider], s.secrets[""]) {
		f := plan.Finding{Check: "site.credentials", Target: r.String(), Severity: plan.Pass, Detail: "it can be read"}
		if _, err := r.Read(); err != nil {
			f.Severity, f.Detail = plan.Fail, err.Error()
		}
		found = append(found, f)
	}
	return found
}

// policy is what the configuration says to the engine.
func policy(cfg *config.Config) rollout.Policy {
	p := rollout.Policy{
		PrepareAll: cfg.TTL.Prepare == "all", Concurrency: cfg.Gate.Concurrency, PreflightLifetime: cfg.Preflight.Lifetime, Assume: cfg.TTL.Assume,
		ProbeFailures: cfg.Probe.Failures, ProbeEvery: cfg.Probe.Interval, RollBack: cfg.Probe.OnFailure == "rollback",
		SettleAfter: cfg.TTL.SettleAfter, AutoApprove: cfg.Gate.Approve == plan.Auto,
	}
	if low := time.Duration(cfg.TTL.Low) * time.Second; low < 10*time.Second {
		p.PollEvery = max(low/4, 100*time.Millisecond)
	}
	if i := cfg.Isolate; i != nil {
		p.IsolateAfter, p.ConfirmWithin, p.ConfirmAfter, p.AutoLift = i.After, i.ConfirmWithin, i.ConfirmAfter, i.AutoLift
	}
	return p
}

// world is what the engine's Actions reach.
func (s *site) world(p rollout.Policy) rollout.World {
	w := rollout.World{Providers: s.providers, Checker: s.checker, Firewall: s.firewall, Policy: p, Writes: map[string]int{}, Owners: map[string]bool{}, Credentials: s.credentials}
	for name, p := range s.cfg.Providers {
		w.Writes[name], w.Owners[name] = p.Writes, !p.Trusted
	}
	if i := s.cfg.Isolate; i != nil {
		w.Trust, w.Action = i.Trust, firewall.Action(i.Action)
		w.OldMail, w.Handed = oldMail(s.cfg), handed(i)
	}
	return w
}

package main

import (
	"fmt"
	"time"

	"mxcutover/config"
	"mxcutover/rrset"
	"mxcutover/verify"
)

// readMail sets what is known of real mail: where logs tell of it, and to which
// addresses it goes.
func readMail(cfg *config.Config, v *verify.Settings) (err error) {
	if path := cfg.Preflight.Addresses; path != "" {
		if v.Valid, err = byDomain(path, cfg.Preflight.Each); err != nil {
			return err
		}
	}
	v.Mail, err = mailOf(cfg)
	return err
}

// mailOf says where real mail is read about.
func mailOf(cfg *config.Config) (m verify.Mail, err error) {
	t := cfg.Traffic
	m = verify.Mail{Gateway: t.GatewayLogs, Old: t.Logs, Messages: t.Real.Messages, Excess: t.Real.Excess, Quiet: t.Real.Quiet}
	if i := cfg.Isolate; i != nil {
		m.Trusted = i.Trust
	}
	if t.Format != "auto" {
		m.Format = t.Format
	}
	if t.Zone != "" {
		if m.Zone, err = time.LoadLocation(t.Zone); err != nil {
			return m, fmt.Errorf("traffic.zone: %w", err)
		}
	}
	for _, p := range cfg.Providers {
		m.Domains = append(m.Domains, p.Zones...)
	}
	return m, nil
}

// oldMail is what the configuration says of closing the old server.
func oldMail(cfg *config.Config) verify.Closing {
	i := cfg.Isolate
	q := verify.Closing{Known: i.Acknowledged, LookBack: i.LookBack, Blind: i.Blind}
	for _, n := range i.Abandoned {
		q.Without = append(q.Without, rrset.Bare(n))
	}
	q.Rules.SMTP = cfg.Ports.SMTP
	for _, p := range cfg.Providers {
		q.Zones = append(q.Zones, p.Zones...)
	}
	return q
}

package config

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"mxcutover/plan"
)

// MaxSize bounds a configuration file, in bytes.
const MaxSize = 4 << 20

// Default has every default that does not depend on another setting. Those that
// do (state.path, isolate) are filled in by [Parse].
func Default() Config {
	const week = 7 * 24 * time.Hour
	return Config{
		Domains:   Domains{Include: []string{"*"}},
		Traffic:   Traffic{Format: "auto", Real: Real{Messages: 20, Excess: 0.2, Quiet: 24 * time.Hour}},
		Waves:     Waves{First: 3, Growth: 4, Max: 500, Share: 0.25},
		Gate:      Gate{Approve: plan.Manual, Persons: 1, Soak: 30 * time.Minute, Failures: 1, Shared: 3, Concurrency: 50},
		TTL:       TTL{Low: 300, Prepare: "all", Assume: 24 * time.Hour, SettleAfter: week},
		Preflight: Preflight{Lifetime: time.Hour, Each: 3},
		Probe: Probe{
			Failures: 3, OnFailure: "rollback", Concurrency: 4,
			Interval: 5 * time.Minute, Timeout: 5 * time.Minute, GreylistRetry: 5 * time.Minute, RandomPerHour: 1000,
		},
		DNS: DNS{Rate: 200}, Ports: Ports{DNS: 53, SMTP: 25, HTTPS: 443},
	}
}

// defaults fills in an isolation that was asked for.
func (i *Isolate) defaults() {
	*i = Isolate{
		Action: "reject", After: 7 * 24 * time.Hour,
		ConfirmWithin: 10 * time.Minute, ConfirmAfter: 10 * time.Minute, LookBack: 30 * 24 * time.Hour,
	}
}

// defaults fills in a mailbox that was asked for.
func (i *IMAP) defaults() { i.TLS = "implicit" }

// Load reads and parses a file of at most [MaxSize] bytes. Its error is
// [Faults], or that of reading.
func Load(path string) (*Config, error) {
	data, err := readLimited(path, MaxSize)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return Parse(path, data)
}

// Parse checks a configuration file's text. The path names the file in faults,
// and its folder is where relative paths start. An error is always [Faults].
func Parse(path string, data []byte) (*Config, error) { return parseTelling(path, data, nil) }

// parseTelling is Parse, and tells what keys are held to.
func parseTelling(path string, data []byte, told func(key string, b bound)) (*Config, error) {
	found := &problems{}
	doc := readDocument(path, data, found)
	if doc.root == nil {
		return nil, doc.faults(found, nil)
	}
	c := Default()
	c.Path = path
	d := newDecoder(doc, found)
	d.decode(place{value: doc.root}, &c, "")
	c.derive()
	(&checker{decoder: d, c: &c, told: told}).all()
	if d.misuse != nil {
		found.add(1, 1, "", d.misuse.Error(), "")
	}
	if found.none() {
		return &c, nil
	}
	return nil, doc.faults(found, d.closed)
}

// derive fills in the defaults that depend on other settings.
func (c *Config) derive() {
	if c.State.Path == "" {
		c.State.Path = "/var/lib/mxcutover/" + c.Migration + ".db"
	}
	for i, r := range c.Resolvers {
		if r.Addr.Port() == 0 {
			c.Resolvers[i].Addr = netip.AddrPortFrom(r.Addr.Addr(), c.Ports.DNS)
		}
	}
	if c.Isolate == nil {
		return
	}
	if len(c.Isolate.Ports) == 0 {
		c.Isolate.Ports = []uint16{c.Ports.SMTP}
	}
	if (c.Isolate.Driver == "local" || c.Isolate.Driver == "ssh") && c.Isolate.BootFile == "" {
		c.Isolate.BootFile = "/etc/mxcutover/isolate.nft"
	}
}

// resolve takes a relative path from the configuration file's folder.
func resolve(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// readLimited reads a regular file of at most limit bytes.
func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a folder; a file was expected", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s is above %d bytes", path, limit)
	}
	return b, nil
}

package main

import (
	"crypto/x509"
	"fmt"
	"os"

	"mxcutover/config"
	"mxcutover/firewall"
	"mxcutover/secret"
	"mxcutover/sshhost"
	"mxcutover/verify"
)

// vantages are the places to probe from. An SSH host is connected to when it is
// first used, and let go when nobody uses it any more.
func vantages(list []config.Vantage) ([]verify.Vantage, error) {
	var out []verify.Vantage
	for _, x := range list {
		v := verify.Vantage{Name: x.Name, Source: x.Source, Inside: x.Inside}
		if x.SSH != (config.SSHHost{}) {
			h, err := openSSH(x.SSH, x.Identity, x.Passphrase, x.KnownHosts, nil)
			if err != nil {
				return nil, fmt.Errorf("vantage %s: %w", x.Name, err)
			}
			v.Dial = h.Dial
		}
		out = append(out, v)
	}
	return out, nil
}

// openSSH makes an SSH host of what the configuration says. It connects to nothing.
func openSSH(at config.SSHHost, identity, passphrase secret.Ref, known string, via *sshhost.Host) (*sshhost.Host, error) {
	set := sshhost.Settings{User: at.User, Host: at.Host, Port: at.Port, Identity: identity, Passphrase: passphrase, KnownHosts: known}
	if via != nil {
		set.Via = via.Dial
	}
	return sshhost.Open(set)
}

// openFirewall makes the driver of the old server's firewall.
func openFirewall(cfg *config.Config) (firewall.Driver, error) {
	i := cfg.Isolate
	set := firewall.Settings{Socket: i.Socket, BootFile: i.BootFile, Old: cfg.Old.Addresses, To: i.RedirectTo}
	if i.Driver == "ssh" {
		var via *sshhost.Host
		if v := i.Via; v != nil {
			var err error
			if via, err = openSSH(v.Host, v.Identity, v.Passphrase, v.KnownHosts, nil); err != nil {
				return nil, fmt.Errorf("isolate: via: %w", err)
			}
		}
		far, err := openSSH(i.Host, i.Identity, i.Passphrase, i.KnownHosts, via)
		if err != nil {
			return nil, fmt.Errorf("isolate: %w", err)
		}
		set.Far, set.Sudo = far, !far.Root()
	}
	driver, err := firewall.Open(i.Driver, set)
	if err != nil {
		return nil, fmt.Errorf("isolate: %w", err)
	}
	return driver, nil
}

// roots are the authorities of the gateway's certificates: the system's, and those
// of a file besides; nil = the system's alone.
func roots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("probe.ca: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a machine without any trusts the file's alone
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, usagef("probe.ca: %s holds no certificate", file)
	}
	return pool, nil
}

package main

import (
	"crypto/x509"
	"fmt"
	"os"

	"mxcutover/config"
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
			h, err := sshhost.Open(sshhost.Settings{
				User: x.SSH.User, Host: x.SSH.Host, Port: x.SSH.Port,
				Identity: x.Identity, Passphrase: x.Passphrase, KnownHosts: x.KnownHosts,
			})
			if err != nil {
				return nil, fmt.Errorf("vantage %s: %w", x.Name, err)
			}
			v.Dial = h.Dial
		}
		out = append(out, v)
	}
	return out, nil
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

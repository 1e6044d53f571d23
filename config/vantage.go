package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"mxcutover/rrset"
)

// An SSHHost is where an SSH connection goes, written "user@host:port"; an IPv6
// address stands in brackets, as in "user@[2001:db8::1]:2222". The zero value is none.
type SSHHost struct {
	User string // "" = who runs the program
	Host string // a name, or an address, without brackets
	Port uint16 // 0 = 22
}

// UnmarshalText reads the written form.
func (h *SSHHost) UnmarshalText(text []byte) error {
	made, err := parseSSH(string(text))
	if err == nil {
		*h = made
	}
	return err
}

// String is the written form.
func (h SSHHost) String() string {
	out := h.Host
	if strings.Contains(out, ":") {
		out = "[" + out + "]"
	}
	if h.Port != 0 {
		out += ":" + strconv.Itoa(int(h.Port))
	}
	if h.User != "" {
		out = h.User + "@" + out
	}
	return out
}

func parseSSH(s string) (SSHHost, error) {
	var h SSHHost
	bad := func(why string) (SSHHost, error) {
		return SSHHost{}, fmt.Errorf("%s cannot stand in an SSH host; write user@host or user@host:port", why)
	}
	rest := s
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		if h.User, rest = s[:i], s[i+1:]; h.User == "" || strings.Trim(h.User, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@\\+") != "" || h.User[0] == '-' {
			return bad("the user")
		}
	}
	port, hasPort := "", false
	if inner, ok := strings.CutPrefix(rest, "["); ok {
		var after string
		if h.Host, after, ok = strings.Cut(inner, "]"); !ok || after != "" && after[0] != ':' {
			return bad("such a bracket")
		}
		if a, err := netip.ParseAddr(h.Host); err != nil || !a.Is6() || a.Zone() != "" {
			return bad("what stands in brackets")
		}
		port, hasPort = strings.CutPrefix(after, ":")
	} else {
		h.Host, port, hasPort = strings.Cut(rest, ":")
		_, isAddr := netip.ParseAddr(h.Host)
		if name, err := canonicalName(h.Host); isAddr != nil && (err != nil || rrset.Bare(name) != strings.ToLower(h.Host) || strings.HasPrefix(h.Host, "-")) {
			return bad("the host")
		}
	}
	if !hasPort {
		return h, nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || !decimal.MatchString(port) {
		return bad("the port")
	}
	h.Port = uint16(n)
	return h, nil
}

// vantages checks that each is one place, of a name of its own.
func (k *checker) vantages() {
	seen := map[string]bool{}
	for i, v := range k.c.Vantages {
		at := item("vantages", i)
		if key := at + ".name"; k.good(key) && seen[v.Name] {
			k.fault(key, fmt.Sprintf("%.80q stands twice", v.Name), "give each vantage its own name")
		}
		seen[v.Name] = true
		ssh, source := v.SSH != SSHHost{}, v.Source.IsValid()
		switch {
		case k.bad[at] || k.bad[at+".ssh"] || k.bad[at+".source"]:
		case ssh == source:
			k.fault(at, "is one of two: an address of this machine, or an SSH host", "write either source or ssh")
		case source:
			for _, name := range []string{"identity", "passphrase", "known_hosts"} {
				if k.good(at + "." + name) {
					k.fault(at+"."+name, "has no meaning without ssh", "delete it")
				}
			}
		case k.good(at+".passphrase") && v.Identity.IsZero() && !k.bad[at+".identity"]:
			k.fault(at+".passphrase", "is that of the identity, which is missing", "name the key's file in identity")
		}
	}
}

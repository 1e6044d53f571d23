// Package site starts the real servers of a mail site, by hand and on loopback
// addresses, for integration tests: one recipe for each server.
package site

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/miekg/dns"
)

// BINDOptions say what a name server serves.
type BINDOptions struct {
	Dir     string            // an empty folder of its own; "" = a temporary one, until Stop
	Addr    netip.AddrPort    // where it listens, UDP and TCP; see [StartBIND]
	Zones   map[string]string // zone -> master file; for a secondary the texts are not used
	Primary netip.AddrPort    // set for a secondary
	Key     Key               // may transfer and update; zero = a new one
	Extra   string            // more lines in each zone's statement
	Silent  bool              // a primary that notifies nobody, so that its secondary lags
	Inside  Key               // of a primary: who comes with it has another view, with zones of the same names and texts; zero = no views
	view    string            // before the names of the zones' files
	Within  map[string]string // the zones of the inside view, and their texts; nil = the same
	Clients []netip.Addr      // who has the inside view without its key
	Static  bool              // a primary that takes no updates: its master files are changed by hand
	Control netip.AddrPort    // where rndc reaches it; zero = nowhere; see [BIND.RNDC]
	Also    []netip.Addr      // more addresses where it listens, at the same port
	Told    []netip.AddrPort  // secondaries that it notifies, with the Key
	Signed  []string          // zones that it signs itself, with keys of its own making; not those of the inside view
}

// InInside is what is served in the inside view, for its key.
func (o BINDOptions) InInside() BINDOptions {
	o.Key, o.view, o.Signed = o.Inside, "inside.", nil
	if o.Within != nil {
		o.Zones = o.Within
	}
	return o
}

// Signs tells whether it signs a zone itself.
func (o BINDOptions) Signs(zone string) bool { return slices.Contains(o.Signed, zone) }

// Listens are its addresses of a family.
func (o BINDOptions) Listens(six bool) (out []netip.Addr) {
	for _, a := range append([]netip.Addr{o.Addr.Addr()}, o.Also...) {
		if a.Is6() == six {
			out = append(out, a)
		}
	}
	return out
}

// File is the name of a zone's file.
func (o BINDOptions) File(zone string) string { return o.view + file(zone) }

// BIND is a running named.
type BIND struct {
	BINDOptions
	process
}

const namedConf = `{{define "zones"}}{{range $zone, $text := .Zones}}zone "{{$zone}}" {
	{{if $.Primary.IsValid}}type secondary; primaries { {{$.Primary.Addr}} port {{$.Primary.Port}} key "{{$.Key.Name}}"; }; masterfile-format text;
	{{else}}type primary; {{if not $.Static}}update-policy { grant "{{$.Key.Name}}" zonesub ANY; };{{end}}
	{{end}}file "{{$.Dir}}/{{$.File $zone}}"; {{if $.Signs $zone}}dnssec-policy lab; inline-signing no; key-directory "{{$.Dir}}"; {{end}}{{$.Extra}}
};
{{end}}{{end}}{{define "policy"}}{{if .Signed}}dnssec-policy lab { keys { csk lifetime unlimited algorithm ecdsap256sha256; }; dnskey-ttl 5; };
{{end}}{{end}}key "{{.Key.Name}}" { algorithm hmac-sha256; secret "{{.Key.Secret}}"; };
options {
	directory "{{.Dir}}";
	pid-file "{{.Dir}}/named.pid";
	session-keyfile "{{.Dir}}/session.key";
	managed-keys-directory "{{.Dir}}";
	lock-file none;
	listen-on port {{.Addr.Port}} { {{range .Listens false}}{{.}}; {{end}}};
	listen-on-v6 port {{.Addr.Port}} { {{range .Listens true}}{{.}}; {{else}}none; {{end}}};
	query-source address {{.Addr.Addr}};
	transfer-source {{.Addr.Addr}};
	notify-source {{.Addr.Addr}};
	recursion no;
	dnssec-validation no;
	empty-zones-enable no;
	allow-transfer { key "{{.Key.Name}}"; {{with .Inside.Name}}key "{{.}}"; {{end}}};
	notify {{if .Silent}}no{{else}}explicit{{end}};
	{{if .Told}}also-notify { {{range .Told}}{{.Addr}} port {{.Port}} key "{{$.Key.Name}}"; {{end}}}; notify-delay 0;{{end}}
	tcp-clients 200;
	max-journal-size 4m;
};
controls { {{if .Control.IsValid}}inet {{.Control.Addr}} port {{.Control.Port}} allow { {{.Control.Addr}}; } keys { "{{.Key.Name}}"; };{{end}} };
logging { channel c { file "{{.Dir}}/named.log"; severity info; print-time yes; }; category default { c; }; };
{{template "policy" .}}server {{.PrimaryOrSelf.Addr}} { keys { "{{.Key.Name}}"; }; };
{{if .Inside.Name}}key "{{.Inside.Name}}" { algorithm hmac-sha256; secret "{{.Inside.Secret}}"; };
view "inside" { match-clients { key "{{.Inside.Name}}"; {{range .Clients}}{{.}}; {{end}}};
{{template "zones" .InInside}}};
view "outside" { match-clients { any; };
{{template "zones" .}}};
{{else}}{{template "zones" .}}{{end}}`

// PrimaryOrSelf is the primary, or the server itself if it is the primary.
func (o BINDOptions) PrimaryOrSelf() netip.AddrPort {
	if o.Primary.IsValid() {
		return o.Primary
	}
	return o.Addr
}

// StartBIND checks the configuration and the zones, starts named, and waits until
// it answers for every zone. Errors hold what named said.
//
// BIND listens on addresses of an interface only. 127.0.0.1 is always one; another
// of 127.0.0.0/8 is given to the loopback interface until Stop, which needs root.
func StartBIND(ctx context.Context, o BINDOptions) (*BIND, error) {
	o.Key = o.Key.orNew()
	b := &BIND{BINDOptions: o, process: process{name: "bind", install: "bind9", logs: []string{"named.out", "named.log"}}}
	if err := b.started(b.start(ctx)); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *BIND) start(ctx context.Context) error {
	var err error
	if b.Dir, err = b.folder(b.Dir); err != nil {
		return err
	}
	for _, a := range append([]netip.Addr{b.Addr.Addr()}, b.Also...) {
		if err := b.address(ctx, a); err != nil {
			return err
		}
	}
	var conf bytes.Buffer
	if err := template.Must(template.New("").Parse(namedConf)).Execute(&conf, b.BINDOptions); err != nil {
		return err
	}
	if !b.Primary.IsValid() {
		for _, o := range []BINDOptions{b.BINDOptions, b.InInside()} {
			for zone, text := range o.Zones {
				if err := b.write(map[string]string{o.File(zone): text}); err != nil {
					return err
				}
			}
		}
	}
	key := fmt.Sprintf("key %q { algorithm hmac-sha256; secret %q; };\n", b.Key.Name, b.Key.Secret)
	if err := b.write(map[string]string{"named.conf": conf.String(), "rndc.key": key}); err != nil {
		return err
	}
	if err := b.run(ctx, "", "named-checkconf", "-z", "named.conf"); err != nil {
		return err
	}
	return b.begin(ctx)
}

// begin starts named on what its folder holds, and waits until it answers.
func (b *BIND) begin(ctx context.Context) error {
	if err := b.launch("named", "-f", "-c", filepath.Join(b.Dir, "named.conf")); err != nil {
		return err
	}
	return b.authoritative(ctx, b.Addr, b.Zones)
}

// Restart starts named again after Kill, on the zones and journals that it left,
// and waits until it answers for every zone.
func (b *BIND) Restart(ctx context.Context) error {
	if err := b.begin(ctx); err != nil {
		return fmt.Errorf("bind: restart: %w%s", err, b.log())
	}
	return nil
}

// RNDC is the command that controls the server, and its arguments.
func (b *BIND) RNDC(args ...string) []string {
	c := b.Control
	return append([]string{find("rndc"), "-s", c.Addr().String(), "-p", fmt.Sprint(c.Port()), "-k", filepath.Join(b.Dir, "rndc.key")}, args...)
}

// MasterFile is where a zone's master file is.
func (b *BIND) MasterFile(zone string) string { return filepath.Join(b.Dir, b.File(zone)) }

// DS is the DS record of a zone that it signs itself, as a line of a master file.
func (b *BIND) DS(ctx context.Context, zone string) (string, error) {
	keys, err := filepath.Glob(filepath.Join(b.Dir, "K"+dns.Fqdn(zone)+"+*.key"))
	if err != nil || len(keys) != 1 {
		return "", fmt.Errorf("bind: %d keys of %s: %w", len(keys), zone, err)
	}
	out, err := exec.CommandContext(ctx, find("dnssec-dsfromkey"), "-2", keys[0]).Output()
	if err != nil {
		return "", fmt.Errorf("dnssec-dsfromkey %s: %w", keys[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Serial is a zone's serial as this server answers it.
func (b *BIND) Serial(ctx context.Context, zone string) (uint32, error) {
	return serial(ctx, b.Addr, zone)
}

// Refresh makes a secondary look at its primary now, as a NOTIFY does
// (RFC 1996).
func (b *BIND) Refresh(ctx context.Context, zone string) error {
	m := new(dns.Msg)
	m.SetNotify(dns.Fqdn(zone))
	c := &dns.Client{Timeout: time.Second, Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: b.PrimaryOrSelf().Addr().AsSlice()}}}
	r, _, err := c.ExchangeContext(ctx, m, b.Addr.String())
	if err != nil {
		return fmt.Errorf("notify %s: %w", zone, err)
	}
	if r.Rcode != dns.RcodeSuccess {
		return fmt.Errorf("notify %s: %s", zone, dns.RcodeToString[r.Rcode])
	}
	return nil
}

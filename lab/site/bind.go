// Package site starts the real servers of a mail site, by hand and on loopback
// addresses, for integration tests: one recipe for each server.
package site

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/miekg/dns"
)

// BINDOptions say what a name server serves.
type BINDOptions struct {
	Dir     string            // an empty folder of its own
	Addr    netip.AddrPort    // where it listens, UDP and TCP
	Zones   map[string]string // zone -> master file; for a secondary the texts are not used
	Primary netip.AddrPort    // set for a secondary
	Key     Key               // may transfer and update; zero = a new one
	Extra   string            // more lines in each zone's statement
	Silent  bool              // a primary that notifies nobody, so that its secondary lags
}

// A Key is a TSIG key, hmac-sha256.
type Key struct{ Name, Secret string }

// BIND is a running named.
type BIND struct {
	BINDOptions
	cmd    *exec.Cmd
	exited chan struct{}
}

const namedConf = `key "{{.Key.Name}}" { algorithm hmac-sha256; secret "{{.Key.Secret}}"; };
options {
	directory "{{.Dir}}";
	pid-file "{{.Dir}}/named.pid";
	session-keyfile "{{.Dir}}/session.key";
	managed-keys-directory "{{.Dir}}";
	lock-file none;
	listen-on port {{.Addr.Port}} { {{.Addr.Addr}}; };
	listen-on-v6 { none; };
	query-source address {{.Addr.Addr}};
	transfer-source {{.Addr.Addr}};
	notify-source {{.Addr.Addr}};
	recursion no;
	dnssec-validation no;
	empty-zones-enable no;
	allow-transfer { key "{{.Key.Name}}"; };
	notify {{if .Silent}}no{{else}}explicit{{end}};
	tcp-clients 200;
	max-journal-size 4m;
};
controls { };
logging { channel c { file "{{.Dir}}/named.log"; severity info; print-time yes; }; category default { c; }; };
server {{.PrimaryOrSelf.Addr}} { keys { "{{.Key.Name}}"; }; };
{{range $zone, $text := .Zones}}zone "{{$zone}}" {
	{{if $.Primary.IsValid}}type secondary; primaries { {{$.Primary.Addr}} port {{$.Primary.Port}} key "{{$.Key.Name}}"; }; masterfile-format text;
	{{else}}type primary; update-policy { grant "{{$.Key.Name}}" zonesub ANY; };
	{{end}}file "{{$.Dir}}/{{file $zone}}"; {{$.Extra}}
};
{{end}}`

// PrimaryOrSelf is the primary, or the server itself if it is the primary.
func (o BINDOptions) PrimaryOrSelf() netip.AddrPort {
	if o.Primary.IsValid() {
		return o.Primary
	}
	return o.Addr
}

func file(zone string) string {
	return "zone." + strings.NewReplacer("/", "_", "\\", "_").Replace(zone)
}

// NewKey makes a TSIG key of 256 bits.
func NewKey(name string) Key {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return Key{Name: name, Secret: base64.StdEncoding.EncodeToString(b)}
}

// StartBIND starts named and waits until it answers for every zone.
func StartBIND(ctx context.Context, o BINDOptions) (*BIND, error) {
	named, err := exec.LookPath("named")
	if err != nil {
		if named = "/usr/sbin/named"; !exists(named) {
			return nil, errors.New("bind: no named here; install bind9")
		}
	}
	if o.Key == (Key{}) {
		o.Key = NewKey("mxcutover")
	}
	b := &BIND{BINDOptions: o, exited: make(chan struct{})}
	if err := b.write(); err != nil {
		return nil, err
	}
	b.cmd = exec.Command(named, "-f", "-c", filepath.Join(o.Dir, "named.conf")) //nolint:noctx // ended by Stop
	var words bytes.Buffer
	b.cmd.Stderr = &words
	if err := b.cmd.Start(); err != nil {
		return nil, fmt.Errorf("bind: %w", err)
	}
	go func() {
		defer close(b.exited)
		_ = b.cmd.Wait() // how it ended is seen in its log
	}()
	if err := b.ready(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("bind: %w\n%s%s", err, words.String(), b.log()), b.Stop())
	}
	return b, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (b *BIND) write() error {
	var conf bytes.Buffer
	t := template.Must(template.New("").Funcs(template.FuncMap{"file": file}).Parse(namedConf))
	if err := t.Execute(&conf, b.BINDOptions); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if err := os.WriteFile(filepath.Join(b.Dir, "named.conf"), conf.Bytes(), 0o600); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if b.Primary.IsValid() {
		return nil
	}
	for zone, text := range b.Zones {
		if err := os.WriteFile(filepath.Join(b.Dir, file(zone)), []byte(text), 0o600); err != nil {
			return fmt.Errorf("bind: %w", err)
		}
	}
	return nil
}

// ready waits until every zone is answered with authority.
func (b *BIND) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for zone := range b.Zones {
		for {
			if _, err := b.Serial(ctx, zone); err == nil {
				break
			} else if ctx.Err() != nil {
				return fmt.Errorf("zone %s: %w", zone, err)
			}
			select {
			case <-b.exited:
				return errors.New("named ended at once")
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
	return nil
}

// Serial is a zone's serial as this server answers it.
func (b *BIND) Serial(ctx context.Context, zone string) (uint32, error) {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(zone), dns.TypeSOA)
	r, _, err := (&dns.Client{Timeout: time.Second}).ExchangeContext(ctx, m, b.Addr.String())
	if err != nil {
		return 0, err
	}
	for _, rr := range r.Answer {
		if soa, ok := rr.(*dns.SOA); ok && r.Authoritative {
			return soa.Serial, nil
		}
	}
	return 0, fmt.Errorf("%s answers %s without authority", b.Addr, dns.RcodeToString[r.Rcode])
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

// Stop ends named, by pid, and waits.
func (b *BIND) Stop() error {
	if b.cmd.Process != nil {
		_ = b.cmd.Process.Signal(syscall.SIGTERM) // gone already is as well
	}
	select {
	case <-b.exited:
	case <-time.After(10 * time.Second):
		_ = b.cmd.Process.Kill() // gone already is as well
		<-b.exited
	}
	return nil
}

// log is the tail of named's log.
func (b *BIND) log() string {
	text, err := os.ReadFile(filepath.Join(b.Dir, "named.log"))
	if err != nil {
		return ""
	}
	return string(text[max(0, len(text)-4000):])
}

// FreeBlock finds a 127.X.Y.0/24 on which a port is free, for UDP and TCP, at
// all of the given last octets.
func FreeBlock(octets ...byte) (prefix [3]byte, port uint16, err error) {
	for range 50 {
		var r [4]byte
		_, _ = rand.Read(r[:]) // never fails (crypto/rand)
		prefix = [3]byte{127, 1 + r[0]%253, r[1]}
		port = 20000 + uint16(r[2])<<6 + uint16(r[3]&63)
		if free(prefix, port, octets) {
			return prefix, port, nil
		}
	}
	return prefix, 0, errors.New("no free loopback block was found")
}

func free(prefix [3]byte, port uint16, octets []byte) bool {
	for _, o := range octets {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{prefix[0], prefix[1], prefix[2], o}), port).String()
		l, err := net.Listen("tcp", addr) //nolint:noctx // closed at once
		if err != nil {
			return false
		}
		l.Close()
		p, err := net.ListenPacket("udp", addr) //nolint:noctx // closed at once
		if err != nil {
			return false
		}
		p.Close()
	}
	return true
}

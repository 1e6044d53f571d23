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
	"slices"
	"strings"
	"syscall"
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
}

// A Key is a TSIG key, hmac-sha256.
type Key struct{ Name, Secret string }

// String leaves out the secret.
func (k Key) String() string { return k.Name }

// BIND is a running named.
type BIND struct {
	BINDOptions
	cmd     *exec.Cmd
	exited  chan struct{}
	cleanup []func() error // newest last
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

// StartBIND checks the configuration and the zones, starts named, and waits until
// it answers for every zone. Errors hold what named said.
//
// BIND listens on addresses of an interface only. 127.0.0.1 is always one; another
// of 127.0.0.0/8 is given to the loopback interface until Stop, which needs root.
func StartBIND(ctx context.Context, o BINDOptions) (*BIND, error) {
	if o.Key == (Key{}) {
		o.Key = NewKey("mxcutover")
	}
	b := &BIND{BINDOptions: o}
	if err := b.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("bind: %w%s", err, b.log()), b.Stop())
	}
	return b, nil
}

func (b *BIND) start(ctx context.Context) error {
	if b.Dir == "" {
		dir, err := os.MkdirTemp("", "bind-")
		if err != nil {
			return err
		}
		b.Dir = dir
		b.cleanup = append(b.cleanup, func() error { return os.RemoveAll(dir) })
	}
	if err := b.address(ctx); err != nil {
		return err
	}
	if err := b.write(); err != nil {
		return err
	}
	conf := filepath.Join(b.Dir, "named.conf")
	if out, err := exec.CommandContext(ctx, program("named-checkconf"), "-z", conf).CombinedOutput(); err != nil {
		return fmt.Errorf("named-checkconf: %w\n%s", err, out)
	}
	return b.launch(ctx)
}

// launch starts named on what its folder holds, and waits until it answers.
func (b *BIND) launch(ctx context.Context) error {
	words, err := os.Create(filepath.Join(b.Dir, "named.out"))
	if err != nil {
		return err
	}
	defer words.Close()
	cmd := exec.Command(program("named"), "-f", "-c", filepath.Join(b.Dir, "named.conf")) //nolint:noctx // ended by Stop
	cmd.Stdout, cmd.Stderr = words, words
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w; install bind9", err)
	}
	exited := make(chan struct{})
	b.cmd, b.exited = cmd, exited
	go func() {
		defer close(exited)
		_ = cmd.Wait() // how it ended is seen in its log
	}()
	return b.ready(ctx)
}

// program finds a program that an unprivileged user's PATH may lack.
func program(name string) string {
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return name
}

// address makes the address one of an interface.
func (b *BIND) address(ctx context.Context) error {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	addr := b.Addr.Addr()
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr() == addr {
			return nil
		}
	}
	prefix := netip.PrefixFrom(addr, addr.BitLen()).String()
	if out, err := exec.CommandContext(ctx, program("ip"), "address", "add", prefix, "dev", "lo").CombinedOutput(); err != nil {
		return fmt.Errorf("%s is no interface's address, and BIND listens on those only; as root: ip address add %s dev lo: %w: %s", addr, prefix, err, bytes.TrimSpace(out))
	}
	b.cleanup = append(b.cleanup, func() error {
		out, err := exec.Command(program("ip"), "address", "del", prefix, "dev", "lo").CombinedOutput() //nolint:noctx // must be done
		if err != nil {
			return fmt.Errorf("bind: take %s away again: %w: %s", prefix, err, bytes.TrimSpace(out))
		}
		return nil
	})
	return nil
}

func (b *BIND) write() error {
	var conf bytes.Buffer
	t := template.Must(template.New("").Funcs(template.FuncMap{"file": file}).Parse(namedConf))
	if err := t.Execute(&conf, b.BINDOptions); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.Dir, "named.conf"), conf.Bytes(), 0o600); err != nil {
		return err
	}
	if b.Primary.IsValid() {
		return nil
	}
	for zone, text := range b.Zones {
		if err := os.WriteFile(filepath.Join(b.Dir, file(zone)), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// ready waits until every zone is answered with authority.
func (b *BIND) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for zone := range b.Zones {
		for {
			_, err := b.Serial(ctx, zone)
			if err == nil {
				break
			}
			select {
			case <-tick.C:
			case <-b.exited:
				return errors.New("named ended at once")
			case <-ctx.Done():
				return fmt.Errorf("zone %s is not answered: %w", zone, err)
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

// Kill ends named with SIGKILL, as a crash does, and waits. Its folder and its
// address stay; see [BIND.Restart].
func (b *BIND) Kill() error {
	err := b.cmd.Process.Kill()
	<-b.exited
	if errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("bind: named at %s had ended by itself%s", b.Addr, b.log())
	}
	return err
}

// Restart starts named again after [BIND.Kill], on the zones and journals that
// it left, and waits until it answers for every zone.
func (b *BIND) Restart(ctx context.Context) error {
	if err := b.launch(ctx); err != nil {
		return fmt.Errorf("bind: restart: %w%s", err, b.log())
	}
	return nil
}

// Stop ends named, by pid, waits, and takes away what was made for it.
func (b *BIND) Stop() error {
	if b.cmd != nil {
		_ = b.cmd.Process.Signal(syscall.SIGTERM) // gone already is as well
		select {
		case <-b.exited:
		case <-time.After(10 * time.Second):
			_ = b.cmd.Process.Kill() // gone already is as well
			<-b.exited
		}
	}
	var err error
	for _, undo := range slices.Backward(b.cleanup) {
		err = errors.Join(err, undo())
	}
	b.cleanup = nil
	return err
}

// log is the tail of what named said.
func (b *BIND) log() string {
	var tail string
	for _, name := range []string{"named.out", "named.log"} {
		if text, err := os.ReadFile(filepath.Join(b.Dir, name)); err == nil {
			tail += "\n" + string(text[max(0, len(text)-4000):])
		}
	}
	return tail
}

package site

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Mail is a whole mail site: Exim is the gateway, Postfix the old server, Dovecot
// shows the mailbox of the probes. Use:
//
//	m, err := site.StartMail(ctx, site.MailOptions{Block: [3]byte{127, 5, 6}, Port: 2525, Domains: []string{"choir.test"}})
//	defer m.Stop()
//	m.Exim.Addr // the gateway, 127.5.6.20:2525; m.Postfix.Addr the old server, 127.5.6.10:2525
//
// What shall be broken is said in its options' Exim, Postfix and Dovecot. Needs
// root, and the programs; see scripts/servers.
type Mail struct {
	Exim    *Exim
	Postfix *Postfix
	Dovecot *Dovecot
}

// MailOptions shape a [Mail].
type MailOptions struct {
	Block   [3]byte  // the first octets of its addresses; zero = a free one
	Port    uint16   // where SMTP is spoken, at all addresses; 0 = a free one
	Domains []string // without final dots; each has info, postmaster and mxprobe, in one mailbox with mxprobe@probe.test

	// Whatever is set there holds; addresses, domains and recipients are filled in.
	Exim    EximOptions
	Postfix PostfixOptions
	Dovecot DovecotOptions
}

// Prober is the mailbox of the probes, and Password what opens it at Dovecot.
const (
	Prober   = "mxprobe@probe.test"
	Password = "not a secret"
)

// Last octets of a [Mail]'s addresses.
const (
	octetOldServer = 10
	octetGateway   = 20
)

// StartMail starts all three servers.
func StartMail(ctx context.Context, o MailOptions) (*Mail, error) {
	if o.Port == 0 || o.Block == [3]byte{} {
		block, port, err := FreeBlock(octetOldServer, octetGateway)
		if err != nil {
			return nil, err
		}
		o.Block, o.Port = block, port
	}
	m := &Mail{}
	if err := m.start(ctx, o.filled()); err != nil {
		return nil, errors.Join(err, m.Stop())
	}
	return m, nil
}

func (o MailOptions) filled() MailOptions {
	at := func(a *netip.AddrPort, octet byte) {
		if !a.IsValid() {
			*a = netip.AddrPortFrom(netip.AddrFrom4([4]byte{o.Block[0], o.Block[1], o.Block[2], octet}), o.Port)
		}
	}
	at(&o.Exim.Addr, octetGateway)
	at(&o.Postfix.Addr, octetOldServer)
	text := func(s *string, otherwise string) {
		if *s == "" {
			*s = otherwise
		}
	}
	text(&o.Exim.Name, "gw.site.test")
	text(&o.Postfix.Name, "old.site.test")
	if !o.Exim.Old.IsValid() {
		o.Exim.Old = o.Postfix.Addr
	}
	if !o.Exim.Elsewhere.IsValid() {
		o.Exim.Elsewhere = o.Postfix.Addr
	}
	o.Exim.Domains = append(o.Exim.Domains, o.Domains...)
	o.Postfix.Domains = append(append(o.Postfix.Domains, o.Domains...), "probe.test")
	o.Postfix.Recipients = append(o.Postfix.Recipients, Prober)
	for _, d := range o.Domains {
		o.Postfix.Recipients = append(o.Postfix.Recipients, "info@"+d, "postmaster@"+d, "mxprobe@"+d)
	}
	if o.Postfix.Trusted == nil {
		o.Postfix.Trusted = []netip.Addr{o.Exim.Addr.Addr()}
	}
	return o
}

func (m *Mail) start(ctx context.Context, o MailOptions) (err error) {
	if m.Postfix, err = StartPostfix(ctx, o.Postfix); err != nil {
		return err
	}
	d := o.Dovecot
	if !d.Addr.IsValid() {
		port, err := freePortAt(o.Postfix.Addr.Addr())
		if err != nil {
			return err
		}
		d.Addr = netip.AddrPortFrom(o.Postfix.Addr.Addr(), port)
	}
	if d.User == "" {
		d.User, d.Password = Prober, Password
	}
	if d.Maildir == "" {
		d.Maildir = filepath.Join(m.Postfix.Mail, Maildir(Prober))
	}
	if m.Dovecot, err = StartDovecot(ctx, d); err != nil {
		return err
	}
	m.Exim, err = StartExim(ctx, o.Exim)
	return err
}

// Stop stops them all.
func (m *Mail) Stop() error {
	var err error
	if m.Exim != nil {
		err = errors.Join(err, m.Exim.Stop())
	}
	if m.Dovecot != nil {
		err = errors.Join(err, m.Dovecot.Stop())
	}
	if m.Postfix != nil {
		err = errors.Join(err, m.Postfix.Stop())
	}
	return err
}

// Maildir is the folder of an address's mailbox below the folder of all mail:
// domain/local. All of mxprobe's are one.
func Maildir(address string) string {
	i := strings.LastIndexByte(address, '@')
	local, domain := address[:i], address[i+1:]
	if local == "mxprobe" {
		domain = "probe.test"
	}
	return domain + "/" + local
}

// share makes files in the folder that anybody may read: these servers give up
// being root.
func (p *process) share(files map[string]string) error {
	if err := os.Chmod(p.dir, 0o755); err != nil { //nolint:gosec // others must enter
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o644); err != nil { //nolint:gosec // others must read
			return err
		}
	}
	return nil
}

// owned makes a folder that is a user's, in the server's own unless its path is
// whole.
func (p *process) owned(name, path string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return fmt.Errorf("%w; install %s", err, p.install)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.dir, path)
	}
	var made []string
	for at := path; ; at = filepath.Dir(at) {
		if _, err := os.Stat(at); err == nil || at == "/" {
			break
		}
		made = append(made, at)
	}
	if err := os.MkdirAll(path, 0o755); err != nil { //nolint:gosec // others must enter
		return err
	}
	for _, at := range append(slices.Clone(made), path) {
		if err := os.Chown(at, uid, gid); err != nil {
			return fmt.Errorf("%s must be started by root: %w", p.name, err)
		}
	}
	return nil
}

// greets waits until a server begins a conversation with the given words.
func (p *process) greets(ctx context.Context, addr netip.AddrPort, words string) error {
	return p.await(ctx, addr.String(), func(ctx context.Context) error {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr.String())
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
			return err
		}
		line := make([]byte, 200)
		n, err := conn.Read(line)
		if err == nil && !strings.HasPrefix(string(line[:n]), words) {
			err = fmt.Errorf("greets with %q", line[:n])
		}
		return err
	})
}

// freePortAt finds a port that is free at an address, for TCP.
func freePortAt(addr netip.Addr) (uint16, error) {
	a := addr.As4()
	for range 50 {
		port, err := FreePort()
		if err != nil {
			return 0, err
		}
		if free([3]byte{a[0], a[1], a[2]}, port, []byte{a[3]}) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port was found at %s", addr)
}

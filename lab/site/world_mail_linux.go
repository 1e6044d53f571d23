package site

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"time"
)

// everywhere lets a Postfix listen at all addresses of its host, and send from them.
const everywhere = "inet_interfaces = all\ninet_protocols = all\nsmtp_bind_address =\nsmtpd_peername_lookup = no\nmynetworks = 127.0.0.0/8 [::1]/128\n"

// anywhere is port 25 of all addresses of a host.
var anywhere = []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:25"), netip.MustParseAddrPort("[::]:25")}

// addresses are the valid ones of all domains that the site has mail for.
func (w *World) addresses() (out []string) {
	for _, d := range w.Hosted() {
		out = append(out, "info@"+d, "postmaster@"+d, "mxprobe@"+d)
	}
	return out
}

// mail starts the old server with its mailboxes, the gateway's nodes, and the mail
// server of everybody else.
func (w *World) mail(ctx context.Context) error {
	box, err := NewCertificate(24*time.Hour, OldHost, OldAddr.v4)
	if err != nil {
		return err
	}
	w.MailboxCA = box.CA
	err = w.Old.In(func() (err error) {
		o := PostfixOptions{
			Addr: anywhere[0], Also: anywhere[1:], Name: OldHost, Domains: append(w.Hosted(), "probe.test"), Recipients: append(w.addresses(), Prober),
			Main: everywhere + "relayhost = [" + SendersAddr.v4 + "]:25\nsmtpd_hard_error_limit = 20\n",
		}
		if w.Processes > 0 {
			o.Main += fmt.Sprintf("default_process_limit = %d\n", w.Processes)
		}
		if w.Postfix, err = StartPostfix(ctx, o); err != nil {
			return err
		}
		w.Dovecot, err = StartDovecot(ctx, DovecotOptions{
			Addr: OldAddr.at(143), TLSAddr: OldAddr.at(993), User: Prober, Password: Password, Certificate: box, Maildir: filepath.Join(w.Postfix.Mail, Maildir(Prober)),
		})
		return err
	})
	if err != nil {
		return err
	}
	shown, err := NewCertificate(60*24*time.Hour, GatewayHosts[:]...)
	if err != nil {
		return err
	}
	w.GatewayCA = shown.CA
	for i, space := range w.Gateways {
		err := space.In(func() (err error) {
			w.Exim[i], err = StartExim(ctx, EximOptions{
				Addr: GatewayAddr[i].at(25), Also: []netip.Addr{GatewayAddr[i].V6()}, Name: GatewayHosts[i], Domains: w.Hosted(), Recipients: w.addresses(),
				Old: OldAddr.at(25), Elsewhere: SendersAddr.at(25), Certificate: shown, Greylist: w.Greylisted,
				Routers: "probe:\n  driver = manualroute\n  domains = probe.test\n  route_list = * " + OldAddr.v4 + " byname\n  transport = to_old\n  self = send\n",
			})
			return err
		})
		if err != nil {
			return err
		}
	}
	return w.Senders.In(func() (err error) {
		w.Elsewhere, err = StartPostfix(ctx, PostfixOptions{
			Addr: anywhere[0], Also: anywhere[1:], Name: "mx." + SenderZone, Domains: []string{SenderZone}, CatchAll: true,
			Main: everywhere + "relayhost =\nsmtp_tls_security_level = may\nsmtp_connect_timeout = 10s\nminimal_backoff_time = 3s\nmaximal_backoff_time = 10s\nqueue_run_delay = 3s\n",
		})
		return err
	})
}

// Queued is how many messages wait at the senders' server, at the gateway's nodes, and
// at the old server.
func (w *World) Queued(ctx context.Context) (senders, gateway, old int, err error) {
	if senders, err = w.Elsewhere.Queued(ctx); err != nil {
		return senders, gateway, old, err
	}
	for _, x := range w.Exim {
		n, err := x.Queued(ctx)
		if err != nil {
			return senders, gateway, old, err
		}
		gateway += n
	}
	old, err = w.Postfix.Queued(ctx)
	return senders, gateway, old, err
}

// Drain waits until nothing is on its way any more.
func (w *World) Drain(ctx context.Context) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for empty := 0; empty < 2; { // between two queues a message is in both
		senders, gateway, old, err := w.Queued(ctx)
		switch {
		case err != nil:
			return err
		case senders+gateway+old == 0:
			empty++
		default:
			empty = 0
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("mail is still on its way: %d at the senders' server, %d at the gateway, %d at the old server: %w", senders, gateway, old, context.Cause(ctx))
		}
	}
	return nil
}

// ofTheSite tells whether an address is one of the site's own: its gateway's, its
// operator's, or the old server itself.
func ofTheSite(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || slices.ContainsFunc([]string{"192.0.2.0/24", "2001:db8:b::/48"}, func(p string) bool { return netip.MustParsePrefix(p).Contains(a) })
}

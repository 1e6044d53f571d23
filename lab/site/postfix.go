package site

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

// PostfixOptions say what a Postfix does: it is the old server, and delivers to
// Maildirs.
type PostfixOptions struct {
	Dir         string           // an empty folder of its own, that anybody may enter; "" = a temporary one, until Stop
	Addr        netip.AddrPort   // where it listens; any of 127.0.0.0/8
	Also        []netip.AddrPort // and there; Main says what else that needs
	Name        string           // with which it greets
	Domains     []string         // that it has mailboxes for; without final dots
	Recipients  []string         // the valid addresses
	Mail        string           // the folder below which DOMAIN/LOCAL is a Maildir; "" = mail in its own
	Trusted     []netip.Addr     // that may relay
	Certificate Certificate      // for STARTTLS; zero = not offered
	Size        int64            // the largest message, in octets; 0 = 10 MiB
	Main        string           // more lines of main.cf; the last of a name counts

	// Ways to break an old server.
	CatchAll  bool     // it takes any recipient of its domains
	OpenRelay bool     // it takes any recipient at all
	Burst     int      // so many messages it takes from one address in a minute; 0 = any number
	Forged    []string // sender domains that it refuses from everybody, as it would by their SPF if it did not trust the gateway
	Mangled   bool     // it takes the Received lines away
	Full      bool     // it defers every delivery to a mailbox
	Bounces   []string // addresses that it takes at RCPT, and refuses when it delivers
}

// Postfix is a running Postfix. Its log is in the folder: maillog.
type Postfix struct {
	PostfixOptions
	process
	Owner string // the user whose the Maildirs are
}

// mailUser owns the Maildirs.
const (
	mailUser = "nobody"
	mailID   = 65534
)

const postfixMain = `compatibility_level = 3.6
queue_directory = {{.Dir}}/spool
data_directory = {{.Dir}}/data
maillog_file = {{.Dir}}/maillog
maillog_file_prefixes = {{.Dir}}
myhostname = {{.Name}}
mydestination =
mynetworks = {{range .Trusted}}{{.}}/32 {{else}}192.0.2.255/32{{end}}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_bind_address = {{.Addr.Addr}}
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains ={{range .Domains}} {{.}}{{end}}
virtual_mailbox_base = {{.Mail}}
virtual_mailbox_maps = texthash:{{.Dir}}/mailboxes
virtual_uid_maps = static:{{.ID}}
virtual_gid_maps = static:{{.ID}}
virtual_minimum_uid = 100
virtual_alias_maps = texthash:{{.Dir}}/aliases
transport_maps = texthash:{{.Dir}}/transports
smtpd_relay_restrictions = {{if .OpenRelay}}permit{{else}}permit_mynetworks, reject_unauth_destination{{end}}
smtpd_recipient_restrictions = reject_unlisted_recipient
smtpd_sender_restrictions = check_sender_access texthash:{{.Dir}}/senders
smtpd_client_message_rate_limit = {{.Burst}}
smtpd_client_event_limit_exceptions =
smtpd_tls_security_level = {{if .Certificate.Given}}may
smtpd_tls_chain_files = {{.Dir}}/server.pem{{else}}none{{end}}
message_size_limit = {{with .Size}}{{.}}{{else}}10485760{{end}}
mailbox_size_limit = 0
virtual_mailbox_limit = 0
minimal_backoff_time = 2s
maximal_backoff_time = 5s
queue_run_delay = 2s
anvil_rate_time_unit = 60s
disable_vrfy_command = yes
biff = no
{{if .Mangled}}header_checks = regexp:{{.Dir}}/headers
{{end}}{{.Main}}`

const postfixMaster = `{{.Addr}} inet n - n - - smtpd
{{range .Also}}{{.}} inet n - n - - smtpd
{{end}}pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

// ID is the user and group of the Maildirs.
func (o PostfixOptions) ID() int { return mailID }

// StartPostfix starts Postfix and waits until it greets. It must be started by
// root.
func StartPostfix(ctx context.Context, o PostfixOptions) (*Postfix, error) {
	p := &Postfix{PostfixOptions: o, Owner: mailUser, process: process{name: "postfix", install: "postfix", group: true, logs: []string{"postfix.out", "maillog"}}}
	if err := p.started(p.start(ctx)); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Postfix) start(ctx context.Context) error {
	var err error
	if p.Dir, err = p.folder(p.Dir); err != nil {
		return err
	}
	if p.Mail == "" {
		p.Mail = filepath.Join(p.Dir, "mail")
	}
	if err := p.configure(); err != nil {
		return err
	}
	for _, made := range []struct{ user, path string }{{"root", "spool"}, {"postfix", "data"}, {mailUser, p.Mail}} {
		if err := p.owned(made.user, made.path); err != nil {
			return err
		}
	}
	if err := p.run(ctx, "", "postfix", "-c", p.Dir, "check"); err != nil {
		return err
	}
	return p.begin(ctx)
}

// configure writes what Postfix reads.
func (p *Postfix) configure() error {
	var main, master bytes.Buffer
	if err := template.Must(template.New("").Parse(postfixMain)).Execute(&main, p.PostfixOptions); err != nil {
		return err
	}
	if err := template.Must(template.New("").Parse(postfixMaster)).Execute(&master, p.PostfixOptions); err != nil {
		return err
	}
	var boxes, aliases, transports, senders strings.Builder
	transports.WriteString("closed.invalid error:5.2.1 this mailbox is closed\nfull.invalid retry:4.2.2 this mailbox is full\n")
	for _, a := range p.Recipients {
		if p.Full {
			aliases.WriteString(a + " nobody@full.invalid\n")
		}
		boxes.WriteString(a + " " + Maildir(a) + "/\n")
	}
	for _, a := range p.Bounces {
		aliases.WriteString(a + " nobody@closed.invalid\n")
	}
	for _, d := range p.Domains {
		if p.CatchAll {
			boxes.WriteString("@" + d + " " + d + "/all/\n")
		}
	}
	for _, d := range p.Forged {
		senders.WriteString(d + " REJECT 5.7.23 SPF says that you may not send for this domain\n")
	}
	return p.share(map[string]string{
		"main.cf": main.String(), "master.cf": master.String(), "mailboxes": boxes.String(), "aliases": aliases.String(), "transports": transports.String(),
		"senders": senders.String(), "headers": "/^Received:/ IGNORE\n", "server.pem": string(p.Certificate.Key) + string(p.Certificate.Chain),
	})
}

func (p *Postfix) begin(ctx context.Context) error {
	// Not "postfix start-fg": that leaves its process group, and could not be ended.
	master, err := exec.CommandContext(ctx, find("postconf"), "-c", p.Dir, "-h", "daemon_directory").Output()
	if err != nil {
		return fmt.Errorf("postconf: %w; install %s", err, p.install)
	}
	if err := p.launch(filepath.Join(string(bytes.TrimSpace(master)), "master"), "-d", "-c", p.Dir); err != nil {
		return err
	}
	return p.greets(ctx, p.Addr, "220 ")
}

// Log is the path of its log.
func (p *Postfix) Log() string { return filepath.Join(p.Dir, "maillog") }

// Restart starts it again after Kill, on the queue that it left.
func (p *Postfix) Restart(ctx context.Context) error { return p.begin(ctx) }

// Queued is how many messages are in its queue.
func (p *Postfix) Queued(context.Context) (n int, err error) {
	for _, queue := range []string{"maildrop", "incoming", "active", "deferred", "hold"} {
		err := filepath.WalkDir(filepath.Join(p.Dir, "spool", queue), func(_ string, d fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist): // it was moved meanwhile
				return nil
			case err == nil && !d.IsDir():
				n++
			}
			return err
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

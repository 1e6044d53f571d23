package site

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"text/template"
)

// DovecotOptions say which mailbox a Dovecot shows.
type DovecotOptions struct {
	Dir            string         // an empty folder of its own, that anybody may enter; "" = a temporary one, until Stop
	Addr           netip.AddrPort // where it speaks IMAP; any of 127.0.0.0/8
	User, Password string
	Maildir        string         // the folder that is the user's INBOX
	Certificate    Certificate    // for STARTTLS; zero = not offered
	TLSAddr        netip.AddrPort // where it speaks TLS from the first byte, with the Certificate; zero = nowhere
	Poor           bool           // it says that it has no IDLE, no UIDPLUS, no IMAP extension at all
}

// Dovecot is a running Dovecot.
type Dovecot struct {
	DovecotOptions
	process
}

const dovecotConf = `base_dir = {{.Dir}}/run
state_dir = {{.Dir}}/run
log_path = {{.Dir}}/dovecot.log
protocols = imap
listen = {{.Addr.Addr}}
ssl = {{if .Certificate.Given}}yes
ssl_cert = <{{.Dir}}/server.crt
ssl_key = <{{.Dir}}/server.key{{else}}no{{end}}
disable_plaintext_auth = no
mail_location = maildir:{{.Maildir}}
first_valid_uid = 100
{{if .Poor}}imap_capability = IMAP4rev1
{{end}}passdb {
  driver = passwd-file
  args = scheme=PLAIN {{.Dir}}/users
}
userdb {
  driver = static
  args = uid={{.ID}} gid={{.ID}} home={{.Maildir}}
}
service imap-login {
  inet_listener imap {
    address = {{.Addr.Addr}}
    port = {{.Addr.Port}}
  }
  inet_listener imaps {
{{if .TLSAddr.IsValid}}    address = {{.TLSAddr.Addr}}
    port = {{.TLSAddr.Port}}
    ssl = yes
{{else}}    port = 0
{{end}}  }
}
`

// ID is the user and group of the Maildir.
func (o DovecotOptions) ID() int { return mailID }

// StartDovecot starts Dovecot and waits until it greets. It must be started by
// root.
func StartDovecot(ctx context.Context, o DovecotOptions) (*Dovecot, error) {
	d := &Dovecot{DovecotOptions: o, process: process{name: "dovecot", install: "dovecot-imapd", group: true, logs: []string{"dovecot.out", "dovecot.log"}}}
	if err := d.started(d.start(ctx)); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *Dovecot) start(ctx context.Context) error {
	var err error
	if d.Dir, err = d.folder(d.Dir); err != nil {
		return err
	}
	var conf bytes.Buffer
	if err := template.Must(template.New("").Parse(dovecotConf)).Execute(&conf, d.DovecotOptions); err != nil {
		return err
	}
	if err := d.share(map[string]string{
		"dovecot.conf": conf.String(), "users": d.User + ":" + d.Password + "\n",
		"server.crt": string(d.Certificate.Chain), "server.key": string(d.Certificate.Key),
	}); err != nil {
		return err
	}
	if err := d.owned(mailUser, d.Maildir); err != nil {
		return err
	}
	return d.begin(ctx)
}

func (d *Dovecot) begin(ctx context.Context) error {
	if err := d.launch("dovecot", "-F", "-c", filepath.Join(d.Dir, "dovecot.conf")); err != nil {
		return err
	}
	return d.greets(ctx, d.Addr, "* OK ")
}

// Restart starts it again after Kill.
func (d *Dovecot) Restart(ctx context.Context) error { return d.begin(ctx) }

// Renumber takes away the list of UIDs: at the next SELECT the mailbox has another
// UIDVALIDITY (RFC 3501 section 2.3.1.1).
func (d *Dovecot) Renumber() error {
	old, err := filepath.Glob(filepath.Join(d.Maildir, "dovecot*"))
	for _, f := range old {
		if e := os.RemoveAll(f); e != nil {
			err = e
		}
	}
	return err
}

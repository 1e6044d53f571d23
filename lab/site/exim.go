package site

import (
	"bytes"
	"context"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

// eximCache is where scripts/servers unpacks Exim: its package does not suffer
// Postfix beside it.
const eximCache = "/var/cache/mxcutover/exim/usr/sbin"

// EximOptions say what an Exim does. With an old server it is a gateway; without,
// it delivers to Maildirs itself.
type EximOptions struct {
	Dir         string         // an empty folder of its own, that anybody may enter; "" = a temporary one, until Stop
	Addr        netip.AddrPort // where it listens, and from which address it forwards; any of 127.0.0.0/8
	Also        []netip.Addr   // more addresses where it listens, at the same port
	Name        string         // with which it greets
	Domains     []string       // that it relays for; without final dots
	Old         netip.AddrPort // to which it forwards; zero = it is an old server itself
	Elsewhere   netip.AddrPort // where mail for all other domains goes, its bounces among it; zero = nowhere
	Recipients  []string       // the valid addresses; none = it asks the old server, by a callout
	Certificate Certificate    // for STARTTLS; zero = not offered
	Size        int64          // the largest message, in octets; 0 = 10 MiB
	Mail        string         // of an old server: the folder below which DOMAIN/LOCAL is a Maildir; "" = mail in its own
	Routers     string         // more routers, before its own
	Selector    string         // what more it logs, as log_selector has it: "+all"
	Lists       string         // more lines of the main section, before its own

	// Ways to break a gateway.
	Unverified bool // it takes any recipient of its domains
	OpenRelay  bool // it takes any recipient at all
	Untagged   bool // it lets spam pass for clean
	TagsAll    bool // it takes everything for spam
	Refuses    bool // it refuses spam at the end of DATA: not a fault
	Mangled    bool // its Received lines tell neither names nor addresses
	Frozen     bool // what it takes stays in its queue, until Flush
	NoUTF8     bool // it does not offer SMTPUTF8

	// Domains for which the first try of an address, sender and recipient is deferred, with
	// * for all: not a fault.
	Greylist []string
}

// Exim is a running Exim. See Log.
type Exim struct {
	EximOptions
	process
}

const eximConf = `primary_hostname = {{.Name}}
spool_directory = {{.Dir}}/spool
log_file_path = {{.Dir}}/log/%slog
log_selector = +deliver_time +queue_time +received_recipients +incoming_interface +incoming_port +smtp_confirmation {{.Selector}}
pid_file_path = {{.Dir}}/spool/exim.pid
exim_path = {{.Program}}
exim_user = Debian-exim
exim_group = Debian-exim
never_users =
deliver_drop_privilege = true
keep_environment =
local_interfaces = <; {{.Addr.Addr}}{{range .Also}} ; {{.}}{{end}}
daemon_smtp_ports = {{.Addr.Port}}
smtp_accept_max = 200
tls_advertise_hosts = {{if .Certificate.Given}}*
tls_certificate = {{.Dir}}/server.crt
tls_privatekey = {{.Dir}}/server.key{{end}}
smtputf8_advertise_hosts = {{if not .NoUTF8}}*{{end}}
rfc1413_hosts =
host_lookup =
message_size_limit = {{with .Size}}{{.}}{{else}}10M{{end}}
message_body_visible = 20000
{{if .Mangled}}received_header_text = Received: by a gateway; $tod_full
{{end}}{{if .Frozen}}queue_only = true
{{end}}{{.Lists}}
domainlist relayed = lsearch;{{.Dir}}/domains
domainlist local_domains = {{if not .Old.IsValid}}+relayed{{end}}
acl_smtp_rcpt = rcpt
acl_smtp_data = data

begin acl
rcpt:
{{if not .OpenRelay}}  deny !domains = +relayed
       message = 550 5.7.1 relaying is not permitted
{{if not .Unverified}}  deny {{if not .Old.IsValid}}!verify = recipient
       message = 550 5.1.1 there is no such address
{{else if .Recipients}}condition = ${lookup{$local_part@$domain}lsearch{{"{"}}{{.Dir}}/recipients}{no}{yes}}
       message = 550 5.1.1 there is no such address
{{else}}!verify = recipient/callout=20s,no_cache
       message = 550 5.1.1 $acl_verify_message
{{end}}{{end}}{{end}}{{if .Greylist}}  defer domains = {{range $i, $d := .Greylist}}{{if $i}} : {{end}}{{$d}}{{end}}
        set acl_m_triple = {{.Dir}}/spool/grey-${md5:$sender_host_address $sender_address $local_part@$domain}
        !condition = ${if exists{$acl_m_triple}}
        set acl_m_seen = ${run{/usr/bin/touch $acl_m_triple}}
        message = 451 4.7.1 not seen before; please try again later
{{end}}  accept
data:
  warn remove_header = X-Spam-Flag
{{if not .Untagged}}  warn set acl_m_spam = no
  warn {{if not .TagsAll}}condition = ${if match{$message_body}{\N{{.GTUBE}}\N}}
       {{end}}set acl_m_spam = yes
{{if .Refuses}}  deny condition = $acl_m_spam
       message = 550 5.7.1 this is spam
{{end}}  warn add_header = X-Spam-Flag: ${uc:$acl_m_spam}
{{end}}  accept

begin routers
{{.Routers}}{{if .Old.IsValid}}old:
  driver = manualroute
  domains = +relayed
  route_list = * {{.Old.Addr}} byname
  transport = to_old
  self = send
  no_more
{{else}}mailbox:
  driver = accept
  domains = +relayed
  condition = ${lookup{$local_part@$domain}lsearch{{"{"}}{{.Dir}}/recipients}{yes}{no}}
  address_data = ${lookup{$local_part@$domain}lsearch{{"{"}}{{.Dir}}/recipients}}
  transport = maildir
nobody:
  driver = redirect
  domains = +relayed
  allow_fail
  data = :fail: there is no such address
{{end}}{{if .Elsewhere.IsValid}}elsewhere:
  driver = manualroute
  route_list = * {{.Elsewhere.Addr}} byname
  transport = to_elsewhere
  self = send
{{end}}
begin transports
to_old:
  driver = smtp
  port = {{.Old.Port}}
  interface = {{.Addr.Addr}}
  allow_localhost
  hosts_avoid_tls = *
to_elsewhere:
  driver = smtp
  port = {{.Elsewhere.Port}}
  interface = {{.Addr.Addr}}
  allow_localhost
  hosts_avoid_tls = *
maildir:
  driver = appendfile
  user = Debian-exim
  maildir_format
  directory = {{.Mail}}/$address_data
  create_directory
  delivery_date_add
  envelope_to_add
  return_path_add

begin retry
* * F,2h,1s
`

// gtube is the text that every spam filter takes for spam, as a pattern.
const gtube = `XJS\*C4JDBQADN1\.NSBN3\*2IDNEN\*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL\*C\.34X`

// Program is where Exim is.
func (o EximOptions) Program() string { return find("exim4") }

// GTUBE is what spam is known by.
func (o EximOptions) GTUBE() string { return gtube }

// StartExim starts Exim and waits until it greets. It must be started by root.
func StartExim(ctx context.Context, o EximOptions) (*Exim, error) {
	x := &Exim{EximOptions: o, process: process{name: "exim", install: "it with scripts/servers", group: true, logs: []string{"exim.out", "log/mainlog", "log/paniclog"}}}
	if err := x.started(x.start(ctx)); err != nil {
		return nil, err
	}
	return x, nil
}

func (x *Exim) start(ctx context.Context) error {
	var err error
	if x.Dir, err = x.folder(x.Dir); err != nil {
		return err
	}
	if x.Mail == "" {
		x.Mail = filepath.Join(x.Dir, "mail")
	}
	var conf bytes.Buffer
	if err := template.Must(template.New("").Parse(eximConf)).Execute(&conf, x.EximOptions); err != nil {
		return err
	}
	if err := x.share(map[string]string{
		"exim.conf": conf.String(), "domains": keys(x.Domains), "recipients": recipients(x.Recipients),
		"server.crt": string(x.Certificate.Chain), "server.key": string(x.Certificate.Key),
	}); err != nil {
		return err
	}
	for _, made := range []string{"spool", "log", x.Mail} {
		if err := x.owned("Debian-exim", made); err != nil {
			return err
		}
	}
	if err := x.run(ctx, "", "exim4", x.args("-bV")...); err != nil {
		return err
	}
	return x.begin(ctx)
}

func (x *Exim) begin(ctx context.Context) error {
	often := []string{"-bdf", "-q1s"}
	if x.Frozen {
		often = often[:1]
	}
	if err := x.launch("exim4", x.args(often...)...); err != nil {
		return err
	}
	return x.greets(ctx, x.Addr, "220 ")
}

// Restart starts it again after Kill, on the queue that it left.
func (x *Exim) Restart(ctx context.Context) error { return x.begin(ctx) }

// Log is the path of its main log.
func (x *Exim) Log() string { return filepath.Join(x.Dir, "log", "mainlog") }

// Flush tries everything in its queue now.
func (x *Exim) Flush(ctx context.Context) error { return x.run(ctx, "", "exim4", x.args("-qff")...) }

// Queued is how many messages are in its queue.
func (x *Exim) Queued(ctx context.Context) (int, error) {
	out, err := exec.CommandContext(ctx, x.Program(), x.args("-bpr")...).Output()
	return strings.Count(string(out), "<"), err
}

func (x *Exim) args(more ...string) []string {
	return append([]string{"-C", filepath.Join(x.Dir, "exim.conf")}, more...)
}

// keys are the lines of a file for lsearch whose values are its keys.
func keys(names []string) string {
	var b strings.Builder
	for _, n := range names {
		b.WriteString(n + ": " + n + "\n")
	}
	return b.String()
}

// recipients is a file for lsearch: address -> its Maildir's folder.
func recipients(addresses []string) string {
	var b strings.Builder
	for _, a := range addresses {
		b.WriteString(a + ": " + Maildir(a) + "\n")
	}
	return b.String()
}

package config

import (
	"net/netip"
	"slices"
	"time"

	"mxcutover/secret"
)

// A Resolver is a caching DNS server and the view that it shows.
type Resolver struct {
	View string         // "public", "inside"
	Addr netip.AddrPort // the port is ports.dns unless it was written
}

// A Vantage is a place to ask and probe from, instead of here: by a local address,
// or through an SSH host; exactly one of the two.
type Vantage struct {
	Name       string     `yaml:"name,required"`
	Source     netip.Addr `yaml:"source"`                // the local address of its connections
	SSH        SSHHost    `yaml:"ssh"`                   // "user@host:port"; its connections go out there
	Identity   secret.Ref `yaml:"identity"`              // the private key for it; none = ssh-agent and the usual files
	Passphrase secret.Ref `yaml:"passphrase"`            // of the identity, if it has one
	KnownHosts string     `yaml:"known_hosts" is:"path"` // file of host keys; "" = ~/.ssh/known_hosts and the system's
	Inside     bool       `yaml:"inside"`                // the gateway trusts it, so that nothing is known from there of what it does for others
}

// DKIM is about the keys with which the domains' mail is signed.
type DKIM struct {
	Selectors []string `yaml:"selectors,nonempty" is:"selector"` // at which keys are looked for; none = DKIM is not looked at
}

// HTTPS is about the domains' MTA-STS policies.
type HTTPS struct {
	CA string `yaml:"ca" is:"path"` // PEM file of an authority to trust besides the system's; "" = none
}

// Probe is about the messages that prove the way to the mailbox.
type Probe struct {
	From          string         `yaml:"from,required" is:"address"` // envelope sender; its domain never moves
	Recipients    Recipients     `yaml:"recipients,required"`
	Failures      int            `yaml:"failures"`             // so many in a row fail a domain; default 3
	OnFailure     string         `yaml:"on_failure"`           // rollback or hold; default rollback
	Concurrency   int            `yaml:"concurrency"`          // SMTP conversations with one address at once; default 4
	Interval      time.Duration  `yaml:"interval"`             // between a domain's probes while it soaks; default 5m
	Timeout       time.Duration  `yaml:"timeout"`              // for each reply, and for the arrival; default 5m
	GreylistRetry time.Duration  `yaml:"greylist_retry"`       // after a 4xx reply; default 5m
	CatchAll      bool           `yaml:"expect" is:"catchall"` // written "expect: catchall": the gateway accepts any recipient of all domains
	CatchAlls     []string       `yaml:"catch_all" is:"name"`  // domains of which any address is valid, at the old server too
	RandomPerHour int            `yaml:"random_per_hour"`      // addresses made up by chance that one gateway's address is asked for in an hour; default 1000
	Largest       int64          `yaml:"largest"`              // bytes of the largest message that must pass; 0 = what the old server takes
	CA            string         `yaml:"ca" is:"path"`         // PEM file of authorities of the gateway's certificates, besides the system's
	Arrival       Arrival        `yaml:"arrival"`
	Bounces       Bounces        `yaml:"bounces"`
	SpamMarks     []string       `yaml:"spam_marks,nonempty"`        // header fields by which the gateway marks spam; default X-Spam-Flag: YES and X-Spam-Status: Yes
	GatewaySends  []netip.Prefix `yaml:"gateway_sends,nonempty"`     // from where the gateway hands mail on, besides the addresses of its MX hosts; a bare address is a network of one
	StrictSender  string         `yaml:"strict_sender" is:"address"` // its SPF lets the vantage send, and nobody else; "" = the old server's trust in the gateway is not tried
}

// Recipients says to which address of a domain a probe goes: exactly one of
// the three.
type Recipients struct {
	File       string `yaml:"file" is:"path"`       // lines "domain address"
	Postmaster bool   `yaml:"postmaster"`           // postmaster@domain
	Rewrite    string `yaml:"rewrite" is:"mailbox"` // this local part at every domain, one mailbox behind a rule
}

// Arrival says where arriving probes are seen, at the first of several; without it
// arrival is unknown.
type Arrival struct {
	IMAP    *IMAP  `yaml:"imap"`              // the mailbox of the recipients
	Maildir string `yaml:"maildir" is:"path"` // the mailbox as a local folder
	Log     string `yaml:"log" is:"path"`     // the old server's: Exim's main log or Postfix's
}

// Bounces says where bounces of probes are seen: in the mailbox of their sender.
type Bounces struct {
	IMAP *IMAP `yaml:"imap"` // nil = they are not watched for
}

// IMAP is the mailbox of the probes.
type IMAP struct {
	Address  string     `yaml:"address,required" is:"hostport"` // "host:port"
	User     string     `yaml:"user,required"`                  // who signs in
	Password secret.Ref `yaml:"password,required"`              // theirs
	TLS      string     `yaml:"tls"`                            // implicit, starttls, or none (only on a loopback address); default implicit
	CA       string     `yaml:"ca" is:"path"`                   // PEM file of the authority to trust; "" = the system's
}

// Isolate is about closing the old server.
type Isolate struct {
	Driver        string         `yaml:"driver,required"`       // local: nftables of this machine; ssh: of another; script: a person loads the rules; lab: an embedded world
	Host          SSHHost        `yaml:"host"`                  // ssh: the old server, "user@host:port"; who is not root must be able to: sudo -n
	Identity      secret.Ref     `yaml:"identity"`              // ssh: the private key; none = ssh-agent and the usual files
	Passphrase    secret.Ref     `yaml:"passphrase"`            // ssh: of the identity, if it has one
	KnownHosts    string         `yaml:"known_hosts" is:"path"` // ssh: file of host keys; "" = ~/.ssh/known_hosts and the system's
	Via           *Jump          `yaml:"via"`                   // ssh: the host through which the old server is reached; nil = directly
	Socket        string         `yaml:"socket" is:"path"`      // lab: its firewall's, required there
	BootFile      string         `yaml:"boot_file" is:"path"`   // local, ssh: rules that survive a restart; default /etc/mxcutover/isolate.nft
	Ports         []uint16       `yaml:"ports,nonempty"`        // to be closed, never 22; default ports.smtp
	Stages        [][]uint16     `yaml:"stages,nonempty"`       // more ports, each set closed once the one before is for good: [[465, 587], [993]]; default none
	Trust         []netip.Prefix `yaml:"trust,nonempty"`        // still let in: the gateway's nodes, monitoring; a bare address is a network of one
	Action        string         `yaml:"action"`                // reject, drop, or with driver: script redirect; default reject
	RedirectTo    []netip.Addr   `yaml:"redirect_to,nonempty"`  // action redirect: the gateway's addresses that get the connections, one of each family that the old server has
	WaysIn        []string       `yaml:"ways_in,nonempty"`      // script: "address:port" at which SSH opens, from here or a vantage; default port 22 of old.addresses; "none" = from nowhere, as a person says
	After         time.Duration  `yaml:"after"`                 // from the last domain's going live; default 168h
	ConfirmWithin time.Duration  `yaml:"confirm_within"`        // the kernel opens the ports again unless that is renewed; script: the person is told to; default 10m
	ConfirmAfter  time.Duration  `yaml:"confirm_after"`         // no earlier than this after arming, as a sender may wait for its 250 (RFC 5321 section 4.5.3.2.6); default 10m
	AutoLift      bool           `yaml:"auto_lift"`             // open it again when a live domain's MX leads back to it; default false: that is told, and a person decides

	LookBack     time.Duration  `yaml:"look_back"`             // how far the old server's log is looked back over for names that had mail, users, and whom the rules would cut off; default 720h
	Acknowledged []netip.Prefix `yaml:"acknowledged,nonempty"` // sources that may be cut off though they send mail; a bare address is a network of one
	Abandoned    []string       `yaml:"abandoned" is:"name"`   // names that the plan does not move, and whose mail at the old server may end
	Blind        bool           `yaml:"blind"`                 // close it though no log of the old server can be read (traffic.logs); default false
}

// noWayIn is the word for a machine at which SSH opens from no vantage.
const noWayIn = "none"

// SSH is where SSH opens at the old server, besides port 22 of its addresses if there
// is none; unseen: a person has said that it opens from no vantage.
func (i *Isolate) SSH() (at []netip.AddrPort, unseen bool) {
	for _, s := range i.WaysIn {
		if ap, err := netip.ParseAddrPort(s); err == nil {
			at = append(at, ap)
		}
	}
	return at, slices.Contains(i.WaysIn, noWayIn)
}

// A Jump is an SSH host through which another one is reached. It shows its own key,
// and so does the other.
type Jump struct {
	Host       SSHHost    `yaml:"host,required"`         // "user@host" or "user@host:port"
	Identity   secret.Ref `yaml:"identity"`              // none = ssh-agent and the usual files
	Passphrase secret.Ref `yaml:"passphrase"`            // of the identity, if it has one
	KnownHosts string     `yaml:"known_hosts" is:"path"` // "" = ~/.ssh/known_hosts and the system's
}

// Notify says who is told of what needs a person.
type Notify struct {
	Command []string `yaml:"command,nonempty"` // program and arguments; none = nobody
}

// State says where the journal is.
type State struct {
	Path string `yaml:"path" is:"path"` // default /var/lib/mxcutover/<migration>.db
	Main string `yaml:"-"`              // where the migration's own is, if a command has put another in Path
}

// Ports are those of all DNS and SMTP servers asked.
type Ports struct {
	DNS  uint16 `yaml:"dns"`  // default 53
	SMTP uint16 `yaml:"smtp"` // default 25

	HTTPS uint16 `yaml:"https"` // of MTA-STS policies; default 443
}

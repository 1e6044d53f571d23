//go:build site

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	real "mxcutover/lab/site"
)

// siteConfig is that of a real site, but for its waits.
const siteConfig = `migration: site
old: {hosts: [mail.old.test, mx2.old.test], addresses: [%[1]s, "%[2]s"]}
mx: {records: [{preference: 10, host: gw1.gw.test}, {preference: 20, host: gw2.gw.test}]}
providers:
  campus:
    kind: rfc2136
    view: public
    zones: [%[3]s]
    settings: {server: "%[4]s:53", key_name: mxcutover, key_alg: hmac-sha256, key: {file: tsig.key}}
  within:
    kind: rfc2136
    view: inside
    compare_only: true
    zones: [%[5]s]
    settings: {server: "%[4]s:53", key_name: inside, key_alg: hmac-sha256, key: {file: inside.key}}
traffic: {logs: [%[6]s], gateway_logs: [%[7]s, %[8]s], real: {quiet: 30s}}
waves: {first: 3, growth: 4, pin: {pilot: [d10.test, d30.test, lists.d05.test]}}
gate: {approve: manual, soak: 8s}
ttl: {low: 5s, prepare: all, assume: 20s, settle_after: 3s}
resolvers: {public: [%[9]s], inside: [%[10]s]}
dns: {rate: 10000, anchors: [%[11]q]}
vantages:
  - {name: outside, ssh: root@%[12]s, identity: {file: identity}, known_hosts: known_hosts}
  - {name: campus, source: %[13]s, inside: true}
  - {name: campus6, source: "%[16]s", inside: true}
outbound: [%[1]s]
probe:
  from: mxprobe@probe.test
  ca: gateway-ca.pem
  recipients: {rewrite: mxprobe}
  failures: 3
  interval: 3s
  timeout: 60s
  greylist_retry: 2s
  random_per_hour: 100000
  arrival: {imap: {address: "%[1]s:993", user: mxprobe@probe.test, password: {file: imap.password}, tls: implicit, ca: mailbox-ca.pem}}
  bounces: {imap: {address: "%[1]s:993", user: mxprobe@probe.test, password: {file: imap.password}, tls: implicit, ca: mailbox-ca.pem}}
  spam_marks: ["X-Spam-Flag: YES"]
  strict_sender: mxprobe@probe.test
isolate:
  driver: ssh
  host: root@%[1]s
  identity: {file: identity}
  known_hosts: known_hosts
  boot_file: %[14]s
  ports: [25]
  trust: [%[15]s]
  after: 5s
  confirm_within: 60s
  confirm_after: 5s
  look_back: 20s
state: {path: state/site.db}
`

func (s *story) config() string { return filepath.Join(s.dir, "mxcutover.yaml") }

// configure writes the operator's files.
func (s *story) configure() {
	s.Helper()
	var trust []string
	for _, g := range real.GatewayAddr {
		trust = append(trust, g.V4().String()+"/32", `"`+g.V6().String()+`/128"`)
	}
	moving := slices.Clone(s.w.Zones)
	text := fmt.Sprintf(siteConfig, real.OldAddr.V4(), real.OldAddr.V6(), strings.Join(moving, ", "), real.PrimaryAddr.V4(), strings.Join(s.w.Split, ", "),
		s.w.Postfix.Log(), s.w.Exim[0].Log(), s.w.Exim[1].Log(), real.ResolverAddr.V4(), real.InsideAddr.V4(), s.w.Anchor,
		real.VantageAddr.V4(), real.OperatorAddr.V4(), filepath.Join(s.dir, "isolate.nft"), strings.Join(trust, ", "), real.OperatorAddr.V6())
	known := ""
	for host, key := range map[string]string{real.VantageAddr.V4().String(): s.w.VantageSSH.Host, real.OldAddr.V4().String(): s.w.OldSSH.Host} {
		parsed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(key))
		if err != nil {
			s.Fatal(err)
		}
		known += knownhosts.Line([]string{host}, parsed) + "\n"
	}
	if err := os.MkdirAll(filepath.Join(s.dir, "state"), 0o700); err != nil {
		s.Fatal(err)
	}
	for name, text := range map[string]string{
		"mxcutover.yaml": text, "tsig.key": s.w.Key.Secret, "inside.key": s.w.InsideKey.Secret, "imap.password": real.Password, "known_hosts": known,
		"gateway-ca.pem": string(s.w.GatewayCA), "mailbox-ca.pem": string(s.w.MailboxCA),
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			s.Fatal(err)
		}
	}
}

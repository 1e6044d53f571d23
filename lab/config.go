package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// configText is the configuration of a migration in the lab: that of a real one,
// but with waits of seconds instead of days.
const configText = `# A migration within the lab. Everything here is on loopback addresses.
migration: demo
old: {hosts: [{{.Old.Name}}], addresses: [{{.Old.Addr}}]}
mx:
  records: [{{range $i, $g := .Gateways}}{{if $i}}, {{end}}{preference: {{preference $i}}, host: {{$g.Name}}}{{end}}]
  keep: []
providers:
  lab:
    kind: rfc2136
    zones: [{{join .Zones ", "}}]
    settings: {server: "{{.NS1}}:{{.DNSPort}}", key_name: {{.Key.Name}}, key_alg: {{.Key.Algorithm}}, key: {file: {{quote .KeyFile}}}}
domains: {include: ["*"], exclude: []}
traffic: {table: {{quote .Traffic}}, gateway_logs: [{{quote .Log}}], real: {quiet: 1s}}
waves: {first: 3, growth: 2, max: 500}
gate: {approve: manual, soak: 3s, failures: 1, shared: 3}
ttl: {low: 1s, prepare: all, assume: {{.TTL}}, settle_after: 2s}
preflight: {lifetime: 5m}
resolvers: {public: ["{{.Resolver}}:{{.DNSPort}}"]}
dns: {rate: 10000, anchors: [{{quote .Anchor}}]}
outbound: [{{.Old.Addr}}]
vantages: [{name: outside, source: {{.Vantage}}}]
probe:
  from: {{.ProbeFrom}}
  ca: {{quote .CAFile}}
  recipients: {rewrite: {{.User}}}
  failures: 2
  on_failure: rollback
  interval: 1s
  timeout: 10s
  greylist_retry: 1s
  arrival: {imap: {address: "{{.IMAP}}", user: {{.User}}, password: {file: {{quote .PasswordFile}}}, tls: none}}
  bounces: {imap: {address: "{{.IMAP}}", user: {{.User}}, password: {file: {{quote .PasswordFile}}}, tls: none}}
  strict_sender: {{.ProbeFrom}}
isolate:
  driver: lab
  socket: {{quote .Firewall}}
  ports: [{{.SMTPPort}}]
  trust: [{{range $i, $g := .Gateways}}{{if $i}}, {{end}}{{$g.Addr}}/32{{end}}]
  after: 2s
  confirm_within: 20s
  confirm_after: 3s
  blind: true
state: {path: {{quote .State}}}
ports: {dns: {{.DNSPort}}, smtp: {{.SMTPPort}}}
`

// WriteConfig writes mxcutover.yaml into a directory, and beside it what it
// names: tsig.key and imap.password, for their owner alone, authority.pem, traffic.txt with a
// line "domain messages" for each domain, the directory state, and gateway.log, to
// which the gateway logs from now on. It gives the path of the configuration.
func (w *World) WriteConfig(dir string) (path string, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("lab: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "state"), 0o700); err != nil {
		return "", fmt.Errorf("lab: %w", err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	values := struct {
		Facts
		KeyFile, PasswordFile, CAFile, Traffic, Log, State string
		TTL                                                time.Duration
	}{w.Facts(), in("tsig.key"), in("imap.password"), in("authority.pem"), in("traffic.txt"), in("gateway.log"), filepath.Join(dir, "state", "demo.db"), w.options.TTL}
	var config, traffic strings.Builder
	t := template.Must(template.New("mxcutover.yaml").Funcs(template.FuncMap{
		"join": strings.Join, "quote": quote, "preference": func(i int) int { return 10 * (i + 1) },
	}).Parse(configText))
	if err := t.Execute(&config, values); err != nil {
		return "", fmt.Errorf("lab: %w", err)
	}
	for _, d := range values.Domains {
		fmt.Fprintf(&traffic, "%s %d\n", d.Name, d.Messages)
	}
	for _, f := range []struct {
		path, text string
		mode       os.FileMode
	}{
		{values.KeyFile, values.Key.Secret + "\n", 0o600},
		{values.PasswordFile, values.Password + "\n", 0o600},
		{values.CAFile, values.CA, 0o644},
		{values.Traffic, traffic.String(), 0o644},
		{in("mxcutover.yaml"), config.String(), 0o644},
	} {
		if err := writeFile(f.path, f.text, f.mode); err != nil {
			return "", fmt.Errorf("lab: %w", err)
		}
	}
	return in("mxcutover.yaml"), w.LogTo(values.Log)
}

// writeFile replaces a file; its mode is right before it holds anything.
func writeFile(path, text string, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone if all went well
	err = f.Chmod(mode)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// quote writes a string as JSON, which YAML reads alike.
func quote(s string) (string, error) {
	b, err := json.Marshal(s)
	return string(b), err
}

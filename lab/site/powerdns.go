package site

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/miekg/dns"
)

// PowerDNSOptions say what a PowerDNS authoritative server serves, as the primary
// of its zones, and how its HTTP API is reached.
type PowerDNSOptions struct {
	Dir    string            // an empty folder of its own; "" = a temporary one, until Stop
	Addr   netip.AddrPort    // where it listens, UDP and TCP: any address of 127.0.0.0/8
	HTTP   netip.AddrPort    // where its API listens; zero = a free port of the same address
	APIKey string            // for the header X-API-Key; "" = a new one
	Zones  map[string]string // zone -> master file
	Key    Key               // may transfer and update; zero = a new one
	Caches bool              // answers are cached as by default: 20 s, those in the negative 60 s
	Meta   map[string]string // kind -> content, the metadata of each zone, as SOA-EDIT
	Extra  string            // more lines of its configuration
}

// PowerDNS is a running pdns_server.
type PowerDNS struct {
	PowerDNSOptions
	process
}

// schema is where Debian keeps the tables of an empty database.
const schema = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql"

// StartPowerDNS loads the zones, starts pdns_server on them, and waits until it
// and its API answer. Errors hold what PowerDNS said.
func StartPowerDNS(ctx context.Context, o PowerDNSOptions) (*PowerDNS, error) {
	o.Key = o.Key.orNew()
	if o.APIKey == "" {
		o.APIKey = NewKey("").Secret
	}
	p := &PowerDNS{PowerDNSOptions: o, process: process{name: "powerdns", install: "pdns-server and pdns-backend-sqlite3", logs: []string{"pdns.log"}}}
	if err := p.started(p.start(ctx)); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *PowerDNS) start(ctx context.Context) error {
	var err error
	if p.Dir, err = p.folder(p.Dir); err != nil {
		return err
	}
	if !p.HTTP.IsValid() {
		port, err := FreePort()
		if err != nil {
			return err
		}
		p.HTTP = netip.AddrPortFrom(p.Addr.Addr(), port)
	}
	if err := p.write(files(p.Zones)); err != nil {
		return err
	}
	if err := p.write(map[string]string{"pdns.conf": p.conf()}); err != nil {
		return err
	}
	if err := p.load(ctx); err != nil {
		return err
	}
	return p.begin(ctx)
}

// conf is its configuration. It asks nobody: by default it would ask its makers
// whether it is out of date (security-poll-suffix).
func (o PowerDNSOptions) conf() string {
	var b strings.Builder
	fmt.Fprintf(&b, `launch=gsqlite3
gsqlite3-database=%s
gsqlite3-pragma-synchronous=0
gsqlite3-dnssec=yes
local-address=%s
local-port=%d
query-local-address=%s
webserver=yes
webserver-address=%s
webserver-port=%d
api=yes
api-key=%s
`, filepath.Join(o.Dir, "pdns.sqlite3"), o.Addr.Addr(), o.Addr.Port(), o.Addr.Addr(), o.HTTP.Addr(), o.HTTP.Port(), o.APIKey)
	b.WriteString(`security-poll-suffix=
socket-dir=.
daemon=no
guardian=no
write-pid=no
disable-syslog=yes
loglevel=4
dnsupdate=yes
8bit-dns=yes
dname-processing=yes
max-tcp-connections=100
`)
	if !o.Caches {
		b.WriteString("cache-ttl=0\nquery-cache-ttl=0\nnegquery-cache-ttl=0\nzone-metadata-cache-ttl=0\n")
	}
	b.WriteString(o.Extra + "\n")
	return b.String()
}

// load makes the database: its tables, the zones, and what the key may do.
func (p *PowerDNS) load(ctx context.Context) error {
	tables, err := os.ReadFile(schema)
	if err != nil {
		return fmt.Errorf("%w; install pdns-backend-sqlite3", err)
	}
	if err := p.sql(ctx, string(tables)); err != nil {
		return err
	}
	for zone := range p.Zones {
		if err := p.run(ctx, "", "pdnsutil", "--config-dir=.", "load-zone", dns.Fqdn(zone), file(zone)); err != nil {
			return err
		}
	}
	for _, args := range [][]string{{"rectify-all-zones"}, {"check-all-zones", "exit-on-error"}} {
		if err := p.run(ctx, "", "pdnsutil", append([]string{"--config-dir=."}, args...)...); err != nil {
			return err
		}
	}
	settings := fmt.Sprintf("INSERT INTO tsigkeys(name, algorithm, secret) VALUES('%s', 'hmac-sha256', '%s');\n", p.Key.Name, p.Key.Secret)
	meta := map[string]string{"TSIG-ALLOW-DNSUPDATE": p.Key.Name, "TSIG-ALLOW-AXFR": p.Key.Name}
	maps.Copy(meta, p.Meta)
	for kind, content := range meta {
		settings += fmt.Sprintf("INSERT INTO domainmetadata(domain_id, kind, content) SELECT id, '%s', '%s' FROM domains;\n", kind, content)
	}
	return p.sql(ctx, settings)
}

// sql changes the database as somebody does behind the server's back.
func (p *PowerDNS) sql(ctx context.Context, statements string) error {
	return p.run(ctx, ".bail on\n.timeout 5000\n"+statements, "sqlite3", "pdns.sqlite3")
}

// SQL carries out statements in the server's database, as somebody does behind
// its back: no serial is raised, and no cache is told.
func (p *PowerDNS) SQL(ctx context.Context, statements string) error {
	if err := p.sql(ctx, statements); err != nil {
		return fmt.Errorf("powerdns: %w", err)
	}
	return nil
}

// begin starts pdns_server on its database, and waits until it answers.
func (p *PowerDNS) begin(ctx context.Context) error {
	if err := p.launch("pdns_server", "--config-dir=."); err != nil {
		return err
	}
	if err := p.authoritative(ctx, p.Addr, p.Zones); err != nil {
		return err
	}
	return p.await(ctx, "its API", p.api)
}

// URL is the root of the API, "http://127.0.0.1:20000".
func (p *PowerDNS) URL() string { return "http://" + p.HTTP.String() }

// api asks the API whether it is there.
func (p *PowerDNS) api(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL()+"/api/v1/servers/localhost", nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-API-Key", p.APIKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// Restart starts pdns_server again after Kill, on the database that it left, and
// waits until it and its API answer.
func (p *PowerDNS) Restart(ctx context.Context) error {
	if err := p.begin(ctx); err != nil {
		return fmt.Errorf("powerdns: restart: %w%s", err, p.log())
	}
	return nil
}

// Serial is a zone's serial as this server answers it.
func (p *PowerDNS) Serial(ctx context.Context, zone string) (uint32, error) {
	return serial(ctx, p.Addr, zone)
}

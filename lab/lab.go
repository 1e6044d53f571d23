// Package lab is an embedded world to move mail in: name servers, a caching
// resolver, a gateway, an old server with a mailbox and a firewall, a spammer
// and an honest sender, all on loopback addresses, without root. It is behind
// the demo, the tests and a user's first tries.
//
// The way of it: [Start] takes a block of addresses and starts everything;
// [World.WriteConfig] writes the configuration with which a migration runs in
// it; [World.Facts] tells addresses, ports and keys; [World.Accounts] shows that
// not one message got lost; [World.Close] leaves nothing behind.
//
// Every server has an address of its own in 127.X.Y.0/24. All DNS servers share
// one port and all SMTP servers another, so that a client needs only those two
// numbers instead of 53 and 25.
package lab

import (
	"context"
	crand "crypto/rand"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/miekg/dns"
)

// A World is one running lab. Its methods may be called from anywhere, also
// after Close.
type World struct {
	Gateway *Gateway   // the new way in
	Old     *OldServer // the old server
	Spammer *Spammer   // the one that never stops

	options   Options
	block     *block
	key       Key
	password  string
	authority *authority
	socket    string
	anchor    string
	primary   *nameserver
	above     *nameserver // of the root, test and the reverse zone
	secondary *secondary
	ledger    *ledger
	sender    *sender

	cancel  context.CancelFunc
	traffic sync.WaitGroup // everything that is not a server
	stops   []func()       // servers, in the order of their stopping
	made    []string       // directories to remove
	once    sync.Once
	closing error
}

// Start makes a world and starts all of it. ctx is for the start; the world
// lives until Close.
func Start(ctx context.Context, o Options) (*World, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(orDefault(o.Seed, rand.Uint64()), 1))
	secret := base64.StdEncoding.EncodeToString([]byte(crand.Text() + crand.Text()))
	w := &World{
		options: o, password: crand.Text(), ledger: &ledger{}, cancel: func() {},
		key: Key{Name: "mxcutover", Algorithm: "hmac-sha256", Secret: secret},
	}
	if w.authority, err = newAuthority(o.Now); err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	if w.block, err = takeBlock(ctx, random); err != nil {
		return nil, err
	}
	live, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w.cancel = cancel
	if err := w.start(ctx, live, random); err != nil {
		_ = w.Close() // the first error says more
		return nil, err
	}
	return w, nil
}

func (w *World) start(ctx, live context.Context, random *rand.Rand) error {
	wall := newWall(w.options.Now)
	if err := w.startWall(ctx, wall); err != nil {
		return err
	}
	if err := w.startDNS(live); err != nil {
		return err
	}
	if err := w.startMail(live, wall); err != nil {
		return err
	}
	w.startTraffic(live, random)
	return nil
}

// startWall opens the firewall's socket, in a directory of its own if the path
// would be longer than a socket's may be.
func (w *World) startWall(ctx context.Context, wall *wall) error {
	dir := w.options.Dir
	if dir != "" {
		var err error
		if dir, err = filepath.Abs(dir); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
	}
	if _, err := os.Stat(dir); dir != "" && os.IsNotExist(err) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
		w.made = append(w.made, dir)
	}
	const longest = 107 // octets of a unix socket's path on Linux, less its final zero
	w.socket = filepath.Join(dir, "firewall.sock")
	if dir == "" || len(w.socket) > longest {
		made, err := os.MkdirTemp("", "mxlab")
		if err != nil {
			return fmt.Errorf("lab: %w", err)
		}
		w.made = append(w.made, made)
		w.socket = filepath.Join(made, "firewall.sock")
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", w.socket)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	w.stops = append(w.stops, wall.serve(&limited{Listener: l}))
	return nil
}

func (w *World) startDNS(live context.Context) error {
	b := w.block
	zones, above, err := buildZones(w.options, b)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	w.anchor = above["."].signer.key.ToDS(dns.SHA256).String()
	w.secondary = &secondary{zones: map[string]*zone{}, lag: w.options.Lag, kick: make(chan struct{}, 1)}
	for origin, z := range zones {
		copied := &zone{origin: origin, signer: z.signer}
		copied.now.Store(z.now.Load())
		w.secondary.zones[origin] = copied
		z.changed = w.secondary.follow
	}
	w.primary = &nameserver{zones: zones, primary: true, key: w.key}
	w.above = &nameserver{zones: above, key: w.key}
	second := &nameserver{zones: w.secondary.zones, key: w.key}
	resolver := &resolver{
		ctx: live, root: b.addr(octetParent), source: b.addr(octetResolver), port: b.dns,
		now: w.options.Now, cache: map[question]cached{}, turns: map[string]int{},
	}
	for octet, s := range map[byte]dns.Handler{
		octetParent: w.above, octetNS1: w.primary, octetNS2: second, octetResolver: resolver,
	} {
		w.stops = append(w.stops, serveDNS(b.udp[octet], b.tcp[octet], s, w.key))
	}
	w.traffic.Go(func() { w.secondary.run(live) })
	return nil
}

func (w *World) startMail(live context.Context, wall *wall) error {
	b, site := w.block, newDirectory(w.options.Domains)
	box, err := newMailbox(w.password)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	w.Gateway = newGateway(w.options, site)
	w.Old = &OldServer{
		site: site, habits: w.options.OldServer, wall: wall, ledger: w.ledger, mailbox: box, port: b.smtp, now: w.options.Now,
		gateways: []netip.Addr{b.addr(octetGateway1), b.addr(octetGateway2)},
		stats:    OldStats{Sources: map[netip.Addr]SourceCount{}},
	}
	stop, err := serveSMTP(&limited{Listener: b.mail[octetOld], refuse: w.Old.refuse}, oldHost, w.Old, w.options.OldServer, w.authority)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	w.stops = append(w.stops, stop, box.serve(&limited{Listener: b.imap}))
	for octet, name := range map[byte]string{octetGateway1: gateway1, octetGateway2: gateway2} {
		h := &host{Gateway: w.Gateway, name: name, addr: b.addr(octet), old: w.oldAddr(), news: make(chan struct{}, 1)}
		stop, err := serveSMTP(&limited{Listener: b.mail[octet], refuse: w.options.Gateway.refuse}, name, h, w.options.Gateway, w.authority)
		if err != nil {
			return fmt.Errorf("lab: %w", err)
		}
		w.stops = append(w.stops, stop)
		w.traffic.Go(func() { h.run(live) })
	}
	return nil
}

func (w *World) startTraffic(live context.Context, random *rand.Rand) {
	b := w.block
	var names []string
	for _, d := range w.options.Domains {
		if d.moves() {
			names = append(names, d.Name)
		}
	}
	w.Spammer = &Spammer{
		route: route{b.addr(octetSpammer), "bulk.example", w.oldAddr()}, names: names,
		rate: w.options.SpamRate, random: random,
	}
	w.sender = &sender{
		source: b.addr(octetSender), resolver: netip.AddrPortFrom(b.addr(octetResolver), b.dns), port: b.smtp,
		names: names, rate: w.options.SenderRate, ledger: w.ledger,
	}
	w.traffic.Go(func() { w.Spammer.run(live) })
	w.traffic.Go(func() { w.sender.run(live) })
}

func (w *World) oldAddr() netip.AddrPort {
	return netip.AddrPortFrom(w.block.addr(octetOld), w.block.smtp)
}

// Close stops everything, waits for it, and removes what the world made outside
// of the caller's directory. What is queued then is gone; Drain comes first.
func (w *World) Close() error {
	w.once.Do(func() {
		w.cancel()
		w.traffic.Wait()
		for _, stop := range slices.Backward(w.stops) {
			stop()
		}
		w.block.close()
		w.closing = w.endLog()
		for _, dir := range w.made {
			if err := os.RemoveAll(dir); err != nil && w.closing == nil {
				w.closing = fmt.Errorf("lab: %w", err)
			}
		}
	})
	return w.closing
}

// Forget makes the gateway refuse a domain; see [Gateway.Forget].
func (w *World) Forget(domain string) { w.Gateway.Forget(domain) }

// Remember undoes Forget.
func (w *World) Remember(domain string) { w.Gateway.Remember(domain) }

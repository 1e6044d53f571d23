package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/time/rate"
)

// A sender is an honest mail server far away: it asks its resolver for the MX,
// tries the hosts by preference, keeps what is deferred, and tries again.
type sender struct {
	source   netip.Addr
	resolver netip.AddrPort
	port     uint16 // of SMTP
	names    []string
	rate     float64 // messages a second
	ledger   *ledger

	mu    sync.Mutex
	quiet bool // no new messages
	queue []*letter
}

// A letter is one of its messages.
type letter struct {
	number uint64
	to     string
	data   []byte
	busy   bool
	next   time.Time
	wait   time.Duration
}

// Bounds of the sender.
const (
	maxLetters = 5000
	couriers   = 8
	lookTime   = 5 * time.Second
	maxHosts   = 10
)

// run writes and delivers until ctx ends.
func (s *sender) run(ctx context.Context) {
	var under sync.WaitGroup
	defer under.Wait()
	if s.rate > 0 && len(s.names) > 0 {
		under.Go(func() { s.write(ctx) })
	}
	slots := make(chan struct{}, couriers)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for l := s.due(); l != nil; l = s.due() {
			select {
			case <-ctx.Done():
				return
			case slots <- struct{}{}:
			}
			under.Go(func() {
				s.courier(ctx, l)
				<-slots
			})
		}
	}
}

// write makes messages for all domains in turn.
func (s *sender) write(ctx context.Context) {
	pace := rate.NewLimiter(rate.Limit(s.rate), 1)
	for i := 0; pace.Wait(ctx) == nil; i++ {
		s.mu.Lock()
		if !s.quiet && len(s.queue) < maxLetters {
			name := strings.Replace(s.names[i%len(s.names)], "*", fmt.Sprintf("t%d", i%7), 1)
			s.queue = append(s.queue, s.compose(locals[i%(len(locals)-1)]+"@"+name))
		}
		s.mu.Unlock()
	}
}

func (s *sender) compose(to string) *letter {
	n := s.ledger.open()
	const from = "author@elsewhere.test"
	text := fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: message %d\r\nDate: %s\r\nMessage-ID: <%d@%s>\r\n%s: %d\r\n\r\nHello, this is message %d.\r\n",
		from, to, n, time.Now().Format(time.RFC1123Z), n, senderHost, serialField, n, n)
	return &letter{number: n, to: to, data: []byte(text)}
}

func (s *sender) due() *letter {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.queue {
		if !l.busy && !l.next.After(now) {
			l.busy = true
			return l
		}
	}
	return nil
}

// courier tries a letter once. The ledger is told before the letter leaves the
// queue.
func (s *sender) courier(ctx context.Context, l *letter) {
	err := s.deliver(ctx, l)
	switch {
	case err == nil:
		s.ledger.accept(l.number)
	case lasting(err) || errors.Is(err, errNowhere):
		s.ledger.bounce(l.number)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil || lasting(err) || errors.Is(err, errNowhere) {
		s.queue = slices.DeleteFunc(s.queue, func(o *letter) bool { return o == l })
		return
	}
	l.busy = false
	l.wait = min(max(firstWait, 2*l.wait), longestWait)
	l.next = time.Now().Add(l.wait)
}

// errNowhere means that a domain accepts no mail.
var errNowhere = errors.New("domain accepts no mail")

// deliver tries the domain's hosts in their order (RFC 5321 section 5.1): the
// next one if there is no talking to one, or if it defers.
func (s *sender) deliver(ctx context.Context, l *letter) error {
	_, domain := split(l.to)
	hosts, err := s.hosts(ctx, domain)
	if err != nil {
		return err
	}
	err = fmt.Errorf("no host of %s could be found", domain)
	for _, h := range hosts {
		addrs, lookErr := s.addresses(ctx, h)
		if lookErr != nil {
			err = lookErr
		}
		for _, a := range addrs {
			var refused map[string]error
			refused, err = transmit(ctx, route{s.source, senderHost, netip.AddrPortFrom(a, s.port)}, "author@elsewhere.test", []string{l.to}, l.data)
			if err == nil {
				err = refused[l.to]
			}
			if err == nil || lasting(err) {
				return err
			}
		}
	}
	return err
}

// hosts are a domain's mail hosts by preference; itself if it has no MX.
func (s *sender) hosts(ctx context.Context, domain string) ([]string, error) {
	m, err := s.look(ctx, domain, dns.TypeMX)
	if err != nil {
		return nil, err
	}
	if m.Rcode == dns.RcodeNameError {
		return nil, errNowhere
	}
	var mxs []*dns.MX
	for _, rr := range m.Answer {
		if mx, ok := rr.(*dns.MX); ok && len(mxs) < maxHosts {
			mxs = append(mxs, mx)
		}
	}
	slices.SortStableFunc(mxs, func(a, b *dns.MX) int { return cmp.Compare(a.Preference, b.Preference) })
	var out []string
	for _, mx := range mxs {
		if mx.Mx == "." {
			return nil, errNowhere // RFC 7505
		}
		out = append(out, mx.Mx)
	}
	if len(out) == 0 {
		out = []string{domain}
	}
	return out, nil
}

func (s *sender) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	m, err := s.look(ctx, host, dns.TypeA)
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, rr := range m.Answer {
		if a, ok := rr.(*dns.A); ok && len(out) < maxHosts {
			if addr, ok := netip.AddrFromSlice(a.A.To4()); ok {
				out = append(out, addr)
			}
		}
	}
	return out, nil
}

// look asks the resolver. That it could not say is an error.
func (s *sender) look(ctx context.Context, name string, typ uint16) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), typ)
	m.SetEdns0(udpSize, false)
	c := dns.Client{Timeout: lookTime, Dialer: &net.Dialer{Timeout: lookTime, LocalAddr: &net.UDPAddr{IP: s.source.AsSlice()}}}
	in, _, err := c.ExchangeContext(ctx, m, s.resolver.String())
	if err != nil {
		return nil, err
	}
	if in.Rcode != dns.RcodeSuccess && in.Rcode != dns.RcodeNameError {
		return nil, fmt.Errorf("look up %s: %s", name, dns.RcodeToString[in.Rcode])
	}
	return in, nil
}

// hush stops or resumes the writing of new messages.
func (s *sender) hush(quiet bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quiet = quiet
}

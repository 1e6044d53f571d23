//go:build bench

package verify

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"mxcutover/lab/site"
)

const (
	speedRounds   = 3
	speedMessages = 4000 // of each round, in clear text
	speedSecure   = 1000 // by STARTTLS
	speedSwaks    = 32   // of swaks, one process each
	speedAtOnce   = 16
)

// TestSpeedSMTP sends messages to one sink, each by a connection of its own: ours,
// smtp-source and swaks, in turn. What is missing is named.
func TestSpeedSMTP(t *testing.T) {
	c, err := New(Settings{
		Resolvers: []Resolver{{}}, From: "probe@probe.test", Hello: "probe.test", Concurrency: speedAtOnce,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	fmt.Printf("SMTP: messages of a probe's size to one sink, a connection each, %d at once, medians of %d rounds\n", speedAtOnce, speedRounds)
	if lacking("smtp-sink") {
		fmt.Println("  smtp-sink     missing: install postfix; the sink is our own")
	}
	race(t, c, "in clear text", sinkAt(t, nil), speedMessages, false)
	race(t, c, "by STARTTLS", sinkAt(t, certificate(t)), speedSecure, true)
}

func lacking(program string) bool {
	_, err := exec.LookPath(program)
	return err != nil
}

// race lets everybody send, in turn, and prints the medians.
func race(t *testing.T, c *Checker, how string, sink netip.AddrPort, messages int, secure bool) {
	t.Helper()
	c.SMTPPort = sink.Port()
	took := map[string][]float64{}
	timed := func(name string, n int, send func()) {
		start := time.Now()
		send()
		took[name] = append(took[name], float64(n)/time.Since(start).Seconds())
	}
	for range speedRounds {
		timed("mxcutover", messages, func() { ourRound(t, c, sink.Addr(), messages, secure) })
		if !secure && !lacking("smtp-source") {
			timed("smtp-source", messages, func() {
				launch(t, "smtp-source", "-s", fmt.Sprint(speedAtOnce), "-m", fmt.Sprint(messages), "-l", "900", "-f", "probe@probe.test", "-t", "rcpt@choir.test", fmt.Sprintf("inet:%s:%d", sink.Addr(), sink.Port()))
			})
		}
		if !lacking("swaks") {
			timed("swaks", speedSwaks, func() { swaksRound(t, sink, secure) })
		}
	}
	rate := func(name string) float64 {
		slices.Sort(took[name])
		return took[name][len(took[name])/2]
	}
	for _, name := range []string{"mxcutover", "smtp-source", "swaks"} {
		switch {
		case took[name] != nil:
			fmt.Printf("  %-14s %-12s %7.0f messages/s   ours is %.2f times as fast\n", how, name, rate(name), rate("mxcutover")/rate(name))
		case name == "smtp-source" && secure:
			fmt.Printf("  %-14s %-12s does not speak TLS\n", how, name)
		default:
			fmt.Printf("  %-14s %-12s missing: no such program here\n", how, name)
		}
	}
}

func ourRound(t *testing.T, c *Checker, addr netip.Addr, messages int, secure bool) {
	t.Helper()
	next := make(chan struct{})
	var group sync.WaitGroup
	for range speedAtOnce {
		group.Go(func() {
			for range next {
				p := probe{token: newToken(), from: c.From, to: "rcpt@choir.test", domain: "choir.test", at: time.Now()}
				if err := c.sendFrom(t.Context(), Vantage{}, addr, p.from, p.to, p.message()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range messages {
		next <- struct{}{}
	}
	close(next)
	group.Wait()
	if secure { // that it was TLS, with a whole handshake
		if l, err := c.look(t.Context(), Vantage{}, endpoint{"sink.test.", addr}); err != nil || l.secure == nil || l.secure.DidResume {
			t.Errorf("no TLS: %+v, %v", l, err)
		}
	}
}

func swaksRound(t *testing.T, sink netip.AddrPort, secure bool) {
	t.Helper()
	args := []string{"--silent", "3", "--server", sink.Addr().String(), "--port", fmt.Sprint(sink.Port()), "--helo", "probe.test", "--from", "probe@probe.test", "--to", "rcpt@choir.test"}
	if secure {
		args = append(args, "--tls")
	}
	next := make(chan struct{})
	var group sync.WaitGroup
	for range speedAtOnce {
		group.Go(func() {
			for range next {
				launch(t, "swaks", args...)
			}
		})
	}
	for range speedSwaks {
		next <- struct{}{}
	}
	close(next)
	group.Wait()
}

func launch(t *testing.T, program string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", program, err, out)
	}
}

// sinkAt starts a sink: smtp-sink in clear text if it is there, else our own.
func sinkAt(t *testing.T, conf *tls.Config) netip.AddrPort {
	t.Helper()
	if conf != nil || lacking("smtp-sink") {
		return ourSink(t, conf)
	}
	port, err := site.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	cmd := exec.Command("smtp-sink", "-u", "nobody", fmt.Sprintf("inet:%s", at), "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		if conn, err := net.Dial("tcp", at.String()); err == nil {
			conn.Close()
			return at
		}
		if ctx.Err() != nil {
			t.Fatal("smtp-sink does not listen")
		}
	}
}

type hole struct{}

func (hole) NewSession(*smtp.Conn) (smtp.Session, error) { return hole{}, nil }
func (hole) Mail(string, *smtp.MailOptions) error        { return nil }
func (hole) Rcpt(string, *smtp.RcptOptions) error        { return nil }
func (hole) Data(r io.Reader) error                      { _, err := io.Copy(io.Discard, r); return err }
func (hole) Reset()                                      {}
func (hole) Logout() error                               { return nil }

func ourSink(t *testing.T, conf *tls.Config) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := smtp.NewServer(hole{})
	s.Domain, s.TLSConfig, s.ErrorLog = "sink.test", conf, log.New(io.Discard, "", 0)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	return netip.MustParseAddrPort(l.Addr().String())
}

func certificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"sink.test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

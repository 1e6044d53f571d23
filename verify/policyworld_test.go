package verify_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/miekg/dns"

	"mxcutover/lab"
	"mxcutover/plan"
	"mxcutover/verify"
)

// The last octets of what a policy's world has besides the lab's servers.
const (
	octetWeb  = 240
	octetHost = 241
)

// authority is a certificate authority of a test's own.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	path string // of its certificate, PEM
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{path: filepath.Join(t.TempDir(), "ca.pem")}
	a.cert, a.key = certificate(t, "ca.test", nil, nil)
	if err := os.WriteFile(a.path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// certificate makes one for a name, signed by an authority; nil = it is one itself.
func certificate(t *testing.T, name string, by *x509.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if by == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		by, key = template, own
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, &own.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, own
}

// issue makes a server's certificate; its chain has the authority's, too.
func (a *authority) issue(t *testing.T, name string) tls.Certificate {
	t.Helper()
	cert, key := certificate(t, name, a.cert, a.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw, a.cert.Raw}, PrivateKey: key, Leaf: cert}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// put changes an RRset in the zone of a name's last two labels; no data deletes it.
func (b *bench) put(t *testing.T, name, typ string, data ...string) {
	t.Helper()
	labels := dns.SplitDomainName(name)
	b.edit(t, strings.Join(labels[len(labels)-2:], "."), name, typ, data...)
}

// settle waits until both name servers serve what was edited: what the resolver
// did not find is kept from then on.
func (b *bench) settle(t *testing.T) {
	t.Helper()
	serial := func(at netip.Addr, zone string) uint32 {
		m := new(dns.Msg).SetQuestion(dns.Fqdn(zone), dns.TypeSOA)
		r, err := dns.Exchange(m, netip.AddrPortFrom(at, b.facts.DNSPort).String())
		if err != nil || len(r.Answer) != 1 {
			return 0
		}
		return r.Answer[0].(*dns.SOA).Serial
	}
	for _, zone := range b.facts.Zones {
		eventually(t, "both name servers have it", func() bool {
			n := serial(b.facts.NS1, zone)
			return n != 0 && n == serial(b.facts.NS2, zone)
		})
	}
}

func (b *bench) listen(t *testing.T, octet byte, port uint16) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host(b.facts, octet), strconv.Itoa(int(port))))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// counting is a listener that counts connections.
type counting struct {
	net.Listener
	n atomic.Int32
}

// Accept counts one more.
func (l *counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.n.Add(1)
	}
	return c, err
}

// mailHost starts an MX host with STARTTLS, and counts its connections; without a
// certificate it has none.
func (b *bench) mailHost(t *testing.T, name string, cert *tls.Certificate) *atomic.Int32 {
	t.Helper()
	s := smtp.NewServer(sink{})
	s.Domain, s.ErrorLog = name, log.New(io.Discard, "", 0)
	if cert != nil {
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12}
	}
	l, ended := &counting{Listener: b.listen(t, octetHost, b.facts.SMTPPort)}, make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Serve(l) // ends with Close
	}()
	t.Cleanup(func() {
		_ = s.Close() // its connections are over
		<-ended
	})
	b.put(t, name, "A", host(b.facts, octetHost))
	return &l.n
}

var tlsHost = []string{"10 tls.choir.test."}

// policyHost starts mta-sts.choir.test, and counts how often it is asked.
func (b *bench) policyHost(t *testing.T, cert tls.Certificate, h http.HandlerFunc) (asked *atomic.Int32) {
	t.Helper()
	l := b.listen(t, octetWeb, 0)
	b.put(t, "mta-sts.choir.test", "A", host(b.facts, octetWeb))
	b.set.HTTPSPort = netip.MustParseAddrPort(l.Addr().String()).Port()
	return policies(t, l, cert, h)
}

// policies serves a policy, and counts how often it is asked for.
func policies(t *testing.T, l net.Listener, cert tls.Certificate, h http.HandlerFunc) (asked *atomic.Int32) {
	t.Helper()
	asked = &atomic.Int32{}
	s := &http.Server{
		ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0), TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			if r.URL.Path != "/.well-known/mta-sts.txt" {
				http.NotFound(w, r)
				return
			}
			h(w, r)
		}),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.ServeTLS(l, "", "") // ends with Close
	}()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return asked
}

// serves answers with a text.
func serves(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, text) // who goes away early is not told
	}
}

// spki is the digest of a certificate's key.
func spki(c *x509.Certificate) string {
	d := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(d[:])
}

// spki512 is the same with SHA2-512.
func spki512(c *x509.Certificate) string {
	d := sha512.Sum512(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(d[:])
}

// furnished makes a checker for a cutover of choir.test, in a world that a function
// has furnished.
func furnished(furnish func(t *testing.T, b *bench) plan.Cutover) world {
	return furnishedWith(nil, furnish)
}

// furnishedWith is furnished in a world of other options.
func furnishedWith(adjust func(*lab.Options), furnish func(t *testing.T, b *bench) plan.Cutover) world {
	return func(t *testing.T) (*verify.Checker, plan.Cutover) {
		t.Helper()
		b := newBenchWith(t, adjust)
		b.set.IMAP, b.set.Recipients = verify.IMAP{}, verify.Recipients{} // no mail is sent here
		c := furnish(t, b)
		b.settle(t)
		return b.checker(t, nil), c
	}
}

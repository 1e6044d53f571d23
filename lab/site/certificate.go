package site

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// A Certificate is what a server shows with STARTTLS, and its key. The zero value
// is none.
type Certificate struct {
	CA    []byte // PEM; of the authority that signed it
	Chain []byte // PEM; the server's own
	Key   []byte // PEM, PKCS #8
}

// Given tells whether there is a certificate.
func (c Certificate) Given() bool { return len(c.Chain) > 0 }

// String leaves out the key.
func (c Certificate) String() string { return string(c.Chain) }

// NewCertificate makes an authority, and a certificate of it for names or addresses, valid
// from an hour ago for the given time; a negative one has run out.
func NewCertificate(valid time.Duration, names ...string) (Certificate, error) {
	ca, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Certificate{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Certificate{}, err
	}
	begin := time.Now().Add(-time.Hour)
	if valid < 0 {
		begin = begin.Add(2 * valid)
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lab authority"}, NotBefore: begin, NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "lab server"}, NotBefore: begin, NotAfter: time.Now().Add(valid),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, n)
		}
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, &ca.PublicKey, ca)
	if err != nil {
		return Certificate{}, fmt.Errorf("authority: %w", err)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, &key.PublicKey, ca)
	if err != nil {
		return Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Certificate{}, err
	}
	text := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	return Certificate{CA: text("CERTIFICATE", rootDER), Chain: text("CERTIFICATE", leafDER), Key: text("PRIVATE KEY", keyDER)}, nil
}

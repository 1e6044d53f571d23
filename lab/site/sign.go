package site

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// SignOptions say how a zone is signed with BIND's tools.
type SignOptions struct {
	Zone       string
	Text       string        // master file
	Algorithm  string        // as dnssec-keygen names it; "" = ECDSAP256SHA256
	NSEC3      bool          // with a salt; else NSEC
	OptOut     bool          // of NSEC3: unsigned delegations are left out
	Iterations int           // of NSEC3
	Ended      time.Duration // so long ago its signatures ended; 0 = they hold for 30 days
}

// Signed is a signed zone, and what its parent and those who trust it need.
type Signed struct {
	Text   string // master file
	DS     string // DS record, as a line of a master file
	Anchor string // DNSKEY record of its key-signing key
}

// SignZone makes a key-signing and a zone-signing key, and signs.
func SignZone(ctx context.Context, o SignOptions) (Signed, error) {
	dir, err := os.MkdirTemp("", "signed-")
	if err != nil {
		return Signed{}, err
	}
	defer os.RemoveAll(dir)
	s, err := o.sign(ctx, dir)
	if err != nil {
		return s, fmt.Errorf("sign %s: %w", o.Zone, err)
	}
	return s, nil
}

func (o SignOptions) sign(ctx context.Context, dir string) (s Signed, err error) {
	if o.Algorithm == "" {
		o.Algorithm = "ECDSAP256SHA256"
	}
	zone := dns.Fqdn(o.Zone)
	if err := os.WriteFile(filepath.Join(dir, "zone"), []byte(o.Text), 0o600); err != nil {
		return s, err
	}
	run := func(program string, args ...string) (string, error) {
		c := exec.CommandContext(ctx, find(program), args...)
		c.Dir = dir
		var said, errs bytes.Buffer
		c.Stdout, c.Stderr = &said, &errs
		if err := c.Run(); err != nil {
			return "", fmt.Errorf("%s: %w: %s (of package bind9-utils)", program, err, errs.Bytes())
		}
		return strings.TrimSpace(said.String()), nil
	}
	key := []string{"-q", "-a", o.Algorithm}
	if strings.HasPrefix(o.Algorithm, "RSA") {
		key = append(key, "-b", "2048")
	}
	if o.NSEC3 {
		key = append(key, "-3")
	}
	ksk, err := run("dnssec-keygen", append(key, "-f", "KSK", zone)...)
	if err != nil {
		return s, err
	}
	if _, err := run("dnssec-keygen", append(key, zone)...); err != nil {
		return s, err
	}
	args := []string{"-S", "-Q", "-o", zone, "-f", "signed"}
	if o.NSEC3 {
		args = append(args, "-3", "beef", "-H", fmt.Sprint(o.Iterations))
	}
	if o.OptOut {
		args = append(args, "-A")
	}
	if o.Ended > 0 {
		end, form := time.Now().UTC().Add(-o.Ended), "20060102150405"
		args = append(args, "-P", "-s", end.Add(-30*24*time.Hour).Format(form), "-e", end.Format(form))
	}
	if _, err := run("dnssec-signzone", append(args, "zone")...); err != nil {
		return s, err
	}
	if s.DS, err = run("dnssec-dsfromkey", "-2", ksk+".key"); err != nil {
		return s, err
	}
	anchor, err := os.ReadFile(filepath.Join(dir, ksk+".key"))
	if err != nil {
		return s, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "signed"))
	s.Anchor, s.Text = string(anchor), string(text)
	return s, err
}

package resolve

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// chainOf3 is the NSEC3 chain of a zone's names (RFC 5155 section 7.1).
func chainOf3(names map[string][]uint16, zone string, optOut bool, iterations uint16) *denial {
	type owner struct {
		hash  string
		types []uint16
	}
	var all []owner
	for n, types := range names {
		all = append(all, owner{dns.HashName(n, dns.SHA1, iterations, "ab"), types})
	}
	slices.SortFunc(all, func(a, b owner) int { return strings.Compare(a.hash, b.hash) })
	d := &denial{zone: zone}
	for i, o := range all {
		n := &dns.NSEC3{
			Hdr:  dns.RR_Header{Name: strings.ToLower(o.hash) + "." + zone, Rrtype: dns.TypeNSEC3, Class: dns.ClassINET},
			Hash: dns.SHA1, Iterations: iterations, SaltLength: 1, Salt: "ab", NextDomain: all[(i+1)%len(all)].hash, TypeBitMap: o.types,
		}
		if optOut {
			n.Flags = 1
		}
		d.nsec3 = append(d.nsec3, n)
	}
	return d
}

// chainOf1 is the same with NSEC.
func chainOf1(names map[string][]uint16, zone string) *denial {
	var all []string
	for n, types := range names {
		if len(types) > 0 { // an empty non-terminal has none
			all = append(all, n)
		}
	}
	slices.SortFunc(all, compareNames)
	d := &denial{zone: zone}
	for i, n := range all {
		d.nsec = append(d.nsec, &dns.NSEC{
			Hdr: dns.RR_Header{Name: n, Rrtype: dns.TypeNSEC, Class: dns.ClassINET}, NextDomain: all[(i+1)%len(all)], TypeBitMap: names[n],
		})
	}
	return d
}

var someNames = map[string][]uint16{
	"z.":            {dns.TypeSOA, dns.TypeNS, dns.TypeMX},
	"a.z.":          {dns.TypeA},
	"mx.z.":         {dns.TypeMX},
	"sub.z.":        {dns.TypeNS},
	"signed.z.":     {dns.TypeNS, dns.TypeDS},
	"empty.z.":      {},
	"x.empty.z.":    {dns.TypeTXT},
	"w.z.":          {},
	"*.w.z.":        {dns.TypeTXT},
	"alias.z.":      {dns.TypeCNAME},
	"dname.z.":      {dns.TypeDNAME},
	"\\001\\000.z.": {dns.TypeA},
}

func TestDenials(t *testing.T) {
	t.Parallel()
	for what, d := range map[string]*denial{"NSEC": chainOf1(someNames, "z."), "NSEC3": chainOf3(someNames, "z.", false, 1)} {
		for _, k := range []struct {
			name  string
			typ   uint16
			want  proof
			fails bool
		}{
			{"a.z.", dns.TypeMX, proof{exists: true}, false},
			{"z.", dns.TypeA, proof{exists: true, cut: true}, false},
			{"z.", dns.TypeMX, proof{}, true},       // it has one
			{"mx.z.", dns.TypeMX, proof{}, true},    // it has one
			{"alias.z.", dns.TypeMX, proof{}, true}, // the alias would have to be in the answer
			{"empty.z.", dns.TypeMX, proof{exists: true}, false},
			{"no.z.", dns.TypeMX, proof{}, false},
			{"deep.no.z.", dns.TypeMX, proof{}, false},
			{"n.w.z.", dns.TypeMX, proof{}, false}, // the wildcard has no MX
			{"n.w.z.", dns.TypeTXT, proof{}, true}, // and it has TXT
			{"sub.z.", dns.TypeDS, proof{exists: true, cut: true}, false},
			{"sub.z.", dns.TypeMX, proof{}, true}, // the child's, and the parent has no say
			{"a.sub.z.", dns.TypeMX, proof{}, true},
			{"signed.z.", dns.TypeDS, proof{}, true},
			{"a.dname.z.", dns.TypeMX, proof{}, true},
			{"z.", dns.TypeDS, proof{}, true}, // its own records do not deny it
		} {
			got, err := d.absent(k.name, k.typ)
			if (err != nil) != k.fails || err == nil && got != k.want {
				t.Errorf("%s: %s %s: %+v, %v; want %+v", what, k.name, dns.TypeToString[k.typ], got, err, k.want)
			}
		}
		if _, err := d.notCloser("n.w.z.", "w.z."); err != nil {
			t.Errorf("%s: nothing is closer than the wildcard: %v", what, err)
		}
		if _, err := d.notCloser("a.z.", "z."); err == nil {
			t.Errorf("%s: a name that exists is not the wildcard's", what)
		}
	}
	for _, d := range []*denial{{zone: "z."}, {zone: "other.", nsec3: chainOf3(someNames, "z.", false, 0).nsec3}} {
		if p, err := d.absent("no.z.", dns.TypeMX); err == nil {
			t.Errorf("proven by nothing: %+v", p)
		}
	}
}

func TestOptOutAndIterations(t *testing.T) {
	t.Parallel()
	names := map[string][]uint16{"z.": {dns.TypeSOA, dns.TypeNS}, "a.z.": {dns.TypeA}}
	d := chainOf3(names, "z.", true, 0)
	if p, err := d.absent("unsigned.z.", dns.TypeDS); err != nil || !p.optOut || p.cut {
		t.Errorf("an unsigned delegation: %+v, %v", p, err)
	}
	if p, err := d.absent("no.z.", dns.TypeMX); err != nil || !p.optOut {
		t.Errorf("a name that may be delegated: %+v, %v", p, err)
	}
	if _, err := chainOf3(names, "z.", false, maxIterations+1).absent("no.z.", dns.TypeMX); !errors.Is(err, errIterations) {
		t.Errorf("too many iterations: %v", err)
	}
	long := strings.Repeat("a.", 120) + "z."
	many := chainOf3(names, "z.", false, 1)
	for i := range 30 {
		n := *many.nsec3[0]
		n.Salt = strings.Repeat("ab", 1+i%2) // each other record wants hashes of its own
		many.nsec3 = append(many.nsec3, &n)
	}
	if _, err := many.absent(long, dns.TypeMX); !errors.Is(err, errBudget) {
		t.Errorf("hashes without end: %v, %d hashes", err, many.hashes)
	}
	d.nsec3[0].Flags, d.nsec3[1].Flags = 2, 2
	if p, err := d.absent("no.z.", dns.TypeMX); err == nil {
		t.Errorf("flags that nobody knows: %+v", p)
	}
}

func TestNamesInCanonicalOrder(t *testing.T) {
	t.Parallel()
	// RFC 4034 section 6.1.
	want := []string{"example.", "a.example.", "yljkjljk.a.example.", "Z.a.example.", "zABC.a.EXAMPLE.", "z.example.", "\\001.z.example.", "*.z.example.", "\\200.z.example."}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, compareNames)
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// keyOf is a zone's key, always the same for one letter.
func keyOf(zone string, letter byte) (*dns.DNSKEY, crypto.Signer) {
	private := ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(letter), ed25519.SeedSize)))
	return &dns.DNSKEY{
		Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 60}, Flags: 257, Protocol: 3, Algorithm: dns.ED25519,
		PublicKey: base64.StdEncoding.EncodeToString(private.Public().(ed25519.PublicKey)),
	}, private
}

func signatureOf(k *dns.DNSKEY, by crypto.Signer, set []dns.RR, now time.Time) *dns.RRSIG {
	s := &dns.RRSIG{
		Hdr: dns.RR_Header{Name: set[0].Header().Name, Rrtype: dns.TypeRRSIG, Class: dns.ClassINET, Ttl: 60}, Algorithm: k.Algorithm,
		KeyTag: k.KeyTag(), SignerName: k.Hdr.Name, Inception: uint32(now.Add(-time.Hour).Unix()), Expiration: uint32(now.Add(time.Hour).Unix()),
	}
	if err := s.Sign(by, set); err != nil {
		panic(err)
	}
	return s
}

func rrs(text ...string) (out []dns.RR) {
	for _, s := range text {
		rr, err := dns.NewRR(s)
		if err != nil {
			panic(err)
		}
		out = append(out, rr)
	}
	return out
}

var then = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestSignatures(t *testing.T) {
	t.Parallel()
	for _, alg := range []struct {
		number uint8
		bits   int
	}{{dns.RSASHA256, 2048}, {dns.ECDSAP256SHA256, 256}, {dns.ECDSAP384SHA384, 384}, {dns.ED25519, 256}} {
		k := &dns.DNSKEY{Hdr: dns.RR_Header{Name: "z.", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET}, Flags: 256, Protocol: 3, Algorithm: alg.number}
		private, err := k.Generate(alg.bits)
		if err != nil {
			t.Fatal(err)
		}
		set := rrs("z. 60 IN MX 10 a.z.", "z. 60 IN MX 20 b.z.")
		s := signatureOf(k, private.(crypto.Signer), set, then)
		verify := func(set []dns.RR, s *dns.RRSIG, k *dns.DNSKEY, now time.Time) error {
			_, err := (&budget{left: 10}).verify(set, []*dns.RRSIG{s}, "z.", []*dns.DNSKEY{k}, now)
			return err
		}
		if err := verify(set, s, k, then); err != nil {
			t.Errorf("algorithm %d: %v", alg.number, err)
		}
		revoked, other := *k, *s
		revoked.Flags |= dns.REVOKE
		other.SignerName = "other."
		for what, err := range map[string]error{
			"another record":  verify(rrs("z. 60 IN MX 10 a.z.", "z. 60 IN MX 20 c.z."), s, k, then),
			"one record less": verify(set[:1], s, k, then),
			"too late":        verify(set, s, k, then.Add(2*time.Hour)),
			"too early":       verify(set, s, k, then.Add(-2*time.Hour)),
			"a revoked key":   verify(set, s, &revoked, then),
			"another signer":  verify(set, &other, k, then),
		} {
			if b := (*bogusError)(nil); !errors.As(err, &b) {
				t.Errorf("algorithm %d: %s: %v", alg.number, what, err)
			}
		}
	}
}

// Many keys of one tag, and many signatures, cost a bounded number of tries.
func TestKeysWithoutEnd(t *testing.T) {
	t.Parallel()
	k, by := keyOf("z.", 'a')
	set := rrs("z. 60 IN MX 10 a.z.")
	s := signatureOf(k, by, rrs("z. 60 IN MX 10 wrong.z."), then)
	b := &budget{left: maxVerified}
	_, err := b.verify(set, slices.Repeat([]*dns.RRSIG{s}, 200), "z.", slices.Repeat([]*dns.DNSKEY{k}, 200), then)
	if !errors.Is(err, errBudget) || b.left != maxVerified-maxTries {
		t.Errorf("%v, %d of %d signatures left", err, b.left, maxVerified)
	}
	b.left = 0
	if _, err := b.verify(set, []*dns.RRSIG{s}, "z.", []*dns.DNSKEY{k}, then); !errors.Is(err, errBudget) {
		t.Errorf("a chain's budget is spent: %v", err)
	}
}

func TestAnchors(t *testing.T) {
	t.Parallel()
	a, err := RootAnchors()
	if err != nil || len(a) != 2 {
		t.Fatal(a, err)
	}
	k, _ := keyOf("island.example.", 'a')
	both, err := ParseAnchors(rootAnchors + "\n; a comment\n" + k.String() + "\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a.island.example.": "island.example.", "example.": ".", ".": "."} {
		if zone, ds := both.above(name); zone != want || len(ds) == 0 {
			t.Errorf("above %s: %s %v", name, zone, ds)
		}
	}
	for _, text := range []string{"", "; nothing", "x. IN MX 10 y.", "not a record", ". IN DS 1 8 2", strings.Repeat(rootAnchors+"\n", 60)} {
		if a, err := ParseAnchors(text); err == nil {
			t.Errorf("%.40q: %v", text, a)
		}
	}
	if len(usable([]*dns.DS{{Algorithm: 8, DigestType: 3}, {Algorithm: 12, DigestType: 2}})) != 0 {
		t.Error("unknown algorithms are followed")
	}
}

// An old digest by SHA-1 does not save a zone whose other DS record is wrong: resolvers
// pass it over (RFC 4509 section 3). Alone it counts.
func TestOldDigestsArePassedOver(t *testing.T) {
	t.Parallel()
	k, _ := keyOf("z.", 'a')
	other, _ := keyOf("z.", 'b')
	right, wrong := k.ToDS(dns.SHA1), other.ToDS(dns.SHA256)
	if got := matches(usable([]*dns.DS{right, wrong}), []*dns.DNSKEY{k}); len(got) != 0 {
		t.Errorf("vouched for by SHA-1 beside SHA-256: %v", got)
	}
	for _, ds := range [][]*dns.DS{{right}, {right, k.ToDS(dns.SHA384)}} {
		if got := matches(usable(ds), []*dns.DNSKEY{k}); len(got) != 1 {
			t.Errorf("%v: vouched for %v", ds, got)
		}
	}
}

// The alias that a DNAME record makes has no signature of its own (RFC 6672 section
// 5.3.1): that of the DNAME counts, and only for the alias that it makes.
func TestAliasesOfDNAME(t *testing.T) {
	t.Parallel()
	k, by := keyOf("z.", 'a')
	made := rrs("d.z. 60 IN DNAME t.example.")
	good, star := signatureOf(k, by, made, then), rrs("*.z. 60 IN DNAME t.example.")
	wild := signatureOf(k, by, star, then)
	wild.Hdr.Name = "d.z."
	for what, c := range map[string]struct {
		alias string
		sig   *dns.RRSIG
		ok    bool
	}{
		"made":          {"x.y.d.z. 60 IN CNAME x.Y.t.example.", good, true},
		"another alias": {"x.y.d.z. 60 IN CNAME evil.example.", good, false},
		"another depth": {"x.y.d.z. 60 IN CNAME y.t.example.", good, false},
		"by a wildcard": {"x.y.d.z. 60 IN CNAME x.y.t.example.", wild, false},
		"not signed":    {"x.y.d.z. 60 IN CNAME x.y.t.example.", nil, false},
	} {
		m := new(dns.Msg)
		m.Answer = append(rrs(c.alias), made...)
		if c.sig != nil {
			m.Answer = append(m.Answer, c.sig)
		}
		v, err := judge(m, "z.", "x.y.d.z.", dns.TypeMX, []*dns.DNSKEY{k}, &budget{left: maxVerified}, then)
		if (err == nil) != c.ok || c.ok && v.Until.IsZero() {
			t.Errorf("%s: %+v, %v", what, v, err)
		}
		if _, _, err := delegation(m, "z.", "x.y.d.z.", []*dns.DNSKEY{k}, &budget{left: maxVerified}, then); (err == nil) != c.ok {
			t.Errorf("%s, asked for DS: %v", what, err)
		}
	}
	m := new(dns.Msg)
	m.Answer = append(append(rrs("d.z. 60 IN CNAME t.example."), made...), good)
	if v, err := judge(m, "z.", "d.z.", dns.TypeMX, []*dns.DNSKEY{k}, &budget{left: maxVerified}, then); err == nil {
		t.Errorf("a DNAME record moves its own name: %+v", v)
	}
}

// A name of another zone has no proof, and looking for one ends.
func TestDenialOfAnotherZonesName(t *testing.T) {
	t.Parallel()
	d := chainOf3(someNames, "z.", false, 1)
	for _, n := range d.nsec3 {
		n.Hash = 2 // an unknown one, which costs nothing
	}
	if p, err := d.absent("a.other.", dns.TypeMX); !errors.Is(err, errNotProven) {
		t.Errorf("%+v, %v", p, err)
	}
}

// FuzzJudge: whatever a server says, the only MX RRset that validates is the one
// that was signed.
func FuzzJudge(f *testing.F) {
	k, by := keyOf("z.", 'a')
	set := rrs("z. 60 IN MX 10 a.z.")
	m := new(dns.Msg)
	m.SetQuestion("z.", dns.TypeMX)
	m.Response = true
	m.Answer = append(slices.Clone(set), signatureOf(k, by, set, then))
	seeds := []*dns.Msg{m}
	nsec := rrs("z. 60 IN NSEC b.z. NS SOA RRSIG NSEC")
	for _, deny := range [][]dns.RR{nsec, rrs("0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.z. 60 IN NSEC3 1 1 1 AB 2t7b4g4vsa5smi47k61mv5bv1a22bojr MX RRSIG")} {
		n := m.Copy()
		n.Answer, n.Ns = nil, append(slices.Clone(deny), signatureOf(k, by, deny, then))
		seeds = append(seeds, n)
	}
	for _, s := range seeds {
		b, err := s.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := new(dns.Msg)
		if m.Unpack(b) != nil {
			return
		}
		keys := []*dns.DNSKEY{k}
		_, _, _ = delegation(m.Copy(), "z.", "sub.z.", keys, &budget{left: maxVerified}, then)
		_, _ = trusted(m.Copy(), "z.", []*dns.DS{k.ToDS(dns.SHA256)}, &budget{left: maxVerified}, then)
		v, err := judge(m, "z.", "z.", dns.TypeMX, keys, &budget{left: maxVerified}, then)
		if err != nil || v.Absent {
			return
		}
		got, _ := pick(m.Answer, "z.", dns.TypeMX)
		for _, rr := range got {
			if mx, ok := rr.(*dns.MX); !ok || len(got) != 1 || mx.Preference != 10 || dns.CanonicalName(mx.Mx) != "a.z." {
				t.Errorf("validated, and never signed: %v", got)
			}
		}
	})
}

func FuzzAnchors(f *testing.F) {
	f.Add(rootAnchors)
	k, _ := keyOf("z.", 'a')
	f.Add(k.String())
	f.Fuzz(func(t *testing.T, text string) {
		if a, err := ParseAnchors(text); err == nil && (len(a) == 0 || len(a) > maxAnchors) {
			t.Errorf("%d anchors", len(a))
		}
	})
}

// FuzzDenial: whichever of a zone's true records come in an answer, they deny no name
// and no type that is there; and looking for a proof ends.
func FuzzDenial(f *testing.F) {
	f.Add("a.z.", dns.TypeA, uint32(0xffff), false)
	f.Add("new.w.z.", dns.TypeMX, uint32(0xffff), true)
	f.Add("x.dname.z.", dns.TypeTXT, uint32(3), true)
	f.Add("a.sub.z.", dns.TypeDS, uint32(7), false)
	f.Fuzz(func(t *testing.T, name string, qtype uint16, some uint32, hashed bool) {
		if _, ok := dns.IsDomainName(name); !ok || len(name) > 100 {
			return
		}
		name = dns.CanonicalName(name)
		d := chainOf1(someNames, "z.")
		if hashed {
			d = chainOf3(someNames, "z.", false, 1)
		}
		i := 0
		left := func() bool { i++; return some>>(i%32)&1 == 0 }
		d.nsec = slices.DeleteFunc(d.nsec, func(*dns.NSEC) bool { return left() })
		d.nsec3 = slices.DeleteFunc(d.nsec3, func(*dns.NSEC3) bool { return left() })
		_, err := d.absent(name, qtype)
		types, known := someNames[name]
		switch {
		case err != nil:
		case known && slices.Contains(types, qtype):
			t.Errorf("%s %s is there, and denied", name, dns.TypeToString[qtype])
		case qtype == dns.TypeTXT && strictlyBelow(name, "w.z.") && strings.Count(name, ".") == 3:
			t.Errorf("%s TXT is answered by a wildcard, and denied", name)
		case strictlyBelow(name, "sub.z."), strictlyBelow(name, "signed.z."), strictlyBelow(name, "dname.z."):
			t.Errorf("%s belongs to another zone, and is denied", name)
		}
	})
}

package verify

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/miekg/dns"

	"mxcutover/rrset"
	"mxcutover/verify/resolve"
)

// suite is one document of the RFC 7208 test suite; see testdata/spf.
type suite struct {
	Description string
	Tests       map[string]struct {
		Helo, Host, MailFrom string
		Result               any
	}
	ZoneData map[string][]map[string]any
}

func readSuite(t *testing.T) []suite {
	t.Helper()
	f, err := os.Open("testdata/spf/rfc7208-tests.yml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []suite
	for d := yaml.NewDecoder(f); ; {
		var s suite
		if err := d.Decode(&s); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
}

// strs is a text, or a list of them.
func strs(v any) []string {
	if list, ok := v.([]any); ok && len(list) > 0 {
		var out []string
		for _, x := range list {
			out = append(out, fmt.Sprint(x))
		}
		return out
	}
	return []string{fmt.Sprint(v)}
}

// suiteServer answers with a suite's data as a caching server does.
type suiteServer struct {
	records map[string]map[uint16][]dns.RR
	silent  map[string]bool // what it has no data for is not answered
	failing map[string]bool
}

func (s suite) server(t *testing.T) *suiteServer {
	t.Helper()
	out := &suiteServer{records: map[string]map[uint16][]dns.RR{}, silent: map[string]bool{}, failing: map[string]bool{}}
	for name, list := range s.ZoneData {
		owner, err := spelled(name)
		if err != nil {
			t.Fatal(err)
		}
		out.records[owner] = map[uint16][]dns.RR{}
		hasTXT := slices.ContainsFunc(list, func(r map[string]any) bool { return r["TXT"] != nil })
		for _, r := range list {
			for typ, v := range r {
				out.add(t, owner, typ, v, hasTXT)
			}
		}
	}
	return out
}

func (s *suiteServer) add(t *testing.T, owner, typ string, v any, hasTXT bool) {
	t.Helper()
	put := func(rr dns.RR) {
		rr.Header().Name, rr.Header().Class, rr.Header().Ttl = owner, dns.ClassINET, 60
		s.records[owner][rr.Header().Rrtype] = append(s.records[owner][rr.Header().Rrtype], rr)
	}
	list := strs(v)
	switch typ {
	case "TIMEOUT":
		s.silent[owner] = true
	case "CNAMELOOP":
		s.failing[owner] = true
	case "TXT", "SPF":
		if typ == "SPF" && hasTXT || list[0] == "NONE" {
			return
		}
		rr := &dns.TXT{Hdr: dns.RR_Header{Rrtype: dns.TypeTXT}}
		for _, text := range list {
			parsed, err := dns.NewRR(". TXT " + txtData(text))
			if err != nil {
				t.Fatal(err)
			}
			rr.Txt = append(rr.Txt, parsed.(*dns.TXT).Txt...)
		}
		put(rr)
	case "A":
		put(&dns.A{Hdr: dns.RR_Header{Rrtype: dns.TypeA}, A: net.ParseIP(list[0])})
	case "AAAA":
		put(&dns.AAAA{Hdr: dns.RR_Header{Rrtype: dns.TypeAAAA}, AAAA: net.ParseIP(list[0])})
	case "MX":
		put(&dns.MX{Hdr: dns.RR_Header{Rrtype: dns.TypeMX}, Preference: number(t, list[0]), Mx: dns.Fqdn(list[1])})
	case "PTR":
		put(&dns.PTR{Hdr: dns.RR_Header{Rrtype: dns.TypePTR}, Ptr: dns.Fqdn(list[0])})
	case "CNAME":
		put(&dns.CNAME{Hdr: dns.RR_Header{Rrtype: dns.TypeCNAME}, Target: dns.Fqdn(list[0])})
	default:
		t.Fatalf("%s: a record of a kind %q", owner, typ)
	}
}

func number(t *testing.T, s string) uint16 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(n)
}

// ServeDNS answers, or is silent where the suite wants a time-out.
func (s *suiteServer) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	m := new(dns.Msg).SetReply(req)
	m.RecursionAvailable = true
	typ := req.Question[0].Qtype
	name, err := rrset.CanonicalName(req.Question[0].Name)
	if err != nil {
		return
	}
	for range 5 {
		alias := s.records[name][dns.TypeCNAME]
		if len(alias) == 0 {
			break
		}
		m.Answer = append(m.Answer, alias...)
		name = dns.CanonicalName(alias[0].(*dns.CNAME).Target)
	}
	found := s.records[name][typ]
	m.Answer = append(m.Answer, found...)
	switch {
	case s.failing[name]:
		m.Answer, m.Rcode = nil, dns.RcodeServerFailure
	case len(found) == 0 && s.silent[name]:
		return
	case s.records[name] == nil:
		m.Rcode = dns.RcodeNameError
	}
	if _, tcp := w.LocalAddr().(*net.TCPAddr); !tcp {
		m.Truncate(udpLimit(req))
	}
	_ = w.WriteMsg(m)
}

func udpLimit(req *dns.Msg) int {
	if o := req.IsEdns0(); o != nil {
		return int(o.UDPSize())
	}
	return dns.MinMsgSize
}

// serve gives a client of a server on loopback.
func serve(t *testing.T, h dns.Handler) *resolve.Client {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{Listener: tcp, Handler: h}, {PacketConn: udp, Handler: h}} {
		started, ended := make(chan struct{}), make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(ended)
			_ = s.ActivateAndServe() // ends with Shutdown
		}()
		<-started
		t.Cleanup(func() {
			if err := s.Shutdown(); err != nil {
				t.Error(err)
			}
			<-ended
		})
	}
	c := resolve.New(resolve.Settings{Resolvers: []netip.AddrPort{netip.MustParseAddrPort(tcp.Addr().String())}, Timeout: 2 * time.Second, Rate: -1})
	t.Cleanup(c.Close)
	return c
}

// elsewise are the tests in which the evaluation of the library differs from the
// suite, what comes of them, and why. If one comes out right, its line must go.
var elsewise = map[string]struct{ instead, why string }{
	"a-colon-domain":            {"permerror", "the library allows no / in a domain's name; no name of a host has one"},
	"a-colon-domain-ip4mapped":  {"permerror", "the same"},
	"mx-colon-domain":           {"permerror", "the same"},
	"mx-colon-domain-ip4mapped": {"permerror", "the same"},
	"p-macro-multiple":          {"neutral", "the library makes every %{p} unknown, which RFC 7208 section 7.3 allows where it cannot be validated, and says not to use"},
}

// TestRFC7208 runs the whole suite through our own way to ask: a server on
// loopback, the client of verify/resolve, the grammar of readSPF.
func TestRFC7208(t *testing.T) {
	t.Parallel()
	ran := 0
	for _, s := range readSuite(t) {
		ran += len(s.Tests)
		t.Run(strings.ReplaceAll(s.Description, " ", "-"), func(t *testing.T) {
			t.Parallel()
			client := serve(t, s.server(t))
			for name, k := range s.Tests {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					v := &spfView{dns: client, from: netip.MustParseAddr(k.Host).Unmap(), kept: map[string]kept{}}
					got, err := v.check(t.Context(), k.Helo, k.MailFrom)
					want := strs(k.Result)
					if other, ok := elsewise[name]; ok {
						want = []string{other.instead}
					}
					if !slices.Contains(want, string(got)) {
						t.Errorf("%s (%v), want %s", got, err, want)
					}
				})
			}
		})
	}
	if ran < 200 {
		t.Errorf("%d tests, and the suite has 203", ran)
	}
}

package firewall

import (
	"crypto/sha256"
	"encoding/csv"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A Table says what a firewall is to do, for whoever writes its rules: the first row
// that fits a new connection counts. What fits no row is none of its business.
type Table struct {
	Rows []Row
	NFT  string // the same for nft: at the old server itself, or at the router in the path

	verb  string // "close", "redirect", "open"
	ports []uint16
}

// A Row is one line of a table. Its columns stay as they are; more may come after.
type Row struct {
	Family      string `json:"family"`      // "ipv4" or "ipv6"
	Source      string `json:"source"`      // a network; 0.0.0.0/0 and ::/0 are everybody
	Port        uint16 `json:"port"`        // TCP, at the destination
	Verdict     string `json:"verdict"`     // "accept", "reject" (a TCP reset), "drop", "redirect"
	Destination string `json:"destination"` // an address of the old server
	To          string `json:"to"`          // of redirect: the gateway's address that gets the connection, at the same port; else ""
}

func rowOf(from netip.Prefix, port uint16, verdict string, to netip.Addr) Row {
	family := "ipv4"
	if to.Is6() {
		family = "ipv6"
	}
	return Row{Family: family, Source: from.String(), Port: port, Verdict: verdict, Destination: to.String()}
}

var columns = []string{"family", "source", "port", "verdict", "destination", "to"}

func (r Row) cells() []string {
	return []string{r.Family, r.Source, strconv.Itoa(int(r.Port)), r.Verdict, r.Destination, r.To}
}

// Name tells a table from every other: what it does, at which ports, and a part of the
// SHA-256 of its CSV, as in close-25-3f2a91c4. A person who says that a table is loaded
// says its name.
func (t Table) Name() string {
	var ports []string
	for _, p := range t.ports {
		ports = append(ports, strconv.Itoa(int(p)))
	}
	sum := sha256.Sum256([]byte(t.CSV()))
	return fmt.Sprintf("%s-%s-%x", t.verb, strings.Join(ports, "-"), sum[:4])
}

// CSV is the table as RFC 4180 has it, but with line feeds alone, and a header line.
func (t Table) CSV() string {
	var b strings.Builder
	w := csv.NewWriter(&b)
	_ = w.Write(columns) // a strings.Builder takes everything
	for _, r := range t.Rows {
		_ = w.Write(r.cells())
	}
	w.Flush()
	return b.String()
}

// Text is the table in aligned columns.
func (t Table) Text() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(columns, "\t"))
	for _, r := range t.Rows {
		cells := r.cells()
		if r.To == "" {
			cells[len(cells)-1] = "-"
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	_ = w.Flush() // a strings.Builder takes everything
	return b.String()
}

// handTable is the table of what a person loads with nft. The driven one has another
// name, so that none of the two is ever taken for the other.
const handTable = "mxcutover_by_hand"

// text is the nft text of a table: it may be loaded again, and replaces itself.
func (s *Script) text(r Rules) string {
	var b strings.Builder
	fmt.Fprint(&b, "# mxcutover: load with nft -f, and have it loaded at boot. It replaces what it loaded before.\n")
	if r.Action == Redirect {
		fmt.Fprint(&b, "# At the router in the path to the old server, never on that itself. No source NAT may\n"+
			"# follow: the gateway must see true source addresses, or it relays for everybody. The\n"+
			"# gateway's answers must come back through this router, and its forwarding rules must let\n"+
			"# these connections through.\n")
		for _, f := range []string{"ip", "ip6"} {
			s.redirect(&b, r, f)
		}
		return b.String()
	}
	fmt.Fprint(&b, "# At the old server itself, or at the router in the path to it.\n")
	fmt.Fprintf(&b, "table inet %s\ndelete table inet %s\ntable inet %s {\n", handTable, handTable, handTable)
	network(&b, "trust4", "ipv4_addr", r.Trust, netip.Addr.Is4)
	network(&b, "trust6", "ipv6_addr", r.Trust, netip.Addr.Is6)
	b.WriteString("\tchain prerouting {\n\t\ttype filter hook prerouting priority -150; policy accept;\n" +
		"\t\tiif lo accept comment \"the machine's own mail\"\n" +
		"\t\tip saddr @trust4 accept\n\t\tip6 saddr @trust6 accept\n")
	for _, is := range []struct {
		word string
		is   func(netip.Addr) bool
	}{{"ip", netip.Addr.Is4}, {"ip6", netip.Addr.Is6}} {
		if old := s.addresses(is.is); old != "" {
			fmt.Fprintf(&b, "\t\t%s daddr { %s } tcp dport { %s } tcp flags & (fin | syn | rst | ack) == syn %s\n", is.word, old, elements(r.Ports, nil, 0), verdict(r.Action))
		}
	}
	b.WriteString("\t}\n}\n")
	return b.String()
}

func verdict(a Action) string {
	if a == Drop {
		return "drop"
	}
	return "reject with tcp reset"
}

// redirect writes the table of one family, "ip" or "ip6".
func (s *Script) redirect(b *strings.Builder, r Rules, family string) {
	is, typ := netip.Addr.Is4, "ipv4_addr"
	if family == "ip6" {
		is, typ = netip.Addr.Is6, "ipv6_addr"
	}
	fmt.Fprintf(b, "table %s %s\ndelete table %s %s\n", family, handTable, family, handTable)
	old := s.addresses(is)
	if old == "" {
		return
	}
	fmt.Fprintf(b, "table %s %s {\n", family, handTable)
	network(b, "trust", typ, r.Trust, is)
	fmt.Fprintf(b, "\tchain prerouting {\n\t\ttype nat hook prerouting priority -100; policy accept;\n\t\t%s saddr @trust accept\n", family)
	for _, a := range s.old {
		if is(a) {
			fmt.Fprintf(b, "\t\t%s daddr %s tcp dport { %s } dnat to %s\n", family, a, elements(r.Ports, nil, 0), s.target(a))
		}
	}
	b.WriteString("\t}\n}\n")
}

// addresses are the old server's, of one family.
func (s *Script) addresses(is func(netip.Addr) bool) string {
	var out []string
	for _, a := range s.old {
		if is(a) {
			out = append(out, a.String())
		}
	}
	return strings.Join(out, ", ")
}

// openText takes away whatever a table of ours was loaded with nft.
func openText() string {
	b := "# mxcutover: opens again what was loaded with nft -f. Take it out of what is loaded at boot, too.\n"
	for _, family := range []string{"inet", "ip", "ip6"} {
		b += fmt.Sprintf("table %s %s\ndelete table %s %s\n", family, handTable, family, handTable)
	}
	return b
}

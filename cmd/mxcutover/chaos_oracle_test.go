//go:build integration

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// newMX are the data of the gateway's records, as dig shows them.
var newMX = []string{"10 gw1.gw.test.", "20 gw2.gw.test."}

// foreignMX is what somebody else writes in the middle of it all.
const (
	foreignHost = "mx.elsewhere.test"
	foreignMX   = "30 " + foreignHost + "."
	foreignTTL  = "3"
)

// A track is what one domain's MX may be, in the order of the way forward. The
// steps lead from each state to the next.
type track struct {
	name   string // without the dot at its end
	zone   string
	states []string
	steps  []string
}

// foreign is the rank of what somebody else wrote; unknown is everything else.
const foreign, unknown = -1, -2

func (k track) rank(state string) int {
	if state == foreignTTL+": "+foreignMX {
		return foreign
	}
	if i := slices.Index(k.states, state); i >= 0 {
		return i
	}
	return unknown
}

// mxState spells an RRset: its TTL and its sorted data.
func mxState(ttl string, data []string) string {
	if len(data) == 0 {
		return "absent"
	}
	slices.Sort(data)
	return ttl + ": " + strings.Join(data, ", ")
}

// tracksOf makes each domain's track from its records before anything began.
func tracksOf(before map[string][]string) []track {
	var out []track
	for _, d := range moving() {
		for zone, lines := range before {
			if zone != d.Name && !strings.HasSuffix(d.Name, "."+zone) || d.Zone != "" && d.Zone != zone {
				continue
			}
			ttl, data := mxOf(lines, d.Name)
			k := track{name: d.Name, zone: zone}
			if len(data) == 0 {
				k.states = []string{"absent", mxState("1", slices.Clone(newMX))}
				k.steps = []string{"publish"}
			} else {
				k.states = []string{mxState(ttl, data), mxState("1", data), mxState("1", slices.Clone(newMX)), mxState(ttl, slices.Clone(newMX))}
				k.steps = []string{"lower-ttl", "publish", "settle"}
			}
			out = append(out, k)
		}
	}
	return out
}

// mxOf finds a name's MX among a zone's records.
func mxOf(lines []string, name string) (ttl string, data []string) {
	for _, l := range lines {
		f := strings.Fields(l)
		if f[0] != name+"." || f[3] != "mx" {
			continue
		}
		if ttl != "" && ttl != f[1] {
			return "mixed", []string{"TTLs " + ttl + " and " + f[1]}
		}
		ttl = f[1]
		data = append(data, strings.Join(f[4:], " "))
	}
	return ttl, data
}

// A record is one line of a zone's journal: a change of one record.
type record struct {
	add                   bool
	name, ttl, kind, data string
}

// transactions reads what a zone's server has journaled, one list a
// transaction. A zone that was never changed has none.
func (s *bindSite) transactions(t *testing.T, zone string) (out [][]record) {
	t.Helper()
	path := filepath.Join(s.primary.Dir, "zone."+zone+".jnl")
	if _, err := os.Stat(path); os.IsNotExist(err) {
		return nil
	}
	text, err := exec.Command("named-journalprint", path).Output()
	if err != nil {
		t.Fatalf("named-journalprint %s: %v; it comes with bind9-utils", path, err)
	}
	for l := range strings.Lines(string(text)) {
		f := strings.Fields(strings.ToLower(l))
		if len(f) < 6 || f[0] != "add" && f[0] != "del" {
			t.Fatalf("named-journalprint %s: %q is no change of a record", path, l)
		}
		r := record{add: f[0] == "add", name: strings.TrimSuffix(f[1], "."), ttl: f[2], kind: f[4], data: strings.Join(f[5:], " ")}
		if r.kind == "soa" && !r.add {
			out = append(out, nil)
		}
		if len(out) == 0 {
			t.Fatalf("named-journalprint %s does not begin with a SOA: %q", path, l)
		}
		out[len(out)-1] = append(out[len(out)-1], r)
	}
	return out
}

// A passage is one change of a domain's MX from a rank of its track to another.
type passage struct{ from, to int }

// passages are all changes of the tracks' MX, in order, by domain. Any other
// change is an error: of another record, of the SOA but for its serial, or into
// a state that no step leads to.
func (s *bindSite) passages(t *testing.T, tracks []track) map[string][]passage {
	t.Helper()
	out := map[string][]passage{}
	for zone := range s.zones {
		now := map[string][]record{}
		for _, k := range tracks {
			if k.zone == zone && k.states[0] != "absent" {
				ttl, data, _ := strings.Cut(k.states[0], ": ")
				for d := range strings.SplitSeq(data, ", ") {
					now[k.name] = append(now[k.name], record{name: k.name, ttl: ttl, kind: "mx", data: d})
				}
			}
		}
		for n, tx := range s.transactions(t, zone) {
			if scratch(zone, tx) {
				continue
			}
			soa(t, zone, n, tx)
			for _, name := range touched(tx) {
				i := slices.IndexFunc(tracks, func(k track) bool { return k.name == name })
				if i < 0 {
					t.Errorf("zone %s, transaction %d: %s is no moving domain: %v", zone, n, name, tx)
					continue
				}
				k := tracks[i]
				from := k.rank(stateOf(now[name]))
				now[name] = apply(t, now[name], tx, name)
				to := k.rank(stateOf(now[name]))
				if to == unknown {
					t.Errorf("zone %s, transaction %d: %s became %q, which no step makes", zone, n, name, stateOf(now[name]))
				}
				out[name] = append(out[name], passage{from, to})
			}
		}
	}
	return out
}

// scratchName is how the names of scratch records begin, which are written right
// below an apex to see whether every server gets them.
const scratchName = "_mxcutover-"

// scratch tells whether a transaction adds or deletes one scratch record, and does
// nothing else.
func scratch(zone string, tx []record) bool {
	n := 0
	for _, r := range tx {
		switch label, below := strings.CutSuffix(r.name, "."+zone); {
		case r.kind == "soa":
		case below && r.kind == "txt" && strings.HasPrefix(label, scratchName) && !strings.Contains(label, ".") && strings.Contains(r.data, "it may be deleted"):
			n++
		default:
			return false
		}
	}
	return n == 1
}

// withoutScratch leaves out scratch records: an engine that was killed leaves one,
// until the zone is looked at again.
func withoutScratch(zones map[string][]string) map[string][]string {
	for zone, lines := range zones {
		zones[zone] = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, scratchName) })
	}
	return zones
}

// soa checks that a transaction changes nothing but MX records, and the serial.
func soa(t *testing.T, zone string, n int, tx []record) {
	t.Helper()
	var was, is []string
	for _, r := range tx {
		switch {
		case r.kind == "soa" && r.add:
			is = strings.Fields(r.data)
		case r.kind == "soa":
			was = strings.Fields(r.data)
		case r.kind != "mx":
			t.Errorf("zone %s, transaction %d: a %s record was changed: %v", zone, n, r.kind, r)
		}
	}
	if len(was) != 7 || len(is) != 7 {
		t.Errorf("zone %s, transaction %d: no SOA: %v", zone, n, tx)
		return
	}
	was[2], is[2] = "", ""
	if !slices.Equal(was, is) {
		t.Errorf("zone %s, transaction %d: the SOA changed beyond its serial: %v, %v", zone, n, was, is)
	}
}

// touched are the owners of a transaction's records but the SOA.
func touched(tx []record) (names []string) {
	for _, r := range tx {
		if r.kind != "soa" && !slices.Contains(names, r.name) {
			names = append(names, r.name)
		}
	}
	return names
}

func apply(t *testing.T, now, tx []record, name string) []record {
	t.Helper()
	for _, r := range tx {
		if r.kind != "mx" || r.name != name {
			continue
		}
		same := func(x record) bool { return x.data == r.data && x.ttl == r.ttl }
		switch i := slices.IndexFunc(now, same); {
		case r.add:
			now = append(now, r)
		case i < 0:
			t.Errorf("%s: %v was deleted, and was not there: %v", name, r, now)
		default:
			now = slices.Delete(now, i, i+1)
		}
	}
	return now
}

func stateOf(set []record) string {
	ttl := ""
	var data []string
	for _, r := range set {
		if ttl != "" && ttl != r.ttl {
			return fmt.Sprintf("of mixed TTLs: %v", set)
		}
		ttl = r.ttl
		data = append(data, r.data)
	}
	return mxState(ttl, data)
}

// updates counts, by domain, the updates that the server carried out, those that
// changed nothing included: its log has them all, its journal has not.
func (s *bindSite) updates(t *testing.T) map[string]int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.primary.Dir, "named.log"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for l := range strings.Lines(string(text)) {
		if _, rest, ok := strings.Cut(l, ": deleting rrset at '"); ok {
			name, kind, _ := strings.Cut(rest, "' ")
			if strings.HasPrefix(strings.ToLower(name), scratchName) {
				continue
			}
			if strings.TrimSpace(kind) != "MX" {
				t.Errorf("an update of something else than MX: %s", l)
			}
			out[strings.ToLower(name)]++
		}
	}
	return out
}

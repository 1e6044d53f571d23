package firewall

import (
	"encoding/json"
	"errors"
	"flag"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

var sample = Rules{
	Ports: []uint16{465, 25}, Action: Reject,
	Trust: []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.0.2.20/32"),
		netip.MustParsePrefix("2001:db8::20/128"), netip.MustParsePrefix("::ffff:198.51.100.7/128"),
	},
}

func TestRenderedText(t *testing.T) {
	t.Parallel()
	armed, err := Render(sample, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	drop := sample
	drop.Action = Drop
	for name, text := range map[string]string{
		"armed": armed, "replaced": best.replace(drop, time.Minute, 7), "renewed": renew(sample, time.Minute, 7),
		"confirmed": best.confirm(sample, 8), "boot": best.bootText(sample), "lifted": lift(), "callers": best.callers(sample.canonical()), "forward-callers": dialects[3].callers(sample.canonical()), "unit": testPlace(t).unitText(),
		"forward": dialects[3].first(sample, time.Minute), "forward-confirmed": dialects[3].confirm(sample, 8),
	} {
		file := filepath.Join("testdata", name+".nft")
		if *update {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || text != string(want) {
			t.Errorf("%s differs from %s (%v):\n%s", name, file, err, text)
		}
	}
}

func testPlace(t *testing.T) place {
	t.Helper()
	p, err := placeOf("", "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestOrderOfRules holds what keeps people in: the machine itself first, then
// trust, then refusal; and that SSH is never named.
func TestOrderOfRules(t *testing.T) {
	t.Parallel()
	text, err := Render(sample, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	last := -1
	for _, rule := range []string{"iif lo accept", "fib daddr type != local accept", "ip saddr @trust4 accept", "ip6 saddr @trust6 accept", "tcp dport @armed"} {
		at := strings.LastIndex(text, rule)
		if at <= last {
			t.Errorf("%q is not where it belongs", rule)
		}
		last = at
	}
	if strings.Contains(text, "flush ruleset") {
		t.Error("other tables would be flushed")
	}
}

func TestRulesThatLockOutAreRefused(t *testing.T) {
	t.Parallel()
	trust := sample.Trust
	for name, r := range map[string]Rules{
		"lasting":      {Ports: []uint16{25}, Trust: trust, Lasting: []uint16{465}},
		"ssh":          {Ports: []uint16{25, 22}, Trust: trust},
		"port 0":       {Ports: []uint16{0}, Trust: trust},
		"no trust":     {Ports: []uint16{25}},
		"bad trust":    {Ports: []uint16{25}, Trust: []netip.Prefix{{}}},
		"other action": {Ports: []uint16{25}, Trust: trust, Action: "explode"},
	} {
		if _, err := Render(r, time.Minute); !errors.Is(err, ErrRules) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (Rules{}).Check(); err != nil {
		t.Errorf("lifting: %v", err)
	}
}

func TestParseTable(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	for name, action := range map[string]Action{"armed": Reject, "forward": Reject} {
		l, err := parseTable(listed(t, name), now)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(l.rules.Ports, []uint16{25, 465}) || len(l.rules.Lasting) > 0 || len(l.rules.Trust) != 3 || l.epoch != 1 || l.rules.Action != action {
			t.Errorf("%s: parsed %+v", name, l)
		}
		if left := l.until.Sub(now); left <= 0 || left > 10*time.Minute {
			t.Errorf("%s: until %v", name, l.until)
		}
	}
	l, err := parseTable([]byte(strings.ReplaceAll(string(listed(t, "armed")), `"val": 465, "timeout": 600, "expires": 599`, `"val": 465, "timeout": 600, "expires": 580`)), now)
	if want := now.Add(580 * time.Second); err != nil || !l.until.Equal(want) {
		t.Errorf("until %v, want the earliest, %v; %v", l.until, want, err)
	}
	for _, bad := range []string{"", "[]", `{"nftables":[{"set":{"name":"armed","elem":["x"]}}]}`, `{"nftables":[{"chain":{"name":"epoch_x"}}]}`} {
		if l, err := parseTable([]byte(bad), now); err == nil {
			t.Errorf("%q was read as %+v", bad, l)
		}
	}
}

// What nft lists of both sets of refused sources is read whole, also when they are full.
func TestFullSetsFit(t *testing.T) {
	t.Parallel()
	const each = `{"elem": {"val": {"concat": ["2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", 65535]}, "timeout": 86400, "expires": 86400, "counter": {"packets": 18446744073709551615, "bytes": 18446744073709551615}}}, `
	if most := 2 * 65535 * len(each); most > maxAnswer {
		t.Errorf("%d bytes, and %d are read", most, maxAnswer)
	}
}

// listed is what nft -j list table said of the rules of the same name.
func listed(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestEditedTableClosesNothing reads tables that somebody has edited: the set of
// closed ports is there, and nobody is refused.
func TestEditedTableClosesNothing(t *testing.T) {
	t.Parallel()
	of := func(key, chain string) func(map[string]json.RawMessage) bool {
		return func(o map[string]json.RawMessage) bool {
			return strings.Contains(string(o[key]), `"`+chain+`"`)
		}
	}
	without := func(is func(map[string]json.RawMessage) bool) func([]map[string]json.RawMessage) []map[string]json.RawMessage {
		return func(all []map[string]json.RawMessage) []map[string]json.RawMessage { return slices.DeleteFunc(all, is) }
	}
	insert := func(rule string) func([]map[string]json.RawMessage) []map[string]json.RawMessage {
		return func(all []map[string]json.RawMessage) []map[string]json.RawMessage {
			i := slices.IndexFunc(all, func(o map[string]json.RawMessage) bool { return o["rule"] != nil })
			return slices.Insert(all, i, map[string]json.RawMessage{"rule": json.RawMessage(rule)})
		}
	}
	for name, edit := range map[string]func([]map[string]json.RawMessage) []map[string]json.RawMessage{
		"put to sleep": func(all []map[string]json.RawMessage) []map[string]json.RawMessage {
			for _, o := range all {
				if o["table"] != nil {
					o["table"] = json.RawMessage(`{"name":"mxcutover","flags":"dormant"}`)
				}
			}
			return all
		},
		"its hook is gone":          without(of("chain", "prerouting")),
		"its rules were flushed":    without(of("rule", "prerouting")),
		"nothing is refused":        without(of("rule", "refuse")),
		"the jump is gone":          without(func(o map[string]json.RawMessage) bool { return strings.Contains(string(o["rule"]), "@armed") }),
		"all are let through first": insert(`{"chain":"prerouting","expr":[{"accept":null}]}`),
		"let through in refuse":     insert(`{"chain":"refuse","expr":[{"match":{}},{"accept":null}]}`),
		"one more is let through":   insert(`{"chain":"prerouting","expr":[{"match":{}},{"accept":null}]}`),
	} {
		var list struct {
			All []map[string]json.RawMessage `json:"nftables"`
		}
		if err := json.Unmarshal(listed(t, "armed"), &list); err != nil {
			t.Fatal(err)
		}
		list.All = edit(list.All)
		b, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		l, err := parseTable(b, time.Unix(0, 0))
		if err != nil || !l.there || len(l.rules.Ports) > 0 || len(l.rules.Lasting) > 0 || !l.until.IsZero() {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"nftables":[{"set":{"name":"armed","elem":[{"elem":{"val":25,"expires":5}}]}}]}`))
	f.Add([]byte(`{"nftables":[{"set":{"name":"blocked4","elem":[{"elem":{"val":{"concat":["192.0.2.1",25]},"counter":{"packets":3}}}]}}]}`))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = parseTable(b, time.Unix(0, 0))
		_ = parseSeen(b, map[netip.AddrPort]uint64{})
		_ = parseCallers(b, map[netip.Addr]uint64{})
	})
}

// TestLabDriver speaks to a server of its own that answers as the embedded
// world's firewall does.
func TestLabDriver(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "fw") //nolint:usetesting // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	var have ruling
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /rules", func(w http.ResponseWriter, r *http.Request) {
		if json.NewDecoder(r.Body).Decode(&have) != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	mux.HandleFunc("GET /rules", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(have) })
	mux.HandleFunc("GET /seen", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`[{"addr":"192.0.2.9:25","count":4}]`))
	})
	s := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	d, err := Open("lab", Settings{Socket: filepath.Join(dir, "s")})
	if err != nil {
		t.Fatal(err)
	}
	until := time.Unix(2e9, 0).UTC()
	if err := d.Apply(t.Context(), sample, until); err != nil {
		t.Fatal(err)
	}
	r, u, err := d.Loaded(t.Context())
	if err != nil || !u.Equal(until) || !slices.Equal(r.Ports, sample.Ports) {
		t.Errorf("loaded %v %v %v", r, u, err)
	}
	seen, err := d.Seen(t.Context())
	if err != nil || seen[netip.MustParseAddrPort("192.0.2.9:25")] != 4 {
		t.Errorf("seen %v %v", seen, err)
	}
	if err := d.Apply(t.Context(), Rules{Ports: []uint16{22}, Trust: sample.Trust}, until); !errors.Is(err, ErrRules) {
		t.Errorf("closing SSH: %v", err)
	}
}

func TestUnknownDriver(t *testing.T) {
	t.Parallel()
	if _, err := Open("iptables", Settings{}); err == nil || !strings.Contains(err.Error(), "lab, local, script, ssh") {
		t.Errorf("an unknown driver: %v", err)
	}
}

func TestParseBridges(t *testing.T) {
	t.Parallel()
	got, err := parseBridges("docker0 172.17.0.1/16\nbr-1 fd00:20::1/64\nbr-1 fe80::1/64\nend\n")
	if err != nil || len(got) != 2 || got[0].Name != "docker0" || got[0].Network.String() != "172.17.0.0/16" || got[1].Network.String() != "fd00:20::/64" {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := parseBridges("end\n"); err != nil || len(got) > 0 {
		t.Errorf("none: %v, %v", got, err)
	}
	for _, bad := range []string{"", "docker0 172.17.0.1/16\n", "docker0\nend\n", "docker0 x\nend\n"} {
		if got, err := parseBridges(bad); err == nil {
			t.Errorf("%q was read as %v", bad, got)
		}
	}
}

// TestNothingForAShell wants paths that would be more than words to a shell refused, and
// what is quoted to be one word of it.
func TestNothingForAShell(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"relative", "/a b", "/a;reboot", "/$(reboot)", "/`reboot`", "/a'b", "/a\"b", "/a\nb", "/../etc", "/a/..", "/", "/a/", "/-rf"} {
		if _, err := placeOf(bad, ""); err == nil {
			t.Errorf("boot file %q was taken", bad)
		}
		if _, err := ForcedCommand(bad, true); err == nil {
			t.Errorf("a forced command with %q was made", bad)
		}
	}
	for _, word := range []string{"it's", "$(reboot) `reboot` \\ \"x\" ; | & > < * ?", "two\nlines", ""} {
		out, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", "printf %s "+quote(word)).Output()
		if err != nil || string(out) != word {
			t.Errorf("%q became %q, %v", word, out, err)
		}
	}
}

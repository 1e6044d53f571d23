package firewall

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func scripted(t *testing.T, to ...string) *Script {
	t.Helper()
	s := Settings{Old: []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")}}
	for _, a := range to {
		s.To = append(s.To, netip.MustParseAddr(a))
	}
	d, err := Open("script", s)
	if err != nil {
		t.Fatal(err)
	}
	return d.(*Script)
}

// tablesOf are all tables that a person may be asked to load.
func tablesOf(t *testing.T) map[string]Table {
	t.Helper()
	s := scripted(t, "203.0.113.5", "2001:db8:5::5")
	out := map[string]Table{}
	for _, action := range []Action{Reject, Drop, Redirect} {
		r := sample
		r.Action = action
		if action == Redirect {
			r.Ports = []uint16{25}
		}
		made, err := s.Closing(r)
		if err != nil {
			t.Fatal(err)
		}
		out[string(action)] = made
	}
	open, err := s.Opening(sample)
	if err != nil {
		t.Fatal(err)
	}
	out["open"] = open
	return out
}

// What a person is asked to load is stable, in each of its forms.
func TestTables(t *testing.T) {
	t.Parallel()
	for name, made := range tablesOf(t) {
		for end, text := range map[string]string{".csv": made.CSV(), ".txt": "# " + made.Name() + "\n" + made.Text(), ".nft": made.NFT} {
			file := filepath.Join("testdata", "script", name+end)
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
}

// nft itself takes the texts, where it is there; nothing is loaded.
func TestTablesAreNFT(t *testing.T) {
	t.Parallel()
	nft, err := exec.LookPath("nft")
	if err != nil || os.Getuid() != 0 {
		t.Skip("no nft here, or not root")
	}
	for name, made := range tablesOf(t) {
		c := exec.Command("unshare", "-n", nft, "-c", "-f", "-")
		c.Stdin = strings.NewReader(made.NFT)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}

// A name is of one table only: what a person confirms is what was asked for.
func TestTableNames(t *testing.T) {
	t.Parallel()
	s := scripted(t, "203.0.113.5", "2001:db8:5::5")
	name := func(change func(*Rules)) string {
		t.Helper()
		r := Rules{Ports: []uint16{25}, Trust: sample.Trust}
		change(&r)
		made, err := s.Closing(r)
		if err != nil {
			t.Fatal(err)
		}
		return made.Name()
	}
	first := name(func(*Rules) {})
	if !strings.HasPrefix(first, "close-25-") {
		t.Errorf("name %q", first)
	}
	names := []string{
		first, name(func(r *Rules) { r.Ports = []uint16{25, 465} }), name(func(r *Rules) { r.Trust = r.Trust[:1] }),
		name(func(r *Rules) { r.Action = Drop }), name(func(r *Rules) { r.Action = Redirect }),
	}
	if slices.Sort(names); len(slices.Compact(names)) != 5 {
		t.Errorf("two tables have one name: %v", names)
	}
	if same := name(func(r *Rules) { r.Trust = slices.Clone(r.Trust); slices.Reverse(r.Trust) }); same != first {
		t.Errorf("the same rules in another order have another name: %s, %s", first, same)
	}
}

// Redirect is nowhere taken where it would make an open relay, or lose a family.
func TestRedirectIsForTheRouterAlone(t *testing.T) {
	t.Parallel()
	r := Rules{Ports: []uint16{25}, Trust: sample.Trust, Action: Redirect}
	if err := r.Check(); !errors.Is(err, ErrRules) || !strings.Contains(err.Error(), "open relay") {
		t.Errorf("the old server itself: %v", err)
	}
	if _, err := scripted(t, "203.0.113.5").Closing(r); !errors.Is(err, ErrRules) || !strings.Contains(err.Error(), "2001:db8::10") {
		t.Errorf("a family without a gateway: %v", err)
	}
	for _, bad := range []Rules{{Ports: []uint16{22}, Trust: sample.Trust}, {Ports: []uint16{25}}, {Trust: sample.Trust}, {Ports: []uint16{25}, Trust: sample.Trust, Action: "masquerade"}} {
		if _, err := scripted(t).Closing(bad); !errors.Is(err, ErrRules) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// Nothing that a person loads is ever taken for loaded.
func TestScriptLoadsNothing(t *testing.T) {
	t.Parallel()
	s, ctx := scripted(t), t.Context()
	_, _, loaded := s.Loaded(ctx)
	_, kept := s.Kept(ctx, sample)
	_, seen := s.Seen(ctx)
	for i, err := range []error{s.Apply(ctx, sample, time.Now().Add(time.Hour)), s.Apply(ctx, Rules{}, time.Time{}), s.Keep(ctx, sample), loaded, kept, seen} {
		if !errors.Is(err, ErrByHand) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

package main

import (
	"strings"
	"testing"
	"time"

	"mxcutover/config"
	"mxcutover/lab"
)

// TestScreenAsksServers asks each name server and the resolver as the domain's screen
// does: what they say, who only keeps it, and that a silent one hides no other.
func TestScreenAsksServers(t *testing.T) {
	t.Parallel()
	w := startLab(t, lab.Options{Dir: t.TempDir(), SenderRate: -1, SpamRate: -1, TTL: time.Minute, Lag: -1})
	path, err := w.WriteConfig(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	a := &attached{cfg: cfg}
	defer a.close()
	for _, c := range [][2]string{{"choir.test.", "choir.test."}, {"estates.test.", "*.tenants.estates.test."}} {
		all, err := a.servers(t.Context(), c[0], c[1])
		if err != nil {
			t.Fatal(err)
		}
		auth, caches := 0, 0
		for _, x := range all {
			if x.Err != "" || x.Set.Name != c[1] || len(x.Set.Data) != 1 || !strings.Contains(x.Set.Data[0], "mail.old.test.") || x.Keep <= 0 || x.Keep > time.Minute {
				t.Errorf("%s: %+v", c[1], x)
			}
			if x.Cache {
				caches++
			} else {
				auth++
			}
		}
		if auth != 2 || caches != len(cfg.Resolvers) || caches == 0 {
			t.Errorf("%s: %d name servers and %d resolvers answered", c[1], auth, caches)
		}
	}
	if all, err := a.servers(t.Context(), "choir.test.", "none.choir.test."); err != nil || len(all) < 3 || !all[0].Set.Absent() {
		t.Errorf("a name that is not there: %+v, %v", all, err)
	}
	if all, err := a.servers(t.Context(), "nowhere.invalid.", "nowhere.invalid."); err == nil {
		t.Errorf("a zone that nobody has: %+v", all)
	}
}

package main

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mxcutover/firewall"
	"mxcutover/lab"
)

// personCmd is a person at the old server's firewall, which mxcutover does not drive:
// person takes-over (the configuration), person asked PREFIX (waits until a table is
// asked for, and sets $TABLE), person loads, person opens.
func personCmd(ts *testscript.TestScript, _ bool, args []string) {
	f := ts.Value("world").(*lab.World).Facts()
	wall, err := firewall.Open("lab", firewall.Settings{Socket: f.Firewall})
	ts.Check(err)
	switch args[0] {
	case "takes-over":
		text := ts.ReadFile("mxcutover.yaml")
		out := regexp.MustCompile(`(?m)^  driver: lab\n  socket: .*$`).ReplaceAllString(text, "  driver: script\n  ways_in: [none]")
		if out == text {
			ts.Fatalf("the configuration has no driver: lab")
		}
		ts.Check(os.WriteFile(ts.MkAbs("mxcutover.yaml"), []byte(out), 0o600))
	case "asked":
		ts.Setenv("TABLE", asked(ts, args[1]))
	case "loads":
		r := firewall.Rules{Ports: []uint16{f.SMTPPort}}
		for _, g := range f.Gateways {
			p, err := g.Addr.Prefix(g.Addr.BitLen())
			ts.Check(err)
			r.Trust = append(r.Trust, p)
		}
		ts.Check(wall.Apply(context.Background(), r, time.Time{}))
	case "opens":
		ts.Check(wall.Apply(context.Background(), firewall.Rules{}, time.Time{}))
	default:
		ts.Fatalf("person %s: unknown", args[0])
	}
}

// asked waits until a table is asked for, and gives its name.
func asked(ts *testscript.TestScript, begins string) string {
	var st struct{ Asks, Said, Reason string }
	for deadline := time.Now().Add(2 * time.Minute); ; {
		ts.Check(ts.Exec("mxcutover", "isolate", "status", "-o", "json"))
		ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &st))
		if strings.HasPrefix(st.Asks, begins) && st.Said == "" {
			return st.Asks
		}
		if time.Now().After(deadline) {
			ts.Fatalf("in vain; it asks %q: %s", st.Asks, st.Reason)
		}
	}
}

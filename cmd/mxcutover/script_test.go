package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mxcutover/lab"
	"mxcutover/state/bolt"
)

var update = flag.Bool("update", false, "write the expected texts of the scripts anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"mxcutover": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}})
}

// TestScript runs the stories in testdata/script. Each has a world of its own
// on loopback, whose configuration is $CONFIG.
func TestScript(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update, RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			w, err := lab.Start(context.Background(), lab.Options{Dir: e.Getenv("TMPDIR"), SenderRate: -1, SpamRate: 2})
			if err != nil {
				return err
			}
			e.Defer(func() {
				if err := w.Close(); err != nil {
					e.T().Fatal(err)
				}
			})
			e.Values["world"], e.Values["holds"] = w, map[string]*bolt.Hold{}
			path, err := w.WriteConfig(e.WorkDir)
			if err != nil {
				return err
			}
			e.Setenv("MXCUTOVER_CONFIG", path)
			e.Setenv("RESOLVER", fmt.Sprintf("%s:%d", w.Facts().Resolver, w.Facts().DNSPort))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"world": worldCmd, "code": codeCmd, "edit": editCmd, "flip": flipCmd, "eventually": eventuallyCmd,
			"hold": holdCmd, "release": releaseCmd, "waits": waitsCmd, "byhand": byhandCmd, "scrape": scrapeCmd,
			"tear": tearCmd, "written": writtenCmd, "oldlog": oldlogCmd, "within": withinCmd, "person": personCmd,
		},
	})
}

// worldCmd changes the world: world forget DOMAIN, world remember DOMAIN,
// world mx|txt ZONE NAME TTL DATA...
func worldCmd(ts *testscript.TestScript, _ bool, args []string) {
	w := ts.Value("world").(*lab.World)
	switch args[0] {
	case "forget":
		w.Forget(args[1])
	case "remember":
		w.Remember(args[1])
	case "mx", "txt":
		var ttl uint32
		_, err := fmt.Sscan(args[3], &ttl)
		ts.Check(err)
		ts.Check(w.Edit(args[1], args[2], strings.ToUpper(args[0]), ttl, args[4:]...))
	default:
		ts.Fatalf("world %s: unknown", args[0])
	}
}

// codeCmd runs mxcutover and wants an exit code: code 6 run.
func codeCmd(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("mxcutover", args[1:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("mxcutover %s: exit code %s, want %s", strings.Join(args[1:], " "), got, args[0])
	}
}

// holdCmd takes the hold of a migration, as another process that changes it
// does: hold JOURNAL. releaseCmd lets it go.
func holdCmd(ts *testscript.TestScript, _ bool, args []string) {
	h, err := bolt.Take(ts.MkAbs(args[0]), "a test", false)
	ts.Check(err)
	ts.Value("holds").(map[string]*bolt.Hold)["it"] = h
}

func releaseCmd(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(ts.Value("holds").(map[string]*bolt.Hold)["it"].Release())
}

// editCmd replaces a text in a file, once: edit FILE OLD NEW.
func editCmd(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Replace(text, args[1], args[2], 1)), 0o600))
}

// byhandCmd leaves a zone to a customer, who is asked for changes: byhand ZONE.
func byhandCmd(ts *testscript.TestScript, _ bool, args []string) {
	f := ts.Value("world").(*lab.World).Facts()
	text := ts.ReadFile("mxcutover.yaml")
	for _, r := range [][2]string{
		{args[0] + ", ", ""},
		{"providers:\n", fmt.Sprintf("providers:\n  customer:\n    kind: manual\n    zones: [%s]\n    settings: {servers: [\"%s:%d\", \"%s:%d\"], contact: the choir, within: 2h}\n", args[0], f.NS1, f.DNSPort, f.NS2, f.DNSPort)},
	} {
		if !strings.Contains(text, r[0]) {
			ts.Fatalf("the configuration does not hold %q", r[0])
		}
		text = strings.Replace(text, r[0], r[1], 1)
	}
	ts.Check(os.WriteFile(ts.MkAbs("mxcutover.yaml"), []byte(text), 0o600))
}

// withinCmd gives a zone a second view, in a file, which is only compared: within ZONE FILE.
func withinCmd(ts *testscript.TestScript, _ bool, args []string) {
	f := ts.Value("world").(*lab.World).Facts()
	text := ts.ReadFile("mxcutover.yaml")
	for _, r := range [][2]string{
		{"    kind: rfc2136\n", "    kind: rfc2136\n    view: public\n"},
		{"providers:\n", fmt.Sprintf("providers:\n  within:\n    kind: zonefile\n    zones: [%s]\n    view: inside\n    compare_only: true\n    settings: {files: {%s: %q}, reload: [\"false\"]}\n", args[0], args[0], ts.MkAbs(args[1]))},
		{"resolvers: {", fmt.Sprintf("resolvers: {inside: [\"%s:%d\"], ", f.Resolver, f.DNSPort)},
	} {
		if !strings.Contains(text, r[0]) {
			ts.Fatalf("the configuration does not hold %q", r[0])
		}
		text = strings.Replace(text, r[0], r[1], 1)
	}
	ts.Check(os.WriteFile(ts.MkAbs("mxcutover.yaml"), []byte(text), 0o600))
}

// waitsCmd waits until the status of a domain has a text: waits DOMAIN TEXT.
func waitsCmd(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(time.Minute); ; {
		ts.Check(ts.Exec("mxcutover", "status", "--domain", args[0]))
		if out := ts.ReadFile("stdout"); strings.Contains(out, args[1]) {
			return
		} else if time.Now().After(deadline) {
			ts.Fatalf("in vain; the status is\n%s", out)
		}
	}
}

// tearCmd takes a file's last bytes away, as a crash in the middle of a line: tear FILE.
func tearCmd(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text[:len(text)-9]), 0o600))
}

// oldlogCmd appends a message to a log of the old server, of some time ago:
// oldlog FILE AGO PEER RECIPIENT [FIELDS]. The peer may be the word gateway.
func oldlogCmd(ts *testscript.TestScript, _ bool, args []string) {
	ago, err := time.ParseDuration(args[1])
	ts.Check(err)
	peer := args[2]
	if peer == "gateway" {
		peer = ts.Value("world").(*lab.World).Facts().Gateways[0].Addr.String()
	}
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	ts.Check(err)
	end, err := f.Seek(0, io.SeekEnd)
	ts.Check(err)
	_, err = f.WriteString(oldMessage(int(end), ago, peer, args[3], strings.Join(args[4:], " ")))
	ts.Check(errors.Join(err, f.Close()))
}

// writtenCmd waits until a file holds a text: written FILE TEXT.
func writtenCmd(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(time.Minute); ; {
		if text, _ := os.ReadFile(ts.MkAbs(args[0])); strings.Contains(string(text), args[1]) {
			return
		} else if time.Now().After(deadline) {
			ts.Fatalf("in vain; %s holds\n%s", args[0], text)
		}
	}
}

// flipCmd changes bytes of a journal's first pages: flip FILE.
func flipCmd(ts *testscript.TestScript, _ bool, args []string) {
	text := []byte(ts.ReadFile(args[0]))
	for i := 3 * 4096; i < min(len(text), 100<<10); i += 97 {
		text[i] ^= 0xff
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o600))
}

// eventuallyCmd runs mxcutover until it succeeds: eventually status.
func eventuallyCmd(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := ts.Exec("mxcutover", args...)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("mxcutover %s: %v", strings.Join(args, " "), err)
		}
	}
}

// setGateAuto lets a lab's migration go through without a person.
func setGateAuto(t *testing.T, cfg string) {
	t.Helper()
	text, err := os.ReadFile(cfg)
	if err != nil {
		t.Fatal(err)
	}
	out := strings.Replace(string(text), "approve: manual", "approve: auto", 1)
	if out == string(text) {
		t.Fatal("the lab's configuration has no manual gate")
	}
	if err := os.WriteFile(cfg, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
}

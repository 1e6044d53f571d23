package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// byHand is why commands for a firewall that a person loads are parsed only.
const byHand = "it takes a person's firewall; firewall_byhand.txtar has one, and types all of these"

// walks are the pages with commands, and what is to be known about these.
var walks = map[string][]step{
	"README.md": {
		{at: "git clone REPOSITORY mxcutover && cd mxcutover", before: func(w *walk) { w.do("mkdir mxcutover") }},
	},
	"docs/install.md": {
		{at: "mxcutover init --out /etc/mxcutover/gateway-2026.yaml", parsed: "it asks on a terminal; init.txtar answers"},
		{at: "chgrp mxcutover /etc/mxcutover/gateway-2026.yaml && chmod 640 /etc/mxcutover/gateway-2026.yaml", before: func(w *walk) {
			w.do("cp mxcutover.yaml /etc/mxcutover/gateway-2026.yaml")
		}},
		{at: "sha256sum -c --ignore-missing SHA256SUMS", before: func(w *walk) { w.do("echo x >mxcutover && sha256sum mxcutover >SHA256SUMS") }},
		{at: "ssh-keygen -Y verify -f allowed_signers -I WHO -n file -s SHA256SUMS.sig <SHA256SUMS", before: signsSums, parsed: withoutSSHKeygen()},
	},
	"docs/isolation.md": {
		{at: "mxcutover isolate status", before: func(w *walk) {
			w.oldServerLogs()
			w.edit("  blind: true\n", "")
			w.allLive()
			w.eventually("mxcutover isolate status", "approve --isolate")
		}},
		{at: "mxcutover isolate confirm --confirm isolate", before: func(w *walk) { w.until("isolation=proven") }},
		{at: "mxcutover isolate lift", before: func(w *walk) { w.until("isolation=confirmed") }},
		{at: "ssh-keygen -t ed25519 -N '' -f /etc/mxcutover/isolate_ed25519", parsed: withoutSSHKeygen()},
		{at: `printf '%s %s\n' "$(mxcutover isolate forced-command)" "$(cat /etc/mxcutover/isolate_ed25519.pub)"`, before: func(w *walk) {
			if withoutSSHKeygen() != "" {
				w.do("echo key >/etc/mxcutover/isolate_ed25519.pub")
			}
		}},
		{at: "mxcutover isolate show", parsed: byHand},
		{at: "mxcutover isolate show -o csv", parsed: byHand},
		{at: "mxcutover isolate done --confirm close-25-3f2a91c4", parsed: byHand},
		{at: "mxcutover isolate confirm --confirm isolate", parsed: byHand},
		{at: "mxcutover isolate show --open", parsed: byHand},
		{at: "mxcutover isolate lift", parsed: byHand},
	},
	"docs/monitoring.md": {
		{at: "mxcutover verify --quiet --timeout 50m --textfile /var/lib/prometheus/node-exporter/mxcutover.prom", before: func(w *walk) {
			w.do("mkdir -p /var/lib/prometheus/node-exporter /var/www/html/mail")
			w.pilotLive()
		}},
		{at: "/usr/local/bin/mxcutover verify --nagios --timeout 50s --config /etc/mxcutover/mxcutover.yaml", before: func(w *walk) { w.do("cp mxcutover.yaml /etc/mxcutover/") }},
		{at: "mxcutover run --metrics :9817", before: (*walk).interrupt, as: func(_ *walk, c string) string { return strings.Replace(c, ":9817", ":0", 1) }},
		{at: "cd /usr/share/doc/mxcutover/monitoring", as: func(w *walk, _ string) string {
			at, err := filepath.Abs(monitoring)
			if err != nil {
				w.Fatal(err)
			}
			return "cd " + at
		}},
	},
	"docs/parity.md": {
		{at: "mxcutover parity --addresses valid.txt --resume parity.state", before: addressesAndLogs, as: fast},
		{at: "mxcutover parity --logs '/var/log/exim4/mainlog*' --most 2000 --resume parity.state", before: func(w *walk) { w.do("rm parity.state") }, as: fast},
	},
	"docs/quickstart.md": {
		{at: "mxcutover approve --isolate", before: func(w *walk) { w.eventually("mxcutover isolate status", "approve --isolate") }},
	},
	"docs/recipients.md": {
		{at: "mxcutover preflight --domain choir.example", as: inTheWorld},
	},
	"docs/reports.md": {
		{at: "mxcutover verify", before: (*walk).pilotLive},
		{at: `mxcutover verify --domain choir.example --check "gw.*"`, as: inTheWorld},
		{at: "mxcutover report -o json --until 2026-03-05T06:00:00Z | jq .needs"},
	},
	"docs/runbook.md": {
		{at: "mxcutover init", parsed: "it asks on a terminal; init.txtar answers"},
		{at: "mxcutover traffic --since 720h", before: (*walk).oldServerLogs},
		{at: "mxcutover parity --addresses valid.txt --resume parity.state", before: addressesAndLogs, as: fast},
		{at: "mxcutover parity --logs '/var/log/exim4/mainlog*' --most 2000 --resume parity-logs.state", as: fast},
		{at: "mxcutover inventory --diff /var/lib/mxcutover/inventory.json", before: func(w *walk) { w.do("cp inventory.json /var/lib/mxcutover/") }},
		{at: "mxcutover verify", before: mailPasses},
		{at: "mxcutover verify", before: mailPasses},
		{at: "mxcutover traffic --stragglers", before: func(w *walk) { w.eventually("mxcutover isolate status", "approve --isolate") }},
		{at: "mxcutover isolate replay"},
	},
	"docs/recovery.md": {
		{at: "mxcutover report", before: func(w *walk) {
			w.oldServerLogs()
			w.do("mxcutover plan")
			w.start("mxcutover run")
			w.eventually("mxcutover status -o json", `"engine": "running"`)
			w.until("domain:choir.test=published")
			w.do("mxcutover backup /backup/early.db")
			w.until("wave:pilot=live")
		}},
		{at: "mxcutover status", under: "The engine is dead", before: killed},
		{at: "mxcutover status", under: "A wave is held", before: func(w *walk) {
			w.until("domain:estates.test=soaking")
			w.world.Forget("estates.test")
			w.until("domain:estates.test=rolled-back")
		}},
		{at: "mxcutover preflight --domain estates.test", code: codeFailed},
		{at: "mxcutover retry --domain estates.test", before: func(w *walk) { w.world.Remember("estates.test") }},
		{at: "mxcutover status --domain choir.test", under: "Drifted", before: func(w *walk) {
			w.do("mxcutover resume --all")
			if err := w.world.Edit("choir.test", "choir.test", "MX", 3, "10 elsewhere.test."); err != nil {
				w.Fatal(err)
			}
			w.do("mxcutover rollback --domain choir.test --confirm choir.test")
			w.until("domain:choir.test=drifted")
		}},
		{at: "mxcutover rollback --domain choir.test --force --confirm choir.test", before: func(w *walk) { w.until("domain:choir.test=drifted") }},
		{at: "mxcutover state check", before: breaksJournal, code: codeError},
		{at: "mxcutover rollback --from /var/lib/mxcutover/demo.snapshots --journal /backup/again.db --all --confirm all", before: func(w *walk) {
			w.interrupt()
			w.do("mv state/demo.db lost.db; cp state/demo.snapshots /var/lib/mxcutover/")
		}},
		{at: "mxcutover isolate status", under: "SSH is lost while the old server is armed", before: func(w *walk) {
			w.anew()
			w.pilotLive()
		}},
		{at: "mxcutover retry --isolate", code: codeRefused}, // it is open, and waits for nobody
	},
}

// fast asks more than one question a second, since the world is ours.
func fast(_ *walk, c string) string { return c + " --rate 100" }

// inTheWorld is a command about a domain that the world has.
func inTheWorld(_ *walk, c string) string {
	return strings.ReplaceAll(c, "choir.example", "choir.test")
}

// pilotLive is a migration whose first wave is live, with its engine.
func (w *walk) pilotLive() {
	w.Helper()
	w.do("mxcutover plan")
	w.start("mxcutover run")
	w.eventually("mxcutover status -o json", `"engine": "running"`)
	w.until("wave:pilot=live")
}

func (w *walk) allLive() {
	w.Helper()
	w.pilotLive()
	w.do("mxcutover approve --wave wave-2")
	w.do("mxcutover approve --wave wave-3")
	w.until("live")
}

// oldServerLogs gives the old server a log, which the configuration names: a message
// for choir.test 40 days ago, yesterday, and just now, through the gateway.
func (w *walk) oldServerLogs() {
	w.Helper()
	gateway := w.world.Facts().Gateways[0].Addr.String()
	text := ""
	for _, m := range []struct {
		ago  time.Duration
		peer string
	}{{40 * 24 * time.Hour, "203.0.113.5"}, {24 * time.Hour, "203.0.113.5"}, {0, gateway}} {
		text += oldMessage(len(text), m.ago, m.peer, "anna@choir.test", "")
	}
	w.do("mkdir -p /var/log/exim4")
	w.write(filepath.Join(w.root, "/var/log/exim4/mainlog"), text)
	w.edit("traffic: {", fmt.Sprintf("traffic: {logs: [%q], ", filepath.Join(w.root, "/var/log/exim4/mainlog")))
}

// oldMessage is a message in an Exim's main log, of some time ago; the number makes its id.
func oldMessage(number int, ago time.Duration, peer, to, fields string) string {
	line := time.Now().Add(-ago).Format("2006-01-02 15:04:05.000 -0700 ") + fmt.Sprintf("%06d-00000000000-0000 ", number)
	return fmt.Sprintf("%s<= a@sender.example H=x [%s] P=esmtp S=100 %s\n%s=> %s R=r T=smtp C=\"250 OK\"\n", line, peer, fields, line, to)
}

func addressesAndLogs(w *walk) {
	w.write(filepath.Join(w.dir, "valid.txt"), "anna@choir.test\noffice@bakery.test\n")
	w.do("mkdir -p /var/log/exim4")
	if log := filepath.Join(w.root, "/var/log/exim4/mainlog"); missingFile(log) {
		w.write(log, oldMessage(0, time.Hour, "203.0.113.5", "anna@choir.test", ""))
	}
}

func missingFile(path string) bool {
	_, err := os.Stat(path)
	return os.IsNotExist(err)
}

// mailPasses is another message by the gateway, in the old server's log.
func mailPasses(w *walk) {
	log := filepath.Join(w.root, "/var/log/exim4/mainlog")
	text := w.read(log)
	w.write(log, text+oldMessage(len(text), 0, w.world.Facts().Gateways[0].Addr.String(), "anna@choir.test", ""))
}

// killed is an engine that dies without a word, and without a child.
func killed(w *walk) {
	for _, o := range w.ongoing {
		if err := syscall.Kill(-o.Process.Pid, syscall.SIGKILL); err != nil {
			w.Fatal(err)
		}
		<-o.ended
	}
	w.ongoing = nil
}

// breaksJournal damages a journal's pages, with no engine at work.
func breaksJournal(w *walk) {
	w.interrupt()
	path := filepath.Join(w.dir, "state", "demo.db")
	text := []byte(w.read(path))
	for i := 3 * 4096; i < min(len(text), 100<<10); i += 97 {
		text[i] ^= 0xff
	}
	w.write(path, string(text))
}

// withoutSSHKeygen is why its commands are not typed, where they are not.
func withoutSSHKeygen() string {
	if missing("ssh-keygen") {
		return "ssh-keygen is not on this machine"
	}
	return ""
}

func signsSums(w *walk) {
	if withoutSSHKeygen() != "" {
		return
	}
	w.do(`ssh-keygen -q -t ed25519 -N '' -f key && ssh-keygen -q -Y sign -f key -n file SHA256SUMS && echo "WHO $(cat key.pub)" >allowed_signers`)
}

// TestDocsWalks types every command of every page, in its order.
func TestDocsWalks(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/bin/bash"); err != nil {
		t.Skip("pages are typed into bash")
	}
	seen := map[string]bool{}
	for _, p := range readPages(t) {
		commands := 0
		for _, b := range p.blocks {
			commands += len(b.commands(t))
		}
		if commands == 0 {
			continue
		}
		seen[p.path] = true
		steps, ok := walks[p.path]
		if !ok {
			t.Errorf("%s has %d commands, and no walk: give it a line in walks", p.path, commands)
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(p.path), ".md"), func(t *testing.T) {
			t.Parallel()
			newWalk(t, p.path, steps).all(p)
		})
	}
	for path := range walks {
		if !seen[path] {
			t.Errorf("%s has a walk, and no commands", path)
		}
	}
}

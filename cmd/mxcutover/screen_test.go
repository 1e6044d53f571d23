//go:build integration

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mxcutover/control"
	"mxcutover/lab"
	"mxcutover/state"
)

// A pane is a terminal of tmux with the screen in it.
type pane struct {
	t    *testing.T
	tmux func(args ...string) string
	name string
}

// newTerminals starts tmux by itself, away from any that runs.
func newTerminals(t *testing.T) func(args ...string) string {
	t.Helper()
	dir := t.TempDir()
	tmux := func(args ...string) string {
		c := exec.Command("tmux", append([]string{"-f", "/dev/null", "-S", filepath.Join(dir, "tmux")}, args...)...)
		c.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
		out, err := c.CombinedOutput()
		if err != nil && args[0] != "kill-server" && args[0] != "kill-session" {
			t.Logf("tmux %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	t.Cleanup(func() { tmux("kill-server") })
	return tmux
}

// open runs a command in a terminal of some size.
func open(t *testing.T, tmux func(args ...string) string, name, dir, command string, width, height int) *pane {
	t.Helper()
	tmux("new-session", "-d", "-s", name, "-x", strconv.Itoa(width), "-y", strconv.Itoa(height), "-c", dir, command+"; sleep 300")
	return &pane{t: t, tmux: tmux, name: name}
}

func (p *pane) text() string { return p.tmux("capture-pane", "-p", "-t", p.name) }

// await waits until the terminal shows all of some texts.
func (p *pane) await(what ...string) {
	p.t.Helper()
	has := func() bool {
		text := p.text()
		for _, w := range what {
			if !strings.Contains(text, w) {
				return false
			}
		}
		return true
	}
	if !comesTrue(p.t, 90*time.Second, has) {
		p.t.Fatalf("%s does not show %q:\n%s", p.name, what, p.text())
	}
}

// press presses keys, one after the other, as a person does.
func (p *pane) press(keys ...string) {
	p.t.Helper()
	for _, k := range keys {
		time.Sleep(60 * time.Millisecond) // a person's pause: faster keys are a paste
		p.tmux("send-keys", "-t", p.name, k)
	}
}

func (p *pane) typeIn(text string) {
	p.t.Helper()
	for _, r := range text {
		p.press(string(r))
	}
}

// decide presses a key, waits for its dialog, types what that needs, and carries out.
func (p *pane) decide(key, title, name string) {
	p.t.Helper()
	p.press(key)
	p.await(title, "the same as")
	p.typeIn(name)
	p.await("carries it out")
	aMoment()
	p.press("C-y")
	p.await("taken by the engine")
}

// aMoment is as long as a person takes to read a dialog, which cannot be confirmed sooner,
// and as a pause that ends a burst of keys. Nothing on the screen tells when it is over.
func aMoment() { time.Sleep(500 * time.Millisecond) }

func comesTrue(t *testing.T, d time.Duration, f func() bool) bool {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if f() {
			return true
		}
	}
	return f()
}

// screenWorld is a world with a plan that was not begun, and the program.
func screenWorld(t *testing.T, o lab.Options) (w *lab.World, dir, bin string) {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Fatal("tmux is missing; make integration installs it")
	}
	dir = t.TempDir()
	bin = filepath.Join(dir, "mxcutover")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	o.Dir, o.TTL, o.Lag = dir, 3*time.Second, time.Second
	w = startLab(t, o)
	config, err := w.WriteConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("MXCUTOVER_CONFIG", config)
	t.Chdir(dir)
	if code := run(t.Context(), []string{"plan"}, strings.NewReader(""), os.Stdout, os.Stderr); code != 0 {
		t.Fatalf("plan: %d", code)
	}
	return w, dir, bin
}

// TestIntegrationScreen walks a whole migration by keys only: it is begun from the
// screen, a domain is rolled back and begun anew, a terminal is lost in the middle, a
// second viewer looks on and takes control over, and the old server is isolated.
func TestIntegrationScreen(t *testing.T) {
	w, dir, bin := screenWorld(t, lab.Options{})
	tmux := newTerminals(t)
	a := open(t, tmux, "first", dir, bin, 100, 30)
	a.await("NO ENGINE", "B begins it", "pilot: 3 domains")
	a.press("B")
	a.await("Begin the migration demo")
	a.typeIn("demo")
	a.await("carries it out")
	a.press("C-y")
	a.await("engine running", "you decide", "Waves")
	pid := enginePID(t, dir)
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })

	a.await("3/12 live")
	a.decide("A", "Approve wave wave-2", "")
	a.await("9/12 live")

	a.press("/")
	a.typeIn("bakery")
	a.press("Enter", "Enter")
	a.await("bakery.test  wave wave-2  LIVE", "new MX written")
	a.decide("R", "Roll back domain bakery.test", "bakery.test")
	a.await("ROLLED-BACK")
	a.press("e")
	a.await("Why bakery.test is rolled-back", "mxcutover retry --domain bakery.test")
	a.press("Escape")

	b := open(t, tmux, "second", dir, bin, 80, 24)
	b.await("READ-ONLY", "O takes over", "8/12 live")
	a.decide("T", "Retry domain bakery.test", "")
	b.await("9/12 live") // it sees what the other decided

	tmux("kill-session", "-t", "first") // the terminal is lost, with its screen
	b.await("you decide")               // nobody has control, so this one gets it
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the engine went with the terminal: %v", err)
	}
	a = open(t, tmux, "third", dir, bin, 60, 16)
	a.await("READ-ONLY", "9/12 live")
	a.press("O")
	a.await("Take control over")
	aMoment()
	a.press("C-y")
	b.await("READ-ONLY")
	a.press("A")
	a.await("Approve wave wave-3")
	aMoment()
	a.press("C-y")
	a.await("taken by the engine")
	b.await("12/12 live")

	tmux("resize-window", "-t", "third", "-x", "30", "-y", "5")
	a.await("mxcutover 12/12 live")
	tmux("resize-window", "-t", "third", "-x", "100", "-y", "30")
	a.press("i")
	a.await("Isolate the old server: observed")
	a.decide("A", "Approve the isolation", "")
	a.await("Isolate the old server: proven", "opens by itself in")
	a.press("a")
	a.await("loaded now: closed port")
	a.decide("C", "Confirm the isolation", "isolate")
	a.await("Isolate the old server: confirmed")
	b.await("DONE")
	b.press("l")
	b.await("the migration is over")
	b.press("q")
	if err := w.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if sum := w.Accounts(); sum.Lost > 0 || sum.Doubled > 0 || sum.Accepted == 0 {
		t.Errorf("mail: %+v", sum)
	}
}

// enginePID is the process that the screen has started.
func enginePID(t *testing.T, dir string) (pid int) {
	t.Helper()
	client, err := control.Dial(filepath.Join(dir, "state", "demo.run"))
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range client.Follow(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == state.Started {
			return e.Engine.PID
		}
	}
	t.Fatal("no engine has told of itself")
	return 0
}

// TestIntegrationScreenLosesTheEngine kills the engine under a screen: it says how old
// what it shows is, starts another one, and goes on.
func TestIntegrationScreenLosesTheEngine(t *testing.T) {
	_, dir, bin := screenWorld(t, lab.Options{SpamRate: -1})
	engine := startProcess(t, dir, bin, "run")
	tmux := newTerminals(t)
	a := open(t, tmux, "screen", dir, bin, 100, 30)
	a.await("engine running", "3/12 live")
	if err := engine.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	a.decideInVain("A")
	if err := engine.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	a.await("NO ENGINE", "what you see is what the journal has")
	a.press("H")
	a.await("no engine runs that could take it")
	a.press("S")
	a.await("The last engine ended without order")
	aMoment()
	a.press("C-y")
	a.await("engine running")
	pid := 0
	if m := regexp.MustCompile(`pid (\d+)`).FindStringSubmatch(a.text()); m != nil {
		pid, _ = strconv.Atoi(m[1])
	}
	t.Cleanup(func() {
		if pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	a.decide("Q", "Stop the engine", "")
	a.await("NO ENGINE")
	if !comesTrue(t, 20*time.Second, func() bool { return pid > 0 && syscall.Kill(pid, 0) != nil }) {
		t.Errorf("the engine, pid %d, goes on", pid)
	}
}

// decideInVain asks for something that a stopped engine cannot answer, and cancels.
func (p *pane) decideInVain(key string) {
	p.t.Helper()
	p.press(key)
	p.await("the same as")
	aMoment()
	p.press("C-y")
	p.await("does not answer")
	p.press("Escape")
}

// TestIntegrationScreenWithinScreen has the screen within GNU screen, and screen within a
// terminal: it looks as it does without, keys and pastes are taken as they are without,
// and it outlives the terminal.
func TestIntegrationScreenWithinScreen(t *testing.T) {
	if _, err := exec.LookPath("screen"); err != nil {
		t.Fatal("screen is missing; make integration installs it")
	}
	_, dir, bin := screenWorld(t, lab.Options{SpamRate: -1})
	sockets := filepath.Join(dir, "screens")
	if err := os.Mkdir(sockets, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SCREENDIR", sockets)
	t.Cleanup(func() { _ = exec.Command("screen", "-S", "mxc", "-X", "quit").Run() })
	tmux := newTerminals(t)
	for _, size := range [][2]int{{100, 30}, {60, 16}} {
		name := strconv.Itoa(size[0])
		bare := open(t, tmux, "bare"+name, dir, bin, size[0], size[1])
		within := open(t, tmux, "within"+name, dir, "screen -U -c /dev/null -S mxc"+name+" "+bin, size[0], size[1])
		for _, p := range []*pane{bare, within} {
			p.await("NO ENGINE", "B begins", "pilot")
		}
		same := func() bool { return clockless(bare.text()) == clockless(within.text()) }
		if !comesTrue(t, 10*time.Second, same) {
			t.Errorf("%v: within screen it is\n%s\nwithout\n%s", size, within.text(), bare.text())
		}
		for _, p := range []*pane{bare, within} {
			p.press("q")
		}
	}
	a := open(t, tmux, "a", dir, "screen -U -c /dev/null -S mxc "+bin, 100, 30)
	a.await("NO ENGINE", "B begins it")
	tmux("set-buffer", "-b", "paste", "jkjkBdemo") // keys, as a terminal without bracketed paste sends them
	tmux("paste-buffer", "-b", "paste", "-t", "a")
	a.await("as if pasted: they were ignored")
	aMoment()
	a.press("B")
	a.await("Begin the migration demo")
	tmux("paste-buffer", "-b", "paste", "-t", "a")
	a.await("as if pasted: type it")
	aMoment()
	a.typeIn("demo")
	a.await("carries it out")
	a.press("C-y")
	a.await("engine running", "you decide", "Waves")
	pid := enginePID(t, dir)
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	tmux("kill-session", "-t", "a") // the line drops: screen detaches
	a = open(t, tmux, "again", dir, "screen -U -r mxc", 80, 24)
	a.await("engine running", "you decide", "3/12 live")
	a.press("?")
	a.await("UPPER CASE changes")
	a.press("q")
}

// clockless is a text without times of day.
func clockless(text string) string {
	return regexp.MustCompile(`\d\d:\d\d:\d\dZ`).ReplaceAllString(strings.TrimRight(text, "\n"), "")
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"mxcutover/lab"
)

// A walk types the commands of one page in their order, as a person does: into a real
// shell, with the real program, at a world of its own. What the page leaves to the
// person, such as waiting, stands in its steps.
type walk struct {
	*testing.T
	world   *lab.World
	page    string
	steps   []step
	root    string // stands for / in paths of the page, see places
	dir     string // where the shell is at first; mxcutover.yaml is there
	demo    string // the folder of demo --keep, once it was started
	ongoing []*ongoing
}

// A step is what is to be known about one command of a page. Steps are used up in
// their order; one whose command is not in the page fails the walk.
type step struct {
	at     string                     // the command as it stands in the page, without a comment
	under  string                     // the heading above it; "" = any
	before func(*walk)                // what has happened when it is typed
	as     func(*walk, string) string // what is typed instead, where a name is made anew each time
	code   int                        // how it ends
	parsed string                     // why it is not typed, and only parsed
}

// An ongoing command goes on until it is told to end.
type ongoing struct {
	*exec.Cmd
	command string
	out     string // the file that its words go to
	ended   chan struct{}
	err     error
}

// walkTime bounds every wait of a walk.
const walkTime = 4 * time.Minute

// places are paths of a real machine, which a walk has below its root.
var places = []string{"/etc/mxcutover", "/etc/cron.d", "/var/lib/mxcutover", "/var/lib/prometheus", "/var/log", "/var/www", "/backup"}

var (
	goesOn     = regexp.MustCompile(`^mxcutover( -c \S+)? (run\b|demo --keep|watch$|isolate watch|events --follow)`)
	demoFolder = regexp.MustCompile(`/tmp/mxcutover-demo-[0-9]+`)
	cronLine   = regexp.MustCompile(`^[0-9*/,-]+ [0-9*/,-]+ [0-9*/,-]+ [0-9*/,-]+ [0-9*/,-]+ [a-z]+ (.+)$`)
	nrpeLine   = regexp.MustCompile(`^command\[[a-z_]+\]=(.+)$`)
)

func newWalk(t *testing.T, page string, steps []step) *walk {
	t.Helper()
	w := &walk{T: t, page: page, steps: steps, root: t.TempDir()}
	for _, p := range places {
		if err := os.MkdirAll(filepath.Join(w.root, p), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.layPrograms()
	w.anew()
	return w
}

// anew is a world in which nothing has happened, in another folder.
func (w *walk) anew() {
	w.Helper()
	w.interrupt()
	world, err := lab.Start(w.Context(), lab.Options{TTL: 3 * time.Second, Lag: time.Second, SenderRate: 2, SpamRate: 2})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if err := world.Close(); err != nil {
			w.Error(err)
		}
	})
	w.world, w.dir = world, w.TempDir()
	if _, err := w.world.WriteConfig(w.dir); err != nil {
		w.Fatal(err)
	}
	w.write(filepath.Join(w.root, "cwd"), w.dir+"\n")
	w.write(filepath.Join(w.root, "env"), "")
	w.Cleanup(w.interrupt)
}

func (w *walk) write(path, text string) {
	w.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

func (w *walk) read(path string) string {
	w.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		w.Fatal(err)
	}
	return string(text)
}

// edit replaces a text in the configuration, once.
func (w *walk) edit(old, now string) {
	w.Helper()
	path := filepath.Join(w.dir, "mxcutover.yaml")
	text := w.read(path)
	if !strings.Contains(text, old) {
		w.Fatalf("the configuration does not hold %q", old)
	}
	w.write(path, strings.Replace(text, old, now, 1))
}

// here is a command as it is typed at this walk's places.
func (w *walk) here(command string) string {
	for _, p := range places {
		command = strings.ReplaceAll(command, p, w.root+p)
	}
	command = strings.NewReplacer("/usr/local/bin/mxcutover", "mxcutover", "/usr/bin/mxcutover", "mxcutover").Replace(command)
	return demoFolder.ReplaceAllStringFunc(command, func(string) string { return w.demo })
}

// shell is the shell in which a command is typed: where the one before left it.
func (w *walk) shell(ctx context.Context, command string, stays bool) *exec.Cmd {
	end := "\n}; rc=$?; export -p >\"$WALK/env\"; pwd >\"$WALK/cwd\"; exit $rc"
	if stays {
		end = "\n}"
		command = "exec " + command
	}
	c := exec.CommandContext(ctx, "bash", "-c", ". \"$WALK/env\"; cd \"$(cat \"$WALK/cwd\")\" || exit 99; {\n"+command+end)
	c.Env = append(os.Environ(), "WALK="+w.root, "PATH="+filepath.Join(w.root, "programs")+":"+os.Getenv("PATH"), "HOME="+w.root, "TMPDIR="+os.TempDir(), "NO_COLOR=1", "MXCUTOVER_CONFIG=")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	return c
}

// do types a command that is no command of the page, and gives what it prints.
func (w *walk) do(command string) string {
	w.Helper()
	out, code := w.typeIn(command)
	if code != 0 {
		w.Fatalf("%s: exit code %d\n%s", command, code, out)
	}
	return out
}

func (w *walk) typeIn(command string) (out string, code int) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), walkTime)
	defer cancel()
	b, err := w.shell(ctx, w.here(command), false).CombinedOutput()
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		code = e.ExitCode()
	} else if err != nil {
		w.Fatalf("%s: %v", command, err)
	}
	return string(b), code
}

// until waits as a person does who has nothing else to do.
func (w *walk) until(goal string) {
	w.Helper()
	w.do("mxcutover watch --until " + goal + " --timeout 240s")
}

// eventually types a command until it says a text.
func (w *walk) eventually(command, text string) {
	w.Helper()
	for deadline := time.Now().Add(walkTime); ; {
		out, _ := w.typeIn(command)
		if strings.Contains(out, text) {
			return
		}
		if time.Now().After(deadline) {
			w.Fatalf("%s never said %q, but\n%s", command, text, out)
		}
	}
}

// start types a command that goes on.
func (w *walk) start(command string) *ongoing {
	w.Helper()
	out, err := os.CreateTemp(w.root, "ongoing-")
	if err != nil {
		w.Fatal(err)
	}
	defer out.Close()
	o := &ongoing{Cmd: w.shell(context.WithoutCancel(w.Context()), w.here(command), true), command: command, out: out.Name(), ended: make(chan struct{})}
	o.Stdout, o.Stderr = out, out
	if err := o.Start(); err != nil {
		w.Fatal(err)
	}
	w.ongoing = append(w.ongoing, o)
	go func() { o.err = o.Wait(); close(o.ended) }()
	if _, rest, ok := strings.Cut(command, " demo --keep"); ok && rest == "" {
		w.demo = demoFolder.FindString(w.said(o, "Ctrl-C here ends the world"))
	}
	return o
}

// said waits until an ongoing command has said a text, and gives all that it said.
func (w *walk) said(o *ongoing, text string) string {
	w.Helper()
	for deadline := time.Now().Add(walkTime); ; {
		ended := false
		select {
		case <-o.ended:
			ended = true
		default:
		}
		out := w.read(o.out)
		if strings.Contains(out, text) {
			return out
		}
		if ended || time.Now().After(deadline) {
			w.Fatalf("%s never said %q, but\n%s", o.command, text, out)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// interrupt is Ctrl-C in every other terminal, the last one first.
func (w *walk) interrupt() {
	for i := len(w.ongoing) - 1; i >= 0; i-- {
		o := w.ongoing[i]
		_ = syscall.Kill(-o.Process.Pid, syscall.SIGINT) // it may have ended
		select {
		case <-o.ended:
		case <-time.After(walkTime):
			_ = syscall.Kill(-o.Process.Pid, syscall.SIGKILL)
			w.Errorf("%s does not end by Ctrl-C", o.command)
		}
		switch c := o.ProcessState.ExitCode(); c {
		case codeDone, codePerson, codeInterrupted:
		default:
			w.Errorf("%s: exit code %d\n%s", o.command, c, w.read(o.out))
		}
	}
	w.ongoing = nil
}

// all walks the whole page.
func (w *walk) all(p page) {
	for _, b := range p.blocks {
		for _, c := range b.commands(w.T) {
			w.one(b, c)
			if w.Failed() {
				return // what follows rests upon it
			}
		}
	}
	for _, s := range w.steps {
		w.Errorf("%s: the page has no more %q; look at its steps", w.page, s.at)
	}
}

// one types a command, and compares what it says.
func (w *walk) one(b block, c docCommand) {
	at := fmt.Sprintf("%s:%d: %s", b.page, b.line, c.text)
	s := step{at: c.text}
	if len(w.steps) > 0 && w.steps[0].at == c.text && (w.steps[0].under == "" || w.steps[0].under == b.under) {
		s, w.steps = w.steps[0], w.steps[1:]
	}
	if s.before != nil {
		s.before(w)
	}
	if s.parsed != "" {
		if err := parses(strings.TrimPrefix(c.text, "mxcutover ")); err != nil && strings.HasPrefix(c.text, "mxcutover ") {
			w.Errorf("%s: %v", at, err)
		}
		return
	}
	text := c.text
	if s.as != nil {
		text = s.as(w, text)
	}
	if goesOn.MatchString(text) {
		o := w.start(text)
		if m := goesOn.FindStringSubmatch(text); m[2] == "run" {
			w.eventually("mxcutover"+m[1]+" status -o json", `"engine": "running"`)
		}
		for _, line := range c.says {
			w.awaitLine(at, o, line)
		}
		return
	}
	out, code := w.typeIn(text)
	if code != s.code {
		w.Errorf("%s: exit code %d, want %d\n%s", at, code, s.code, out)
		return
	}
	if err := w.calls(); err != nil {
		w.Errorf("%s: %v", at, err)
	}
	if c.session {
		if err := compare(c.says, w.there(out)); err != nil {
			w.Errorf("%s: %v", at, err)
		}
	}
}

// there is what was said, with the paths that the page has.
func (w *walk) there(out string) string {
	return strings.NewReplacer(w.root+"/", "/", w.dir+"/", "", w.dir, ".").Replace(out)
}

// awaitLine waits until an ongoing command says what the page says it does.
func (w *walk) awaitLine(at string, o *ongoing, line string) {
	w.Helper()
	for deadline := time.Now().Add(walkTime); ; {
		err := compare([]string{"...", line, "..."}, w.there(w.read(o.out)))
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.Fatalf("%s: %v", at, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A docCommand is what is typed at once, and in a session what it says then.
type docCommand struct {
	text    string
	says    []string
	session bool
}

// commands are those of a block, in their order; none if it has others.
func (b block) commands(t *testing.T) (out []docCommand) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(b.text, "\n"), "\n")
	switch b.lang {
	case "sh":
		for i := 0; i < len(lines); {
			c, n := firstCommand(lines[i:])
			if n == 0 {
				t.Fatalf("%s:%d: a shell takes no command that begins with %q", b.page, b.line, lines[i])
			}
			if c != "" {
				out = append(out, docCommand{text: c})
			}
			i += n
		}
	case "console":
		for i := 0; i < len(lines); {
			if first, ok := strings.CutPrefix(lines[i], "$ "); ok {
				for j := i + 1; j < len(lines) && strings.HasSuffix(lines[j-1], "\\"); j++ {
					first += "\n" + strings.TrimPrefix(lines[j], "> ")
					i = j
				}
				c, n := firstCommand(strings.Split(first, "\n"))
				if n == 0 || c == "" {
					t.Fatalf("%s:%d: a shell does not take %q", b.page, b.line, first)
				}
				out = append(out, docCommand{text: c, session: true})
			} else if len(out) > 0 {
				out[len(out)-1].says = append(out[len(out)-1].says, lines[i])
			} else {
				t.Fatalf("%s:%d: a session begins with a command behind a $", b.page, b.line)
			}
			i++
		}
	case "cron", "nrpe":
		form := map[string]*regexp.Regexp{"cron": cronLine, "nrpe": nrpeLine}[b.lang]
		for _, line := range lines {
			if strings.HasPrefix(line, "#") {
				continue
			}
			m := form.FindStringSubmatch(line)
			if m == nil {
				t.Fatalf("%s:%d: %q has not the form of %s", b.page, b.line, line, b.lang)
			}
			out = append(out, docCommand{text: strings.ReplaceAll(m[1], `\%`, "%")})
		}
	}
	return out
}

var comment = regexp.MustCompile(`(^|\s+)#\s.*$`)

// firstCommand is the first command of some lines, without a comment behind it, and how many
// lines it has; "" = a comment, or nothing; 0 lines = it is none.
func firstCommand(lines []string) (text string, n int) {
	for n := 1; n <= len(lines); n++ {
		text := strings.Join(lines[:n], "\n")
		if out, err := exec.Command("bash", "-n", "-c", text).CombinedOutput(); err != nil || len(out) > 0 || strings.HasSuffix(text, "\\") {
			continue
		}
		if n == 1 {
			text = comment.ReplaceAllString(text, "")
		}
		return strings.TrimSpace(text), n
	}
	return "", 0
}

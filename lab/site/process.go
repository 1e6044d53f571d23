package site

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// A process is a server's program with a folder of its own, run by hand.
type process struct {
	name    string   // of the server, for errors
	install string   // the package that has the program
	logs    []string // files in the folder that tell what it said; the first has its output
	dir     string
	group   bool // its children are a process group with it, and end with it

	cmd     *exec.Cmd
	exited  chan struct{}
	cleanup []func() error // newest last
}

// folder makes a temporary folder, gone after Stop, if none is given.
func (p *process) folder(given string) (string, error) {
	if given == "" {
		made, err := os.MkdirTemp("", p.name+"-")
		if err != nil {
			return "", err
		}
		p.cleanup = append(p.cleanup, func() error { return removeAll(made) })
		given = made
	}
	p.dir = given
	return given, nil
}

// removeAll removes a folder in which a child that was just killed may have been
// writing.
func removeAll(dir string) (err error) {
	for range 20 {
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// write makes files in the folder, which nobody else may read.
func (p *process) write(files map[string]string) error {
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// run runs a program in the folder until it ends. Its words are in the error.
func (p *process) run(ctx context.Context, input, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, find(program), args...)
	cmd.Dir, cmd.Stdin = p.dir, bytes.NewBufferString(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", program, err, out)
	}
	return nil
}

// launch starts the program in the folder. Its words go to the first log.
func (p *process) launch(program string, args ...string) error {
	words, err := os.Create(filepath.Join(p.dir, p.logs[0]))
	if err != nil {
		return err
	}
	defer words.Close()
	cmd := exec.Command(find(program), args...) //nolint:noctx // ended by Stop
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, words, words
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: p.group}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w; install %s", err, p.install)
	}
	exited := make(chan struct{})
	p.cmd, p.exited = cmd, exited
	go func() {
		defer close(exited)
		_ = cmd.Wait() // how it ended is seen in its log
	}()
	return nil
}

// find finds a program that an unprivileged user's PATH may lack.
func find(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", eximCache} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return name
}

// await asks until there is no error, the program has ended, or 20 s are over.
func (p *process) await(ctx context.Context, what string, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.exited:
			return fmt.Errorf("%s ended at once", p.name)
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

// started is the recipe's error, if there is one, with what the program said.
// Nothing is left of it then.
func (p *process) started(err error) error {
	if err == nil {
		return nil
	}
	return errors.Join(fmt.Errorf("%s: %w%s", p.name, err, p.log()), p.Stop())
}

// address makes the address one of an interface, until Stop.
func (p *process) address(ctx context.Context, addr netip.Addr) error {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if has, err := netip.ParsePrefix(a.String()); err == nil && has.Addr() == addr {
			return nil
		}
	}
	prefix := netip.PrefixFrom(addr, addr.BitLen()).String()
	if out, err := exec.CommandContext(ctx, find("ip"), "address", "add", prefix, "dev", "lo").CombinedOutput(); err != nil {
		return fmt.Errorf("%s is no interface's address, and %s listens on those only; as root: ip address add %s dev lo: %w: %s", addr, p.name, prefix, err, bytes.TrimSpace(out))
	}
	p.cleanup = append(p.cleanup, func() error {
		out, err := exec.Command(find("ip"), "address", "del", prefix, "dev", "lo").CombinedOutput() //nolint:noctx // must be done
		if err != nil {
			return fmt.Errorf("%s: take %s away again: %w: %s", p.name, prefix, err, bytes.TrimSpace(out))
		}
		return nil
	})
	return nil
}

// Kill ends the server with SIGKILL, as a crash does, and waits. Its folder and
// its address stay; Restart starts it again.
func (p *process) Kill() error {
	err := p.cmd.Process.Kill()
	<-p.exited
	p.killGroup()
	if errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s had ended by itself%s", p.name, p.log())
	}
	return err
}

// Quit ends the server in order, as its administrator does, and waits. Conversations that
// it has begun come to their end by themselves. Its folder and its address stay; Restart
// starts it again.
func (p *process) Quit() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("%s: %w%s", p.name, err, p.log())
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("%s does not end%s", p.name, p.log())
	}
}

// Stop ends the server, by pid, waits, and takes away what was made for it.
func (p *process) Stop() error {
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // gone already is as well
		select {
		case <-p.exited:
		case <-time.After(10 * time.Second):
			_ = p.cmd.Process.Kill() // gone already is as well
			<-p.exited
		}
		p.killGroup()
	}
	var err error
	for _, undo := range slices.Backward(p.cleanup) {
		err = errors.Join(err, undo())
	}
	p.cleanup = nil
	return err
}

// killGroup ends the children that outlive their server: its group, and on Linux
// those that left it, which are known by the folder in their arguments.
func (p *process) killGroup() {
	if !p.group {
		return
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // none left is as well
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return
	}
	for _, file := range all {
		args, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(args, []byte(p.dir+"/")) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && pid != os.Getpid() {
			_ = syscall.Kill(pid, syscall.SIGKILL) // gone already is as well
		}
	}
}

// log is the tail of what the program said.
func (p *process) log() string {
	var tail string
	for _, name := range p.logs {
		if text, err := os.ReadFile(filepath.Join(p.dir, name)); err == nil {
			tail += "\n" + string(text[max(0, len(text)-4000):])
		}
	}
	return tail
}

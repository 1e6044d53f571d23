package firewall

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// ErrInDoubt means that it is not known whether rules were loaded: the way to the
// machine was lost. What is so now must be read.
var ErrInDoubt = errors.New("whether that was done is not known")

// A Far is a machine on which a command can be run, this one or another. Run comes
// back when the command has ended, or ctx. An error that has ExitStatus() int says how
// the command ended; with any other one that is not known.
type Far interface {
	Run(ctx context.Context, command string, talk func(in io.WriteCloser, out io.Reader) error) error
	String() string
}

// script is all that is ever run at the old server. It is constant but for the paths
// at its top.
//
//go:embed remote.sh
var script string

// Places at the machine, and bounds.
const (
	defaultBootFile = "/etc/mxcutover/isolate.nft"                    // confirmed rules, for the next boot
	defaultUnit     = "/etc/systemd/system/mxcutover-isolate.service" // that loads them
	protocol        = "mxcutover-2"                                   // what the script answers to
	unitWants       = "sysinit.target.wants"                          // which boot it belongs to
	window          = 20 * time.Second                                // from the last question to what is done
	askTime         = 20 * time.Second                                // for one answer
	maxAnswer       = 64 << 20                                        // bytes of it: of both sets of refused sources, when they are full
)

// A place is where confirmed rules are kept at the machine.
type place struct{ boot, unit, wants string }

// plain are paths that need no quoting anywhere.
var plain = regexp.MustCompile(`^(/[A-Za-z0-9_][A-Za-z0-9._-]*)+$`)

// placeOf is the default one, but for the boot file. Tests keep the unit beside it.
func placeOf(boot, unit string) (place, error) {
	if boot == "" {
		boot = defaultBootFile
	}
	if unit == "" {
		unit = defaultUnit
	}
	for _, p := range []string{boot, unit} {
		if !plain.MatchString(p) {
			return place{}, fmt.Errorf("the boot file %.80q: an absolute path of letters, digits, dots, dashes and underscores was expected", p)
		}
	}
	return place{boot, unit, path.Join(path.Dir(unit), unitWants)}, nil
}

// fill puts the place into the script.
func (p place) fill(text string, wait time.Duration) string {
	return strings.NewReplacer("@BOOT@", p.boot, "@UNIT@", p.unit, "@WANTS@", p.wants, "@WINDOW@", strconv.Itoa(int(wait.Seconds()))).Replace(text)
}

// command is the command line of a machine's shell that runs the script, as root.
func (p place) command(wait time.Duration, sudo bool) string {
	line := "/bin/sh -c " + quote(p.fill(script, wait)) + ` mxcutover "$SSH_CONNECTION"`
	if sudo {
		line = "sudo -n " + line
	}
	return line
}

// ForcedCommand is the line of authorized_keys that lets a key do what the driver ssh
// does, and nothing else: run the script, and connect to the machine itself, to see
// whether its own mail still works. The key itself stands after it.
func ForcedCommand(boot string, sudo bool) (string, error) {
	p, err := placeOf(boot, "")
	if err != nil {
		return "", err
	}
	text := base64.StdEncoding.EncodeToString([]byte(p.fill(script, window)))
	run := `/bin/sh -c "$(echo ` + text + ` | base64 -d)" mxcutover "$SSH_CONNECTION"`
	if sudo {
		run = "sudo -n " + run
	}
	return `restrict,port-forwarding,permitopen="127.0.0.1:*",permitopen="[::1]:*",command="` + strings.ReplaceAll(run, `"`, `\"`) + `"`, nil
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// An asker asks a machine, one question a call.
type asker struct {
	far     Far
	command string
	wait    time.Duration // the window
}

// ask sends a question, and the text that belongs to it.
func (a asker) ask(ctx context.Context, verb, text string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
	var out bytes.Buffer
	gone := false // the last word is on its way
	err := a.far.Run(ctx, a.command, func(in io.WriteCloser, answer io.Reader) error {
		_, werr := fmt.Fprintf(in, protocol+" %s %d %s\n%s", verb, len(text), sum, text)
		r := bufio.NewReader(io.LimitReader(answer, maxAnswer+1))
		first, err := r.ReadString('\n')
		if first == "ready\n" && werr == nil && ctx.Err() == nil {
			gone = true
			if _, err := fmt.Fprintf(in, "go %s\n", sum); err != nil {
				return err
			}
		} else {
			out.WriteString(first)
		}
		in.Close()
		if err == nil {
			_, err = io.Copy(&out, r)
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		if out.Len() > maxAnswer {
			err = fmt.Errorf("it answers more than %d bytes", maxAnswer)
		}
		return errors.Join(werr, err)
	})
	var exit interface{ ExitStatus() int }
	switch {
	case err == nil && gone && strings.TrimSpace(out.String()) != "done":
		return "", fmt.Errorf("%w: %s ended without saying so", ErrInDoubt, a.far)
	case err != nil && errors.As(err, &exit) && strings.Contains(err.Error(), "this is not a request"):
		return "", fmt.Errorf("%w: the forced command of our key there is of another release; print it anew: mxcutover isolate forced-command", err)
	case err == nil || errors.As(err, &exit):
		return out.String(), err
	case gone:
		return "", fmt.Errorf("%w: %w", ErrInDoubt, err)
	}
	return "", err
}

// here is this machine.
type here struct{ before []string }

func (here) String() string { return "this machine" }

// Run runs a command line here, as root of this machine does.
func (h here) Run(ctx context.Context, command string, talk func(in io.WriteCloser, out io.Reader) error) error {
	argv := append(append([]string{}, h.before...), "/bin/sh", "-c", command)
	c := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // our own command line
	c.WaitDelay = time.Second
	words := &bytes.Buffer{}
	c.Stderr = &limited{words, 4096}
	in, err := c.StdinPipe()
	if err != nil {
		return err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	said := talk(in, out)
	in.Close()
	ended := c.Wait()
	var exit *exec.ExitError
	switch {
	case ended == nil:
		return said
	case errors.As(ended, &exit) && exit.ExitCode() > 0:
		return &exitError{exit.ExitCode(), strings.TrimSpace(words.String())}
	}
	return errors.Join(ctx.Err(), ended)
}

// An exitError is how a command ended here.
type exitError struct {
	status int
	words  string
}

func (e *exitError) Error() string   { return fmt.Sprintf("%.500s (exit status %d)", e.words, e.status) }
func (e *exitError) ExitStatus() int { return e.status }

// limited lets so many bytes through and swallows the rest.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	_, err := l.w.Write(p[:n])
	return len(p), err
}

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A program is one that a page names and a walk does not run, since it needs a real
// machine's root or changes one. It is another one in its place, that notes how it was
// called, and then runs what is behind it, if anything is.
type program struct {
	why   string
	then  string                    // shell: what it does all the same, with its arguments in "$@"
	right func(args []string) error // whether it was called as it can be
}

// withoutOptions takes options away, of which those named have a value.
const withoutOptions = `while :; do case ${1-} in %s) shift 2;; -*) shift;; *) break;; esac; done; exec "$@"`

// notRun are these programs. What they run behind them is run: that of sudo and
// systemd-run, as the user who tests.
var notRun = map[string]program{
	"git":         {why: "what it fetches is not to be had without a network"},
	"make":        {why: "it would run these very tests", right: madeByMake},
	"apt-get":     {why: "it changes the machine", right: installsOurs},
	"dnf":         {why: "it changes the machine", right: installsOurs},
	"systemctl":   {why: "it needs systemd as process 1, and the package's units", right: namesUnits},
	"systemd-run": {why: "it needs systemd as process 1", then: fmt.Sprintf(withoutOptions, "-p|--unit")},
	"sudo":        {why: "the package's user is not here", then: fmt.Sprintf(withoutOptions, "-u")},
	"install":     {why: "the package's user is not here", then: `for a; do shift; case $a in -o|-g) skip=1;; *) [ -n "${skip-}" ] || set -- "$@" "$a"; skip=;; esac; done; PATH=${PATH#*:}; exec install "$@"`},
	"chgrp":       {why: "the package's group is not here"},
	"nft":         {why: "it needs root, and changes the machine's firewall"},
	"timedatectl": {why: "it needs systemd as process 1"},
	"promtool":    {why: "TestIntegrationAlerts runs it"},
	"jq":          {why: "it may not be installed", then: `exec cat`},
}

// layPrograms puts them first on the PATH.
func (w *walk) layPrograms() {
	w.Helper()
	dir := filepath.Join(w.root, "programs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		w.Fatal(err)
	}
	for name, p := range notRun {
		text := "#!/bin/sh\n{ printf '%s' \"${0##*/}\"; for a; do printf '\\037%s' \"$a\"; done; echo; } >>\"$WALK/calls\"\n" + p.then + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			w.Fatal(err)
		}
	}
}

// calls looks at what was called of them since it was asked before.
func (w *walk) calls() error {
	path := filepath.Join(w.root, "calls")
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		args := strings.Split(strings.TrimSuffix(line, "\n"), "\x1f")
		if right := notRun[args[0]].right; right != nil {
			if err := right(args[1:]); err != nil {
				return fmt.Errorf("%s: %w", strings.Join(args, " "), err)
			}
		}
	}
	return os.Remove(path)
}

// madeByMake: each target is one.
func madeByMake(args []string) error {
	text, err := os.ReadFile(filepath.Join(repository, "Makefile"))
	if err != nil {
		return err
	}
	for _, a := range args {
		if !strings.Contains(a, "=") && !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(a)+`:`).Match(text) {
			return fmt.Errorf("make has no target %s", a)
		}
	}
	return nil
}

// installsOurs: it installs, and what make package makes, or a package of the distribution.
func installsOurs(args []string) error {
	if len(args) < 2 || args[0] != "install" {
		return fmt.Errorf("it installs nothing")
	}
	for _, a := range args[1:] {
		if strings.Contains(a, "/") && !regexp.MustCompile(`^\./dist/mxcutover[_-][0-9.]+.*\.(deb|rpm)$`).MatchString(a) {
			return fmt.Errorf("make package makes no %s", a)
		}
	}
	return nil
}

// namesUnits: each unit of ours is one that the package has.
func namesUnits(args []string) error {
	units, err := filepath.Glob(filepath.Join(repository, "packaging", "systemd", "*@.*"))
	if err != nil {
		return err
	}
	for _, a := range args {
		name, instance, ok := strings.Cut(a, "@")
		if !ok || !strings.HasPrefix(name, "mxcutover") {
			continue
		}
		kind := filepath.Ext(instance)
		if kind == "" {
			kind = ".service"
		}
		if !slices.Contains(units, filepath.Join(repository, "packaging", "systemd", name+"@"+kind)) {
			return fmt.Errorf("the package has no unit %s", a)
		}
	}
	if len(args) > 0 && !slices.Contains([]string{"enable", "disable", "start", "stop", "restart", "status", "edit", "daemon-reload"}, args[0]) {
		return fmt.Errorf("systemctl has no such command")
	}
	return nil
}

// missing tells whether a program is not on this machine.
func missing(name string) bool {
	_, err := exec.LookPath(name)
	return err != nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"

	"mxcutover/config"
	"mxcutover/plan"
	"mxcutover/rollout"
	"mxcutover/state"
)

// The exit codes of all commands; verify has its own two besides.
const (
	codeDone        = 0
	codeError       = 1
	codeChanges     = 2 // plan --detailed-exitcode: changes pending
	codePerson      = 3 // held or drifted
	codeTimeout     = 4
	codeBusy        = 5 // another engine holds the migration
	codeRefused     = 6 // gate, stale plan, confirmation
	codeFailed      = 7 // verify: findings failed
	codeUnknown     = 8 // verify: something could not be checked
	codeUsage       = 64
	codeInterrupted = 130
)

// An exitCode ends the program with it, and with no further words.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// usageError is an error in the command line.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// refused is a request that the state of things does not allow.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

func refusef(format string, args ...any) error { return refused{fmt.Errorf(format, args...)} }

func codeOf(err error) int {
	var usage usageError
	var no refused
	var faults config.Faults
	switch {
	case err == nil:
		return codeDone
	case errors.As(err, &usage), errors.As(err, &faults):
		return codeUsage
	case errors.As(err, &no), errors.Is(err, state.ErrRefused), errors.Is(err, plan.ErrEdited), errors.Is(err, plan.ErrChanges):
		return codeRefused
	case errors.Is(err, rollout.ErrPersonNeeded):
		return codePerson
	case errors.Is(err, state.ErrLocked):
		return codeBusy
	case errors.Is(err, context.DeadlineExceeded):
		return codeTimeout
	case errors.Is(err, context.Canceled):
		return codeInterrupted
	}
	return codeError
}

// whoMay is the cure of what this user may not do with a file or a socket. A network
// that a firewall forbids has another one.
func whoMay(err error) string {
	var file *fs.PathError
	var socket *net.OpError
	local := errors.As(err, &file) || errors.As(err, &socket) && socket.Net == "unix"
	if !local || !errors.Is(err, fs.ErrPermission) {
		return ""
	}
	who := fmt.Sprintf("uid %d", os.Getuid())
	if u, err := user.Current(); err == nil {
		who = u.Username
	}
	return fmt.Sprintf("\nyou are %s: run it as the user whose files these are, as in: sudo -u mxcutover mxcutover ...; while an engine runs, members of its group may look and decide too", who)
}

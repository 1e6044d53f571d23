package bolt_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A call is a system call by which a watched process changes or syncs a file, as
// the kernel has it just before it is done.
type call struct {
	nr   int
	file string // what it is done to; "out" for the process's standard output
	at   int64  // pwrite64: where; ftruncate: the new size
	data []byte // what is written
}

func (c *call) sync() bool { return c.nr == unix.SYS_FSYNC || c.nr == unix.SYS_FDATASYNC }

// said is what the process has printed, if the call is that.
func (c *call) said() (string, bool) {
	return strings.TrimSpace(string(c.data)), c.file == "out" && c.nr == unix.SYS_WRITE
}

// watch runs a script of another process on a journal, and shows each of its
// calls to judge, in their order, before it is done: an errno is what the call
// returns instead. The kernel (seccomp's user notification, Linux 5.19) tells of
// them; nothing in the process is replaced or assumed. It gives the calls that
// were let through.
func watch(t *testing.T, script, path string, judge func(*call) syscall.Errno) []call {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asHolder+"=watched:"+script+":"+path)
	cmd.ExtraFiles = []*os.File{theirs}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	calls, err := follow(pair[0], judge)
	if err != nil {
		_ = cmd.Process.Kill() // Wait tells
	}
	if err2 := cmd.Wait(); err != nil || err2 != nil {
		t.Fatalf("the watched process: %v, %v: %s", err, err2, out.String())
	}
	return calls
}

type notice struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type answer struct {
	id    uint64
	val   int64
	err   int32
	flags uint32
}

func follow(socket int, judge func(*call) syscall.Errno) (calls []call, err error) {
	rights := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, make([]byte, 1), rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("no listener came: %w", err)
	}
	listener := int(int32(binary.NativeEndian.Uint32(rights[unix.CmsgLen(0):])))
	defer unix.Close(listener)
	for {
		polled := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		n, err := unix.Poll(polled, 60_000)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil || n == 0:
			return calls, fmt.Errorf("nothing in a minute: %w", err)
		case polled[0].Revents&unix.POLLIN == 0:
			return calls, nil // all its threads have ended
		}
		var got notice
		if err := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&got)); err != 0 {
			if err == unix.ENOENT || err == unix.EINTR {
				continue // the thread is gone
			}
			return calls, err
		}
		c := readCall(&got)
		re := answer{id: got.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if errno := judge(&c); errno != 0 {
			re = answer{id: got.id, err: -int32(errno)}
		}
		if err := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&re)); err != 0 && err != unix.ENOENT {
			return calls, err
		} else if err == 0 && re.err == 0 {
			calls = append(calls, c)
		}
	}
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) syscall.Errno {
	_, _, err := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
	return err
}

// readCall reads what the call points to from the process's memory.
func readCall(n *notice) call {
	c := call{nr: int(n.nr)}
	if c.nr == unix.SYS_OPENAT {
		name := remote(n.pid, n.args[1], 512)
		if n.args[2]&unix.O_CREAT != 0 {
			c.file, _, _ = strings.Cut(string(name), "\x00")
		}
		c.at = int64(n.args[2])
		return c
	}
	if c.file, _ = os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", n.pid, int32(n.args[0]))); n.args[0] == 1 {
		c.file = "out"
	}
	switch c.nr {
	case unix.SYS_PWRITE64:
		c.at = int64(n.args[3])
		c.data = remote(n.pid, n.args[1], n.args[2])
	case unix.SYS_WRITE:
		c.data = remote(n.pid, n.args[1], n.args[2])
	case unix.SYS_FTRUNCATE:
		c.at = int64(n.args[1])
	}
	return c
}

func remote(pid uint32, at, size uint64) []byte {
	if size == 0 {
		return nil
	}
	b := make([]byte, size)
	n, err := unix.ProcessVMReadv(int(pid), []unix.Iovec{{Base: &b[0], Len: size}}, []unix.RemoteIovec{{Base: uintptr(at), Len: int(size)}}, 0)
	if err != nil {
		return nil
	}
	return b[:n]
}

// watched is the other process: it lets itself be watched, and does its script.
func watched(what string) int {
	script, path, _ := strings.Cut(what, ":")
	if err := beWatched(); err != nil {
		fmt.Fprintln(os.Stderr, "watch:", err)
		return 1
	}
	do := map[string]func(string) error{"power": powerScript, "nosync": noSyncScript, "dying": dyingScript, "full": fullScript, "reserve": reserveScript, "readonly": readOnlyScript, "unsynced": unsyncedScript}[script]
	if err := do(path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// beWatched has the kernel ask before each call that changes, makes or syncs a
// file, and gives the end at which it asks to the process that started this one.
func beWatched() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	asked := []uint32{unix.SYS_WRITE, unix.SYS_PWRITE64, unix.SYS_FTRUNCATE, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_OPENAT}
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}}
	for i, nr := range asked {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jt: uint8(len(asked) - i)})
	}
	filter = append(filter,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_TSYNC |
		unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return errno
	}
	if err := unix.Sendmsg(3, []byte{0}, unix.UnixRights(int(fd)), nil, 0); err != nil {
		return err
	}
	return unix.Close(int(fd))
}

package verify

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// locked is an IMAP server that refuses every login; it counts them.
func locked(t *testing.T) (address string, logins *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	logins = new(atomic.Int32)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprint(c, "* OK [CAPABILITY IMAP4rev1] ready\r\n")
				for in := bufio.NewScanner(c); in.Scan(); {
					tag, rest, _ := strings.Cut(in.Text(), " ")
					switch verb, _, _ := strings.Cut(rest, " "); strings.ToUpper(verb) {
					case "LOGIN":
						logins.Add(1)
						fmt.Fprintf(c, "%s NO [AUTHENTICATIONFAILED] no\r\n", tag)
					case "CAPABILITY":
						fmt.Fprintf(c, "* CAPABILITY IMAP4rev1\r\n%s OK done\r\n", tag)
					default:
						fmt.Fprintf(c, "%s OK done\r\n", tag)
					}
				}
			}()
		}
	}()
	return l.Addr().String(), logins
}

// A wrong password is not tried again and again, not by the next probe either.
func TestRefusedLoginIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	address, logins := locked(t)
	a := testArrivals(Settings{IMAP: IMAP{Address: address, User: "mxprobe", Password: func() (string, error) { return "wrong", nil }, TLS: "none"}})
	for range 2 {
		w := a.expect(testProbe())
		_, err := w.result(t.Context(), 1500*time.Millisecond)
		w.leave()
		if err == nil || errors.Is(err, errNotArrived) || !strings.Contains(err.Error(), "not tried again before") {
			t.Errorf("%v", err)
		}
	}
	if n := logins.Load(); n != 1 {
		t.Errorf("%d logins, want one", n)
	}
}

func TestDoor(t *testing.T) {
	t.Parallel()
	var d door
	now := time.Now()
	for _, want := range []time.Duration{firstKnock, 2 * firstKnock, 4 * firstKnock} {
		d.heed(now, errors.New("refused"))
		if d.knock(now.Add(want-1)) == nil || d.knock(now.Add(want)) != nil {
			t.Errorf("it does not wait for %s", want)
		}
	}
	for range 20 {
		d.heed(now, errors.New("refused"))
	}
	if d.knock(now.Add(lastKnock)) != nil {
		t.Error("it waits for ever")
	}
	d.heed(now, nil)
	if err := d.knock(now); err != nil {
		t.Error(err)
	}
}

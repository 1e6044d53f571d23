package verify_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"mxcutover/lab"
	"mxcutover/plan"
	"mxcutover/verify"
)

// logging is a connection by which messages are sent; an old server that delivers
// each to a machine has written so in its log before the gateway says 250.
type logging struct {
	net.Conn
	mu   *sync.Mutex
	path string
	line string // of the delivery, without its date; %s is the queue id
	from string
}

var tokenOf = regexp.MustCompile(`X-Mxcutover-Probe: ([0-9a-f]{32})`)

func (l logging) Write(p []byte) (int, error) {
	if m := tokenOf.FindSubmatch(p); m != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		head, id := "Nov 25 18:10:22 old postfix/", strings.ToUpper(string(m[1][:11]))
		text := fmt.Sprintf("%[1]ssmtpd[1]: %[2]s: client=gw1[%[3]s]\n%[1]scleanup[1]: %[2]s: message-id=<%[4]s@probe.test>\n%[1]s%[5]s\n", head, id, l.from, m[1], fmt.Sprintf(l.line, id))
		f, err := os.OpenFile(l.path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			return 0, err
		}
	}
	return l.Conn.Write(p)
}

// A delivery to the gateway, in the old server's log, is mail that goes round. The
// log is the only place that is looked at.
func TestSentBackIsNoArrival(t *testing.T) {
	t.Parallel()
	b := newBenchWith(t, func(o *lab.Options) { o.Gateway.NoTLS = true })
	gw := b.facts.Gateways[0].Addr.String()
	for what, w := range map[string]struct {
		line string
		want plan.Severity
		says string
	}{
		"to a mailbox":                {"virtual[1]: %s: to=<" + b.facts.User + "@choir.test>, relay=virtual, delay=0, dsn=2.0.0, status=sent (delivered to maildir)", plan.Pass, ""},
		"to the gateway":              {"smtp[1]: %s: to=<" + b.facts.User + "@choir.test>, relay=gw1.gw.test[" + gw + "]:25, delay=0, dsn=2.0.0, status=sent (250 OK)", plan.Fail, "sent it back to the gateway"},
		"to a store behind":           {"smtp[1]: %s: to=<" + b.facts.User + "@choir.test>, relay=store[192.0.2.99]:25, delay=0, dsn=2.0.0, status=sent (250 OK)", plan.Pass, ""},
		"readdressed, by the gateway": {"smtp[1]: %s: to=<box@store.example>, orig_to=<" + b.facts.User + "@choir.test>, relay=gw1.gw.test[" + gw + "]:25, delay=0, dsn=2.0.0, status=sent (250 OK)", plan.Pass, ""},
	} {
		var mu sync.Mutex
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		c := b.checker(t, func(s *verify.Settings) {
			s.IMAP, s.OldLog = verify.IMAP{}, path
			s.Vantages = []verify.Vantage{{Name: "outside", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := sourced(b.facts.Vantage)(ctx, network, address)
				if err != nil || !strings.HasSuffix(address, fmt.Sprintf(":%d", b.facts.SMTPPort)) {
					return conn, err
				}
				return logging{conn, &mu, path, w.line, gw}, nil
			}}}
		})
		choir := cut(t, "choir.test.", old, []string{"10 gw1.gw.test."})
		found := c.Some(t.Context(), verify.Before, choir, func(id string) bool { return id == "probe.arrival" })
		judge(t, what, found, w.want, w.says)
	}
}

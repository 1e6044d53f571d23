package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-message/textproto"
	"github.com/emersion/go-smtp"
)

// give hands a message to a server from the vantage and returns the reply that
// refused it.
func give(t *testing.T, w *World, server netip.Addr, from, to, body string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r := route{w.Facts().Vantage, "probe.example", netip.AddrPortFrom(server, w.block.smtp)}
	refused, err := transmit(ctx, r, from, []string{to}, []byte("Subject: "+t.Name()+"\r\n\r\n"+body+"\r\n"))
	if err != nil {
		return err
	}
	return refused[to]
}

// reply is an SMTP reply in short.
func reply5321(err error) string {
	var r *smtp.SMTPError
	switch {
	case err == nil:
		return "250"
	case errors.As(err, &r):
		return fmt.Sprintf("%d %d.%d.%d", r.Code, r.EnhancedCode[0], r.EnhancedCode[1], r.EnhancedCode[2])
	}
	return err.Error()
}

func TestRecipients(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	f := w.Facts()
	for _, c := range []struct{ to, gateway, old string }{
		{"info@bakery.test", "250", "250"},
		{"INFO@Bakery.Test", "250", "250"},
		{"postmaster@bakery.test", "250", "250"},
		{"postmaster@gw1.gw.test", "250", "250"},
		{"mxprobe@bakery.test", "250", "250"},
		{"nobody@bakery.test", "550 5.1.1", "550 5.1.1"},
		{"info@deep.bakery.test", "550 5.7.1", "550 5.7.1"},
		{"mxprobe@deep.bakery.test", "550 5.7.1", "250"},
		{"info@x.tenants.estates.test", "250", "250"},
		{"mxprobe@x.y.tenants.estates.test", "250", "250"},
		{"nobody@x.tenants.estates.test", "550 5.1.1", "550 5.1.1"},
		{"info@tenants.estates.test", "550 5.7.1", "550 5.7.1"},
		{"info@newsletter.test", "550 5.7.1", "550 5.7.1"},
		{"info@parked.test", "550 5.7.1", "550 5.7.1"},
		{"info@example.org", "550 5.7.1", "550 5.7.1"},
		{"mxprobe@example.org", "550 5.7.1", "550 5.7.1"},
	} {
		for _, g := range f.Gateways {
			if got := reply5321(give(t, w, g.Addr, f.ProbeFrom, c.to, "hello")); got != c.gateway {
				t.Errorf("%s at %s: %s, want %s", c.to, g.Name, got, c.gateway)
			}
		}
		if got := reply5321(give(t, w, f.Old.Addr, "", c.to, "hello")); got != c.old {
			t.Errorf("%s at the old server: %s, want %s", c.to, got, c.old)
		}
	}
	await(t, "the queue is empty", func() bool { return w.Gateway.Queued() == 0 })
	if c := w.Gateway.Counts()["bakery.test"]; c.Accepted != 8 || c.Forwarded != 8 || c.Rejected != 2 || c.Bounced != 0 {
		t.Errorf("counted %+v", c)
	}
}

func TestForwarded(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	f := w.Facts()
	if err := give(t, w, f.Gateways[1].Addr, "", "info@bakery.test", "null sender"); err != nil {
		t.Fatal(err)
	}
	await(t, "it arrives", func() bool { return len(w.Old.Recent()) == 1 })
	m := w.Old.Recent()[0]
	if m.Peer != f.Gateways[1].Addr || m.From != "" || m.To[0] != "info@bakery.test" || !strings.HasSuffix(string(m.Data), "\r\n\r\nnull sender\r\n") {
		t.Errorf("got %+v\n%s", m, m.Data)
	}
	head, err := textproto.ReadHeader(bufio.NewReader(strings.NewReader(string(m.Data))))
	if err != nil {
		t.Fatal(err)
	}
	trace := head.Values("Received")
	date := `; [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}$`
	for i, want := range []string{
		fmt.Sprintf(`^from gw2\.gw\.test \(\[%s\]\) by mail\.old\.test with ESMTP id [0-9a-f]{8} for <info@bakery\.test>`, regexp.QuoteMeta(f.Gateways[1].Addr.String())),
		fmt.Sprintf(`^from probe\.example \(\[%s\]\) by gw2\.gw\.test with ESMTP id [0-9a-f]{8} for <info@bakery\.test>`, regexp.QuoteMeta(f.Vantage.String())),
	} {
		if len(trace) != 2 || !regexp.MustCompile(want+date).MatchString(trace[i]) {
			t.Errorf("Received is %q, want %s", trace, want)
		}
	}
	if got := head.Values("X-Spam-Flag"); len(got) != 1 || got[0] != "NO" {
		t.Errorf("X-Spam-Flag: %q", got)
	}
}

func TestSpamIsTagged(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	f := w.Facts()
	r := route{f.Vantage, "probe.example", netip.AddrPortFrom(f.Gateways[0].Addr, f.SMTPPort)}
	forged := []byte("X-Spam-Flag: NO\r\nSubject: x\r\n\r\n" + gtube + "\r\n")
	if _, err := transmit(t.Context(), r, f.ProbeFrom, []string{"info@bakery.test"}, forged); err != nil {
		t.Fatal(err)
	}
	await(t, "it arrives", func() bool { return len(w.Old.Recent()) == 1 })
	text := string(w.Old.Recent()[0].Data)
	if strings.Count(text, "X-Spam-Flag: YES\r\n") != 1 || strings.Contains(text, "X-Spam-Flag: NO") {
		t.Errorf("got\n%s", text)
	}
	if w.Gateway.Counts()["bakery.test"].Spam != 1 {
		t.Error("not counted")
	}
}

func TestGreylisting(t *testing.T) {
	t.Parallel()
	clock := newClock()
	w := start(t, Options{Now: clock.now})
	gw := w.Facts().Gateways[0].Addr
	send := func(from string) string { return reply5321(give(t, w, gw, from, "info@dental.test", "x")) }
	for _, step := range []struct {
		after time.Duration
		from  string
		want  string
	}{
		{0, "a@probe.test", "451 4.7.1"},
		{499 * time.Millisecond, "a@probe.test", "451 4.7.1"},
		{time.Millisecond, "b@probe.test", "451 4.7.1"},
		{0, "a@probe.test", "250"},
		{time.Hour, "a@probe.test", "250"},
	} {
		clock.advance(step.after)
		if got := send(step.from); got != step.want {
			t.Errorf("%+v: got %s", step, got)
		}
	}
	if c := w.Gateway.Counts()["dental.test"]; c.Deferred != 3 || c.Accepted != 2 {
		t.Errorf("counted %+v", c)
	}
}

func TestForget(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	gw := w.Facts().Gateways[0].Addr
	send := func(to string) string { return reply5321(give(t, w, gw, "", to, "x")) }
	w.Gateway.Forget("bakery.test")
	w.Gateway.Forget("*.tenants.estates.test")
	for to, want := range map[string]string{
		"info@bakery.test": "550 5.7.1", "info@choir.test": "250",
		"info@a.tenants.estates.test": "550 5.7.1", "info@estates.test": "250",
	} {
		if got := send(to); got != want {
			t.Errorf("%s: %s, want %s", to, got, want)
		}
	}
	w.Gateway.Remember("bakery.test")
	if got := send("info@bakery.test"); got != "250" {
		t.Errorf("remembered: %s", got)
	}
}

func TestGatewayKeepsWhatTheOldServerDefers(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	f := w.Facts()
	w.Old.SetBusy(true)
	for i := range 20 {
		if err := give(t, w, f.Gateways[i%2].Addr, "", "info@museum.test", "x"); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "several tries", func() bool { return w.Old.Stats().Gateway > 25 })
	if n := w.Gateway.Queued(); n != 20 || w.Old.Stats().Messages != 0 {
		t.Errorf("%d queued, %d taken", n, w.Old.Stats().Messages)
	}
	if got := reply5321(give(t, w, f.Old.Addr, "", "info@museum.test", "x")); got != "451 4.3.2" {
		t.Errorf("straight: %s", got)
	}
	w.Old.SetBusy(false)
	await(t, "all of them arrive", func() bool { return w.Gateway.Queued() == 0 })
	if s := w.Old.Stats(); s.Messages != 20 {
		t.Errorf("%d of 20 arrived", s.Messages)
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	if got := reply5321(give(t, w, w.Facts().Gateways[0].Addr, "", "info@bakery.test", strings.Repeat("x\r\n", maxMessage/3))); got != "552 5.3.4" {
		t.Errorf("got %s", got)
	}
}

func login(t *testing.T, w *World, o *imapclient.Options) *imapclient.Client {
	t.Helper()
	f := w.Facts()
	c, err := imapclient.DialInsecure(f.IMAP.String(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Login(f.User, "wrong").Wait(); err == nil {
		t.Error("a wrong password was taken")
	}
	if err := c.Login(f.User, f.Password).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMailboxSearchAndDelete(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	f := w.Facts()
	r := route{f.Vantage, "probe.example", netip.AddrPortFrom(f.Gateways[0].Addr, f.SMTPPort)}
	for i, to := range []string{"mxprobe@bakery.test", "mxprobe@x.y.tenants.estates.test", "info@bakery.test"} {
		body := fmt.Sprintf("X-Token: t%d\r\nSubject: x\r\n\r\nbody\r\n", i)
		if _, err := transmit(t.Context(), r, f.ProbeFrom, []string{to}, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "all arrive", func() bool { return w.Old.Stats().Messages == 3 })
	c := login(t, w, nil)
	find := func(token string) []imap.UID {
		found, err := c.UIDSearch(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "X-Token", Value: token}}}, nil).Wait()
		if err != nil {
			t.Fatal(err)
		}
		return found.AllUIDs()
	}
	if len(find("t0")) != 1 || len(find("t1")) != 1 || len(find("t2")) != 0 {
		t.Fatalf("found %v %v %v", find("t0"), find("t1"), find("t2"))
	}
	section := &imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, Peek: true}
	got, err := c.Fetch(imap.UIDSetNum(find("t0")...), &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	if err != nil || len(got) != 1 || !strings.Contains(string(got[0].FindBodySection(section)), "for <mxprobe@bakery.test>") {
		t.Errorf("fetched %v, %v", got, err)
	}
	if err := c.Store(imap.UIDSetNum(find("t0")...), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Expunge().Close(); err != nil {
		t.Fatal(err)
	}
	if len(find("t0")) != 0 || len(find("t1")) != 1 {
		t.Errorf("after expunging: %v %v", find("t0"), find("t1"))
	}
}

func TestMailboxIdle(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	news := make(chan uint32, 10)
	c := login(t, w, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				news <- *d.NumMessages
			}
		},
	}})
	for n := range uint32(3) {
		if n == 2 { // it comes between two commands
			if err := give(t, w, w.Facts().Old.Addr, "", "mxprobe@bakery.test", "x"); err != nil {
				t.Fatal(err)
			}
		}
		idle, err := c.Idle()
		if err != nil {
			t.Fatal(err)
		}
		if n < 2 {
			if err := give(t, w, w.Facts().Old.Addr, "", "mxprobe@bakery.test", "x"); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case got := <-news:
			if got != n+1 {
				t.Errorf("told of %d messages, want %d", got, n+1)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("not told of a message")
		}
		if err := idle.Close(); err != nil {
			t.Fatal(err)
		}
		if err := idle.Wait(); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzTrace(f *testing.F) {
	f.Add("probe.example", []byte("X-Spam-Flag: NO\r\nSubject: x\r\n\r\nbody\r\n"))
	f.Add("a)\r\nX: y", []byte("X-Lab-Serial: 18446744073709551616\r\n\r\n"))
	h := &host{name: gateway1}
	f.Fuzz(func(t *testing.T, helo string, data []byte) {
		in := &inbound{helo: helo, to: []string{"info@bakery.test"}, peer: netip.MustParseAddr("127.1.2.3")}
		serialOf(data)
		out, err := h.trace(in, "1", data, true, time.Unix(0, 0).UTC())
		if err != nil {
			return
		}
		head, err := textproto.ReadHeader(bufio.NewReader(strings.NewReader(string(out))))
		if err != nil {
			t.Fatalf("%q became unreadable: %v", data, err)
		}
		if got := head.Values("X-Spam-Flag"); len(got) != 1 || got[0] != "YES" {
			t.Fatalf("%q: X-Spam-Flag %q", data, got)
		}
		if got := head.Get("Received"); !strings.HasSuffix(got, "Thu, 01 Jan 1970 00:00:00 +0000") {
			t.Fatalf("helo %q: Received %q", helo, got)
		}
	})
}

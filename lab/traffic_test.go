package lab

import (
	"context"
	"testing"
	"time"

	"mxcutover/firewall"
)

// The whole story at the sockets: mail goes on through a change of the MX and
// behind the closed firewall, the spammer does not.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	w := start(t, Options{SenderRate: 100, SpamRate: 50, TTL: time.Second, Lag: 50 * time.Millisecond})
	await(t, "mail goes straight", func() bool { return w.Accounts().Delivered > 20 })
	if s := w.Old.Stats(); s.Gateway != 0 || s.Direct == 0 {
		t.Errorf("before: %+v", s)
	}
	for _, d := range w.Facts().Domains {
		if d.moves() {
			edit(t, w, d.Zone, d.Name, "MX", "10 gw1.gw.test.", "20 gw2.gw.test.")
		}
	}
	await(t, "mail goes through the gateway", func() bool { return w.Old.Stats().Gateway > 20 })
	arm(t, w, firewall.Reject, time.Now().Add(time.Hour))
	await(t, "the spammer is reset", func() bool { return w.Spammer.Stats().Reset > 5 })
	w.Old.SetBusy(true)
	await(t, "the gateway queues", func() bool { return w.Gateway.Queued() > 10 })
	w.Old.SetBusy(false)
	before := w.Spammer.Stats()
	delivered := w.Accounts().Delivered
	await(t, "mail still arrives", func() bool { return w.Accounts().Delivered > delivered+20 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := w.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	a := w.Accounts()
	if a.Lost != 0 || a.Doubled != 0 || a.Bounced != 0 || a.Waiting != 0 || a.Delivered != a.Sent || a.Accepted != a.Sent {
		t.Errorf("%+v", a)
	}
	after := w.Spammer.Stats()
	if after.Accepted != before.Accepted || before.Taken == 0 || before.Taken == before.Accepted || after.Failed != 0 || after.Refused != after.Reset || after.Reset <= before.Reset {
		t.Errorf("spam before %+v, after %+v", before, after)
	}
	w.Resume()
	await(t, "the sender resumes", func() bool { return w.Accounts().Sent > a.Sent })
}

// A sender refused by the firewall while its cache still leads there loses nothing.
func TestSenderWaitsOutTheFirewall(t *testing.T) {
	t.Parallel()
	w := start(t, Options{SenderRate: 50, TTL: time.Second, Lag: -1, Domains: []Domain{{Name: "bakery.test"}}})
	await(t, "mail flows", func() bool { return w.Accounts().Delivered > 5 })
	arm(t, w, firewall.Reject, time.Time{})
	await(t, "mail waits", func() bool { return w.Accounts().Waiting > 10 })
	edit(t, w, "bakery.test", "bakery.test", "MX", "10 gw1.gw.test.")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := w.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if a := w.Accounts(); a.Lost != 0 || a.Doubled != 0 || a.Bounced != 0 || a.Delivered != a.Sent {
		t.Errorf("%+v", a)
	}
}

// The accounts must be able to tell a loss.
func TestAccountsTellLoss(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	for range 5 {
		w.ledger.open()
	}
	for n := range uint64(4) {
		w.ledger.accept(n + 1)
	}
	for _, n := range []uint64{1, 2, 2, 99} {
		w.ledger.deliver(n)
	}
	queue := func(change func()) {
		w.Gateway.mu.Lock()
		defer w.Gateway.mu.Unlock()
		change()
	}
	queue(func() { w.Gateway.queued[7] = &outgoing{serial: 3} })
	w.ledger.bounce(5)
	want := Accounts{Sent: 5, Accepted: 4, Delivered: 2, Waiting: 1, Bounced: 1, Lost: 1, Doubled: 1}
	if got := w.Accounts(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	queue(func() { delete(w.Gateway.queued, 7) })
}

func TestSenderBouncesWhatIsRefused(t *testing.T) {
	t.Parallel()
	w := start(t, Options{SenderRate: 50, Domains: []Domain{{Name: "bakery.test", Kind: Both}}})
	w.Gateway.Forget("bakery.test")
	await(t, "mail bounces", func() bool { return w.Accounts().Bounced > 3 })
	if a := w.Accounts(); a.Delivered != 0 {
		t.Errorf("%+v", a)
	}
}

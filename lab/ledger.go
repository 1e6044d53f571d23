package lab

import "sync"

// A ledger follows the honest sender's messages by their numbers, from 1.
type ledger struct {
	mu   sync.Mutex
	rows []row
}

// A row is one message; small, for there are many.
type row struct {
	accepted  bool  // a server answered for it
	bounced   bool  // refused for good
	delivered uint8 // how often, up to 255
}

// Accounts show that not one message is lost.
type Accounts struct {
	Sent      uint64 // messages written
	Accepted  uint64 // for which the gateway or the old server answered
	Delivered uint64 // that reached a mailbox at least once
	Waiting   uint64 // in the sender's queue or the gateway's
	Bounced   uint64 // refused for good, which its sender was told
	Lost      uint64 // accepted, neither delivered nor in the gateway's queue
	Doubled   uint64 // delivered more than once
}

// open begins a new message.
func (l *ledger) open() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows = append(l.rows, row{})
	return uint64(len(l.rows))
}

func (l *ledger) change(n uint64, change func(*row)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n >= 1 && n <= uint64(len(l.rows)) {
		change(&l.rows[n-1])
	}
}

func (l *ledger) accept(n uint64) { l.change(n, func(r *row) { r.accepted = true }) }
func (l *ledger) bounce(n uint64) { l.change(n, func(r *row) { r.bounced = true }) }
func (l *ledger) deliver(n uint64) {
	l.change(n, func(r *row) { r.delivered = max(r.delivered, r.delivered+1) })
}

// Accounts are the honest sender's messages and what became of them.
func (w *World) Accounts() Accounts {
	// In this order: what was accepted before the queue was looked at, and is not
	// in it, was delivered before the deliveries are.
	w.ledger.mu.Lock()
	accepted := make([]bool, len(w.ledger.rows))
	for i, r := range w.ledger.rows {
		accepted[i] = r.accepted
	}
	w.ledger.mu.Unlock()
	queued := map[uint64]bool{}
	for _, n := range w.Gateway.waiting() {
		queued[n] = true
	}
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	var a Accounts
	for i, was := range accepted {
		r := w.ledger.rows[i]
		a.Sent++
		inQueue := queued[uint64(i)+1] && r.delivered == 0
		add(&a.Accepted, was)
		add(&a.Delivered, r.delivered > 0)
		add(&a.Doubled, r.delivered > 1)
		add(&a.Bounced, r.bounced)
		add(&a.Waiting, inQueue || !was && !r.bounced)
		add(&a.Lost, was && r.delivered == 0 && !inQueue)
	}
	return a
}

func add(n *uint64, yes bool) {
	if yes {
		*n++
	}
}

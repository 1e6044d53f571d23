package logfile

import (
	"context"
	"io"
)

// A patient reads what may never come, as from a pipe, and ends with its context. Who
// it asked may go on waiting alone: nothing can wake a read of standard input.
type patient struct {
	ctx  context.Context
	in   chan []byte // to be filled
	out  chan result
	left []byte // read, and not given yet
	err  error
}

type result struct {
	data []byte
	err  error
}

// patiently reads from r until the context ends.
func patiently(ctx context.Context, r io.Reader) *patient {
	p := &patient{ctx: ctx, in: make(chan []byte, 1), out: make(chan result, 1)}
	p.in <- make([]byte, 256<<10)
	go func() {
		defer close(p.out)
		for {
			select {
			case buf := <-p.in:
				n, err := r.Read(buf)
				p.out <- result{buf[:n], err}
				if err != nil {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return p
}

func (p *patient) Read(to []byte) (int, error) {
	if len(p.left) == 0 && p.err == nil {
		select {
		case got, ok := <-p.out:
			if !ok {
				return 0, p.ctx.Err()
			}
			p.left, p.err = got.data, got.err
		case <-p.ctx.Done():
			return 0, p.ctx.Err()
		}
	}
	n := copy(to, p.left)
	if p.left = p.left[n:]; len(p.left) > 0 {
		return n, nil
	}
	if p.err == nil {
		p.in <- make([]byte, 256<<10)
	}
	return n, p.err
}

// Close has nothing to close.
func (p *patient) Close() error { return nil }

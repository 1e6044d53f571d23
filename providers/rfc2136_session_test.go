package providers

import (
	"context"
	"errors"
	"net"
	"testing"
)

// TestEndBetweenSendAndReceive ends the context when a message was sent and its
// answer is not waited for yet: that is a write without an answer, and no crash.
func TestEndBetweenSendAndReceive(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	here, there := net.Pipe()
	defer there.Close()
	s := &session{rfc2136: &rfc2136{timeout: fudge}, conn: here}
	sent := s.limit(ctx)
	cancel()
	sent()
	_, err := s.receive(ctx)
	var l *lost
	if !errors.As(err, &l) || !errors.Is(err, context.Canceled) {
		t.Errorf("the answer of a message that was sent: %v", err)
	}
}

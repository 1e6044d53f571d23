//go:build !linux

package resolve

import "time"

// tellErrors does nothing here: what ICMP says is known after the repeats.
func (s *socket) tellErrors(bool) {}

// errors lets an error of a packet of before pass.
func (s *socket) errors() { time.Sleep(time.Millisecond) }

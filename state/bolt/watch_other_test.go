//go:build !linux

package bolt_test

// watched needs Linux: see watch_linux_test.go.
func watched(string) int { return 1 }

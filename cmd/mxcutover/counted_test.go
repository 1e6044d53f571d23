package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"mxcutover/config"
)

// TestTrafficIsCountedFromLogs where no table says it: recipients, each of them.
func TestTrafficIsCountedFromLogs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "mainlog")
	lines := `2026-11-20 12:00:00 +0000 1xWH1C-000653-15 <= a@sender.example H=x [192.0.2.68] P=esmtp S=900
2026-11-20 12:00:00 +0000 1xWH1C-000653-15 => anna <anna@choir.test> R=local T=mailbox
2026-11-20 12:00:00 +0000 1xWH1C-000653-15 => info <info@Choir.test> R=local T=mailbox
2026-11-20 12:00:01 +0000 H=x [192.0.2.68] F=<a@sender.example> rejected RCPT <x@spam.test>: Unknown user
`
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config{Traffic: config.Traffic{Logs: []string{path}, Format: "auto"}}
	got, err := countTraffic(t.Context(), &streams{err: io.Discard}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := got["choir.test."]
	if len(got) != 1 || c.Messages != 2 || c.Peak == nil || *c.Peak != 12 {
		t.Errorf("counted %+v, want 2 recipients of choir.test at 12 o'clock, and nothing that was refused", got)
	}
	cfg.Traffic.Logs = nil
	if got, err := countTraffic(t.Context(), &streams{err: io.Discard}, cfg); err != nil || len(got) != 0 {
		t.Errorf("without logs: %v, %v", got, err)
	}
}

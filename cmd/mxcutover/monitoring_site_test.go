//go:build integration

package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func promtool(t *testing.T, in []byte, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "promtool", args...)
	c.Dir, c.Stdin = monitoring, bytes.NewReader(in)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestIntegrationAlerts lets Prometheus's own tool look at the rules, try them, and read
// what the engine and the verification's file tell of a real migration in the lab.
func TestIntegrationAlerts(t *testing.T) {
	t.Parallel()
	if out := promtool(t, nil, "check", "rules", "mxcutover.rules.yml"); !strings.Contains(out, "SUCCESS") {
		t.Error(out)
	}
	if out := promtool(t, nil, "test", "rules", "mxcutover.rules.test.yml"); !strings.Contains(out, "SUCCESS") {
		t.Error(out)
	}
	w := newWalk(t, "", nil)
	w.do("mxcutover plan")
	o := w.start("mxcutover run --metrics 127.0.0.1:0")
	_, after, _ := strings.Cut(w.said(o, "/metrics\n"), "metrics: ")
	url, _, _ := strings.Cut(after, "\n")
	w.until("wave:pilot=live")
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	w.do("mxcutover verify --textfile mxcutover.prom")
	file, err := os.ReadFile(filepath.Join(w.dir, "mxcutover.prom"))
	if err != nil {
		t.Fatal(err)
	}
	known := exported(t)
	for what, text := range map[string][]byte{"the engine": engine, "the file": file} {
		if out := promtool(t, text, "check", "metrics"); out != "" {
			t.Errorf("%s: %s", what, out)
		}
		n := 0
		for _, name := range seriesName.FindAllString(string(text), -1) {
			if n++; !slices.Contains(known, name) {
				t.Errorf("%s has %s, which the code does not seem to write", what, name)
			}
		}
		if n < 60 || !bytes.Contains(text, []byte("mxcutover_probe_arrival_median_seconds{")) {
			t.Errorf("%s:\n%s", what, text)
		}
	}
}

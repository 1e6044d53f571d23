package report

import (
	"bytes"
	"os"
	"testing"
	"time"
)

func TestTry(t *testing.T) {
	m := makeUp(t, 40, nil)
	s := m.story()
	var b bytes.Buffer
	if err := (Printer{}).Story(&b, s, false); err != nil {
		t.Fatal(err)
	}
	t.Log(b.String())
	var h bytes.Buffer
	if err := s.HTML(&h); err != nil {
		t.Fatal(err)
	}
	os.WriteFile("/tmp/h/reportworld/40.html", h.Bytes(), 0o644)
	m = makeUp(t, 10000, nil)
	t0 := time.Now()
	s = m.story()
	t.Log("fold", len(m.events), time.Since(t0))
	t0 = time.Now()
	h.Reset()
	if err := s.HTML(&h); err != nil {
		t.Fatal(err)
	}
	t.Log("html", h.Len(), time.Since(t0))
	os.WriteFile("/tmp/h/reportworld/10000.html", h.Bytes(), 0o644)
	b.Reset()
	if err := s.Markdown(&b); err != nil {
		t.Fatal(err)
	}
	os.WriteFile("/tmp/h/reportworld/40.md", b.Bytes(), 0o644)
}

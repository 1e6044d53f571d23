//go:build integration

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// A standing is what the test reads of a status.
type standing struct {
	Over    bool
	Domains []struct{ Domain, Wave, State, Reason string }
}

func (c *chaos) status() (s standing) {
	c.Helper()
	code, out, words := c.command("status", "-o", "json")
	if code != 0 {
		c.Fatalf("status: exit code %d: %s", code, words)
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		c.Fatalf("status: %v: %s", err, out)
	}
	return s
}

// seen compares what a process told of the journal with the journal: nothing is
// announced before it is durable.
func (c *chaos) seen(p *process) {
	c.Helper()
	if len(p.events) == 0 {
		return
	}
	c.begun = true
	c.readEvents()
	for _, ev := range p.events {
		if ev.Seq == 0 || ev.Seq > uint64(len(c.events)) {
			c.Errorf("event %d was told of, and the journal ends at %d: %s", ev.Seq, len(c.events), ev.raw)
			continue
		}
		kept := c.events[ev.Seq-1]
		if kept.Kind != ev.Kind || kept.Domain != ev.Domain || kept.Step != ev.Step || kept.Reason != ev.Reason {
			c.Errorf("event %d was told as %s, and the journal has %s", ev.Seq, ev.raw, kept.raw)
		}
	}
}

// readEvents reads the journal: numbers without gaps, and what was there before
// is there unchanged.
func (c *chaos) readEvents() {
	c.Helper()
	code, out, words := c.command("events")
	if code != 0 {
		c.Fatalf("events: exit code %d: %s", code, words)
	}
	var events []told
	for l := range strings.Lines(out) {
		ev := told{raw: strings.TrimSpace(l)}
		if err := json.Unmarshal([]byte(l), &ev); err != nil {
			c.Fatalf("events: %v: %s", err, l)
		}
		events = append(events, ev)
		n := len(events)
		if ev.Seq != uint64(n) {
			c.Fatalf("event %d has the number %d: %s", n, ev.Seq, l)
		}
		if n <= len(c.events) && c.events[n-1].raw != ev.raw {
			c.Fatalf("event %d was %s, and is now %s", n, c.events[n-1].raw, ev.raw)
		}
	}
	if len(events) < len(c.events) {
		c.Fatalf("the journal had %d events, and has %d", len(c.events), len(events))
	}
	c.events = events
}

// look is what must hold whenever no engine runs.
func (c *chaos) look() map[string]int {
	c.Helper()
	if c.begun {
		c.status()
		c.readEvents()
	} else if code, _, words := c.command("status", "-o", "json"); code != 0 && !strings.Contains(words, "no migration was begun") {
		c.Errorf("status before the migration has begun: exit code %d: %s", code, words)
	}
	c.ranks(c.dig(c.T, c.secondary), "the secondary")
	return c.ranks(c.dig(c.T, c.primary), "the primary")
}

// ranks finds each domain's state among those that it may be in.
func (c *chaos) ranks(zones map[string][]string, server string) map[string]int {
	c.Helper()
	out := map[string]int{}
	for _, k := range c.tracks {
		ttl, data := mxOf(zones[k.zone], k.name)
		out[k.name] = k.rank(mxState(ttl, data))
		if _, edited := c.after[k.name]; out[k.name] == unknown || out[k.name] == foreign && !edited {
			c.Errorf("%s serves %s as %q, and it may be %q", server, k.name, mxState(ttl, data), k.states)
		}
	}
	return out
}

// snapshots reads which records the file beside the journal has, by text.
func (c *chaos) snapshots() string {
	c.Helper()
	files, err := filepath.Glob(filepath.Join(c.dir, "state", "*.snapshots"))
	if err != nil || len(files) != 1 {
		c.Fatalf("the snapshots' file: %v, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		c.Fatal(err)
	}
	return string(text)
}

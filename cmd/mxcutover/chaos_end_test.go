//go:build integration

package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"
)

// forward runs the engine, undisturbed, to where only the domain that somebody
// else edited is left; then that is mended, and the engine runs to its end, but
// for two kills while it restores TTLs.
func (c *chaos) forward(r *rand.Rand) {
	c.Helper()
	if over := c.runQuiet(0); over != (len(c.after) == 0) {
		c.Errorf("the engine came to its end: %v, with %v edited by somebody else", over, c.after)
	}
	ranks := c.look()
	for _, k := range c.tracks {
		was, edited := c.after[k.name]
		switch {
		case !edited && ranks[k.name] < len(k.states)-2:
			c.Errorf("%s has not moved: rank %d", k.name, ranks[k.name])
		case edited && ranks[k.name] != foreign:
			c.Errorf("somebody else's change of %s was overwritten: rank %d", k.name, ranks[k.name])
		case edited:
			ttl, data, _ := strings.Cut(was, ": ")
			if err := c.nsupdate(k, []string{foreignMX}, ttl, strings.Split(data, ", ")); err != nil {
				c.Fatal(err)
			}
			c.Logf("%s is restored to %s", k.name, was)
			for deadline := time.Now().Add(20 * time.Second); c.ranks(c.dig(c.T, c.secondary), "the secondary")[k.name] == foreign; {
				if time.Now().After(deadline) {
					c.Fatalf("the secondary does not follow: %s", k.name)
				}
			}
			delete(c.after, k.name)
			code, _, words := c.command("retry", "--domain", k.name)
			if c.again[k.name]++; code != 0 {
				c.Errorf("retry: exit code %d: %s", code, words)
			}
		}
	}
	for range 2 {
		c.runQuiet(1 + r.IntN(12))
	}
	if !c.runQuiet(0) {
		c.Fatalf("the engine did not come to its end: %+v", c.status())
	}
	for name, rank := range c.look() {
		if k := c.track(name); rank != len(k.states)-1 {
			c.Errorf("after the whole way %s has rank %d, want %d, which is %s", name, rank, len(k.states)-1, k.states[len(k.states)-1])
		}
	}
}

func (c *chaos) track(name string) track {
	return c.tracks[slices.IndexFunc(c.tracks, func(k track) bool { return k.name == name })]
}

// runQuiet runs the engine until it is over, or until only what somebody else
// edited is left. What a fault has left held, or a person has rolled back, is
// tried again. With a cut, it is killed at so many events of restoring TTLs.
func (c *chaos) runQuiet(cut int) (over bool) {
	c.Helper()
	p := c.engine()
	deadline := time.Now().Add(100 * time.Second)
	tried := map[string]int{}
	for looked := time.Now(); p.wait(1, 300*time.Millisecond); {
		if n := len(p.events); n > 0 && p.events[n-1].Step == "settle" && cut > 0 {
			if cut--; cut == 0 {
				p.signal(c.T, syscall.SIGKILL)
				p.end(c.T, 10*time.Second)
				c.seen(p)
				c.look()
				return false
			}
		}
		if len(p.events) == 0 || time.Since(looked) < 300*time.Millisecond {
			continue
		}
		if c.unstick(tried) {
			c.terminate(p)
			c.seen(p)
			return false
		}
		looked = time.Now()
		if looked.After(deadline) {
			c.Fatalf("the engine, undisturbed, comes to no end: %+v", c.status())
		}
	}
	if code := p.end(c.T, 10*time.Second); code != 0 {
		c.Errorf("the engine ended with exit code %d: %s", code, strings.Join(p.words, "\n"))
	}
	c.seen(p)
	return true
}

// unstick tries again what waits for a person, but for what somebody else
// edited. It tells whether nothing else is left.
func (c *chaos) unstick(tried map[string]int) bool {
	c.Helper()
	left, stuck := 0, 0
	for _, d := range c.status().Domains {
		_, edited := c.after[d.Domain]
		switch d.State {
		case "live", "settled":
			continue
		case "held", "rolled-back", "drifted":
		default:
			left++
			continue
		}
		if edited && d.State != "rolled-back" && strings.Contains(d.Reason, foreignHost) {
			stuck++ // held by a check or drifted at a write, and it names what was found
			continue
		}
		left++
		code, _, words := c.command("retry", "--domain", d.Domain)
		c.again[d.Domain]++
		c.Logf("%s was %s: %s; retry: exit code %d", d.Domain, d.State, d.Reason, code)
		if code != 0 {
			c.Errorf("retry --domain %s, which is %s: exit code %d: %s", d.Domain, d.State, code, words)
		}
		if tried[d.Domain]++; tried[d.Domain] > 10 {
			c.Fatalf("%s does not go on, though it was told to: %s", d.Domain, d.Reason)
		}
	}
	quiet := left == 0 && stuck > 0 && stuck == len(c.after)
	for _, d := range c.status().Domains {
		if _, edited := c.after[d.Domain]; edited && quiet {
			c.Logf("%s is left alone, %s: %s", d.Domain, d.State, d.Reason)
		}
	}
	return quiet
}

// backward rolls everything back, with a few kills in the middle.
func (c *chaos) backward(r *rand.Rand) {
	c.Helper()
	for i := range 8 {
		for _, k := range c.tracks {
			c.asked[k.name]++
		}
		p := c.start("rollback", "--all", "--confirm", "all")
		lines, patience := 1+r.IntN(20), time.Duration(100+r.IntN(2000))*time.Millisecond
		if i < 4 && p.wait(lines, patience) {
			if i == 1 {
				p.signal(c.T, syscall.SIGSTOP)
				p.wait(many, patience)
				p.signal(c.T, syscall.SIGCONT)
				p.wait(3, patience)
			}
			p.signal(c.T, syscall.SIGKILL)
			p.end(c.T, 10*time.Second)
			c.look()
			continue
		}
		code := p.end(c.T, time.Minute)
		c.Logf("rollback --all: exit code %d", code)
		if code == 0 {
			break
		}
		c.Errorf("rollback --all: exit code %d: %s", code, strings.Join(p.words, "\n"))
	}
	for _, name := range c.movedStill() {
		c.Errorf("after rollback --all %s is not as before", name)
	}
	// The secondary lags: it asks every two seconds.
	for deadline := time.Now().Add(20 * time.Second); !equalZones(withoutScratch(c.dig(c.T, c.secondary)), c.before); {
		if time.Now().After(deadline) {
			c.Fatalf("the secondary is not as before:\n%v\nwas\n%v", c.dig(c.T, c.secondary), c.before)
		}
	}
	if now := withoutScratch(c.dig(c.T, c.primary)); !equalZones(now, c.before) {
		c.Errorf("the primary is not as before:\n%v\nwas\n%v", now, c.before)
	}
}

func (c *chaos) movedStill() (names []string) {
	for name, rank := range c.look() {
		if rank != 0 {
			names = append(names, name)
		}
	}
	return names
}

// verdict judges each domain's whole way by the server's own journal and log:
// every change is one step of its track, up or down; it turns round only where it
// was told to; and none was written twice.
func (c *chaos) verdict() {
	c.Helper()
	passed, updates, snapshots := c.passages(c.T, c.tracks), c.updates(c.T), c.snapshots()
	told := map[string]int{}
	for _, ev := range c.events {
		told[ev.Kind+" "+ev.Step+" "+strings.TrimSuffix(ev.Domain, ".")]++
		if ev.Kind == "intended" && (ev.Step == "lower-ttl" || ev.Step == "publish" || ev.Step == "settle") {
			// The file is grepped: the record's head has the number, and names domain and step.
			if !hasSnapshot(snapshots, ev.Seq, ev.Domain, ev.Step) {
				c.Errorf("event %d has no snapshot in the file: %s", ev.Seq, ev.raw)
			}
		}
		edited := func(p passage) bool { return p.to == foreign }
		if ev.Kind == "drifted" && !slices.ContainsFunc(passed[strings.TrimSuffix(ev.Domain, ".")], edited) {
			c.Errorf("our own writes were taken for somebody else's: %s", ev.raw)
		}
		if ev.Kind == "rolling-back" {
			c.Errorf("the engine rolls back by itself, though no gateway was broken: %s", ev.raw)
		}
	}
	for _, k := range c.tracks {
		c.judgeWay(k, passed[k.name], told)
		if n := len(passed[k.name]); n != updates[k.name] {
			c.Errorf("%s was changed %d times by %d updates: some were written twice", k.name, n, updates[k.name])
		}
		delete(updates, k.name)
	}
	if len(updates) > 0 {
		c.Errorf("updates of names that do not move: %v", updates)
	}
}

func hasSnapshot(text string, seq uint64, domain, step string) bool {
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, fmt.Sprintf(`; snapshot {"seq":%d,`, seq)) {
			return strings.Contains(l, fmt.Sprintf(`"domain":%q`, domain)) && strings.Contains(l, fmt.Sprintf(`"step":%q`, step))
		}
	}
	return false
}

// judgeWay follows one domain's passages. Somebody else's stand aside.
func (c *chaos) judgeWay(k track, way []passage, told map[string]int) {
	c.Helper()
	at, up, downs, ups := 0, true, 0, 0
	made := map[string]int{}
	for i, p := range way {
		switch {
		case p.from != at && p.from != foreign:
			c.Errorf("%s: change %d begins at %d, and the last ended at %d: %v", k.name, i, p.from, at, way)
		case p.to == foreign:
			at = p.from
			continue
		case p.from == foreign && p.to != at:
			c.Errorf("%s: change %d overwrote what somebody else wrote: %v", k.name, i, way)
		case p.from == foreign:
			continue
		case p.to == p.from+1:
			made["intended "+k.steps[p.from]+" "+k.name]++
			if !up {
				ups++
				if p.from != 0 {
					c.Errorf("%s: a rollback ended half-way, at %d: %v", k.name, p.from, way)
				}
			}
			up = true
		case p.to == p.from-1:
			made["undoing "+k.steps[p.to]+" "+k.name]++
			if up {
				downs++
			}
			up = false
		default:
			c.Errorf("%s: change %d is no step of the way: %v", k.name, i, way)
		}
		at = p.to
	}
	if at != 0 {
		c.Errorf("%s ends at %d: %v", k.name, at, way)
	}
	if downs > c.asked[k.name] || ups > c.again[k.name] {
		c.Errorf("%s turned back %d times, asked %d times; and forward again %d times, asked %d times: %v", k.name, downs, c.asked[k.name], ups, c.again[k.name], way)
	}
	for what, n := range made {
		if n > told[what] {
			c.Errorf("%d writes, and the journal told of %d beforehand: %s", n, told[what], what)
		}
	}
	c.Logf("%-20s %v", k.name, way)
}

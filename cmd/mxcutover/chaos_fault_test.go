//go:build integration

package main

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// fault is what befalls the engine in the middle.
func (c *chaos) fault(p *process, r round) {
	c.Helper()
	switch r.during {
	case "stop":
		p.signal(c.T, syscall.SIGSTOP)
		p.wait(many, r.pause)
		if r.target%2 == 0 {
			c.rival()
		}
		p.signal(c.T, syscall.SIGCONT)
	case "rival":
		if len(p.events) > 0 {
			c.rival()
		}
	case "secondary":
		if err := c.secondary.Kill(); err != nil {
			c.Fatal(err)
		}
		p.wait(many, r.pause)
		if err := c.secondary.Restart(c.Context()); err != nil {
			c.Fatal(err)
		}
	case "rollback", "retry":
		if len(p.events) > 0 {
			c.ask(r.during, r.target, p)
		}
	case "edit":
		c.edit(r.target)
	}
}

// rival starts a second engine beside one that lives, or is frozen (P9).
func (c *chaos) rival() {
	c.Helper()
	if code, _, words := c.command("run", "--progress", "none"); code != codeBusy {
		c.Errorf("a second engine: exit code %d, want %d: %s", code, codeBusy, words)
	}
}

// target is a wave or a domain, by the flag and the name that a person types,
// and the domains that it has.
func (c *chaos) target(n int) (flag, name string, domains []string) {
	c.Helper()
	waves := map[string][]string{}
	var names []string
	for _, d := range c.status().Domains {
		if waves[d.Wave] == nil {
			names = append(names, d.Wave)
		}
		waves[d.Wave] = append(waves[d.Wave], d.Domain)
	}
	if n%2 == 0 {
		name = names[n/2%len(names)]
		return "--wave", name, waves[name]
	}
	name = c.tracks[n/2%len(c.tracks)].name
	return "--domain", name, []string{name}
}

// stuck is a wave or domain that may be retried, if there is one.
func (c *chaos) stuck(n int) (flag, name string, domains []string) {
	c.Helper()
	all := c.status().Domains
	for i := range all {
		d := all[(n/2+i)%len(all)]
		if d.State != "held" && d.State != "drifted" && d.State != "rolled-back" {
			continue
		}
		if n%2 == 1 {
			return "--domain", d.Domain, []string{d.Domain}
		}
		for _, x := range all {
			if x.Wave == d.Wave {
				domains = append(domains, x.Domain)
			}
		}
		return "--wave", d.Wave, domains
	}
	return c.target(n)
}

// ask asks for a retry or, of a running engine, for a rollback.
func (c *chaos) ask(verb string, target int, p *process) {
	c.Helper()
	find, confirm := c.stuck, []string(nil)
	if verb == "rollback" {
		find = c.target
	}
	flag, name, domains := find(target)
	if verb == "rollback" {
		confirm = []string{"--confirm", name}
	}
	args := append([]string{verb, flag, name}, confirm...)
	code, _, words := c.command(args...)
	if code == codeBusy && p != nil { // it does not listen yet
		p.wait(many, time.Second)
		code, _, words = c.command(args...)
	}
	c.Logf("%s: exit code %d", strings.Join(args, " "), code)
	switch {
	case code == 0:
	case code == codeRefused && verb == "retry":
		return
	default:
		c.Errorf("%s: exit code %d: %s", strings.Join(args, " "), code, words)
	}
	c.count(verb, domains)
}

func (c *chaos) count(verb string, domains []string) {
	for _, d := range domains {
		if verb == "rollback" {
			c.asked[d]++
		} else {
			c.again[d]++
		}
	}
}

// rollbackAlone rolls back without an engine, perhaps killed in the middle.
func (c *chaos) rollbackAlone(r round) {
	c.Helper()
	flag, name, domains := c.target(r.target / 3)
	c.count("rollback", domains)
	p := c.start("rollback", flag, name, "--confirm", name)
	if r.cut > 0 && p.wait(r.cut, r.patience) {
		p.signal(c.T, syscall.SIGKILL)
		p.end(c.T, 10*time.Second)
		c.Logf("rollback %s, without an engine: killed", name)
		c.look()
		return
	}
	code := p.end(c.T, time.Minute)
	c.Logf("rollback %s, without an engine: exit code %d", name, code)
	if code != 0 && (code != codePerson || len(c.after) == 0) {
		c.Errorf("rollback %s: exit code %d: %s", name, code, strings.Join(p.words, "\n"))
	}
	ranks := c.look()
	for _, d := range domains {
		if code == 0 && ranks[d] != 0 && ranks[d] != foreign {
			c.Errorf("rollback %s said that it is done, and %s has rank %d", name, d, ranks[d])
		}
	}
}

// edit changes a domain's MX that is not published yet, as somebody else.
func (c *chaos) edit(target int) {
	c.Helper()
	ranks := c.ranks(c.dig(c.T, c.primary), "the primary")
	domains := c.status().Domains
	slices.Reverse(domains) // a drifted domain stops the waves after its own
	for i := range domains {
		d := domains[(target%2+i)%len(domains)].Domain
		k := c.tracks[slices.IndexFunc(c.tracks, func(k track) bool { return k.name == d })]
		if ranks[d] < 0 || k.states[ranks[d]] == "absent" || ranks[d] > 1 {
			continue
		}
		_, old, _ := strings.Cut(k.states[0], ": ")
		err := c.nsupdate(k, strings.Split(old, ", "), foreignTTL, []string{foreignMX})
		if err != nil {
			c.Logf("somebody else's edit of %s: %v", d, err) // published just now
			continue
		}
		// What it replaced is known to the server alone: the engine went on meanwhile.
		passed := c.passages(c.T, c.tracks)[d]
		c.after[d] = k.states[passed[len(passed)-1].from]
		c.Logf("somebody else edits %s, which was %s", d, c.after[d])
		return
	}
	c.Error("no domain was left to be edited")
}

// nsupdate writes an RRset in the place of another, as somebody else.
func (c *chaos) nsupdate(k track, old []string, ttl string, data []string) error {
	var in strings.Builder
	fmt.Fprintf(&in, "server %s %d\nzone %s\n", c.primary.Addr.Addr(), c.primary.Addr.Port(), k.zone)
	for _, d := range old {
		fmt.Fprintf(&in, "prereq yxrrset %s. MX %s\n", k.name, d)
	}
	fmt.Fprintf(&in, "update delete %s. MX\n", k.name)
	for _, d := range data {
		fmt.Fprintf(&in, "update add %s. %s MX %s\n", k.name, ttl, d)
	}
	in.WriteString("send\n")
	x := exec.CommandContext(c.Context(), "nsupdate", "-y", "hmac-sha256:"+c.primary.Key.Name+":"+c.primary.Key.Secret)
	x.Stdin = strings.NewReader(in.String())
	out, err := x.CombinedOutput()
	if err != nil {
		return fmt.Errorf("nsupdate: %w: %s", err, out)
	}
	return nil
}

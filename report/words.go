package report

import (
	"fmt"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// A Printer writes words. The zero value writes plain Unicode without colour.
type Printer struct {
	ASCII bool // no symbols beyond ASCII
	Color bool // ANSI colours, beside symbol and word
	Width int  // of the terminal, in columns; 0 = 80
}

// A Tone is how a thing is to be taken; each has a symbol and a colour.
type Tone int

// The tones.
const (
	Quiet Tone = iota // nothing yet
	Busy              // under way
	Good
	Wary // look at it
	Bad
)

// Symbol is a tone's mark, one column wide.
func (p Printer) Symbol(t Tone) string {
	if p.ASCII {
		return [...]string{".", ">", "+", "!", "x"}[t]
	}
	return [...]string{"·", "▶", "✔", "▲", "✖"}[t]
}

func (p Printer) paint(t Tone, s string) string {
	if !p.Color {
		return s
	}
	return fmt.Sprintf("\x1b[%sm%s\x1b[0m", [...]string{"2", "36", "32", "33", "31"}[t], s)
}

// ToneOf is the tone of a state.
func ToneOf(s state.Phase) Tone {
	switch s {
	case state.Live, state.Settled, state.IsolationConfirmed:
		return Good
	case state.IsHeld, state.IsDrifted, state.IsRolledBack:
		return Bad
	case state.IsInDoubt, state.IsRollingBack, state.IsolationLifted, state.IsSkipped:
		return Wary
	case state.Planned, state.WaveWaiting, state.IsolationOpen:
		return Quiet
	}
	return Busy
}

// Clock is a time of day, in UTC.
func Clock(t time.Time) string { return t.UTC().Format("15:04:05") }

// Span is a duration in short: 00:53, 59:01, 3h12m, 2d4h.
func Span(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	switch {
	case d < time.Hour:
		return fmt.Sprintf("%02d:%02d", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// stepDone says what a finished step means.
var stepDone = map[plan.Kind]string{
	plan.Preflight: "preflight passed", plan.LowerTTL: "TTL lowered, and served everywhere", plan.AwaitTTL: "old TTL has run out",
	plan.Publish: "new MX written", plan.Propagate: "new MX served everywhere", plan.Probe: "probe arrived through the gateway",
	plan.Soak: "live", plan.Settle: "original TTL restored", plan.Observe: "nothing leads to the old server any more",
	plan.Arm: "old server armed: new connections are refused, for now", plan.Prove: "proven: closed outside, open to the gateway",
	plan.Confirm: "old server isolated for good", plan.WriteCompanion: "companion record written, and served everywhere",
	plan.AwaitCompanion: "no cache has the companion record as it was",
}

// stepBegun says what a step does.
var stepBegun = map[plan.Kind]string{
	plan.Preflight: "checking before anything is changed", plan.LowerTTL: "lowering the TTL", plan.AwaitTTL: "waiting for caches to forget the old TTL",
	plan.Publish: "writing the new MX", plan.Propagate: "waiting for name servers and caches", plan.Probe: "probing by the public way",
	plan.Soak: "soaking: probes until the deadline", plan.Settle: "restoring the original TTL", plan.Observe: "gathering evidence for isolation",
	plan.Arm: "arming the firewall", plan.Prove: "proving the armed state", plan.Confirm: "waiting to confirm",
	plan.WriteCompanion: "writing a companion record", plan.AwaitCompanion: "waiting for caches to forget what the companion record was",
}

// stepUndone says what an undone step means.
var stepUndone = map[plan.Kind]string{
	plan.LowerTTL: "original TTL restored", plan.Publish: "old MX restored, and served everywhere", plan.Settle: "low TTL again",
	plan.WriteCompanion: "companion record restored, and served everywhere",
}

// Line is one event in words, with its time.
func (p Printer) Line(e state.Event) string {
	tone, words := eventWords(e)
	return fmt.Sprintf("%s %s %s %s", Clock(e.At), Pad(Harmless(whose(e)), 24), p.paint(tone, p.Symbol(tone)), Harmless(words))
}

// whose is whom an event is about.
func whose(e state.Event) string {
	switch {
	case e.Domain != "":
		return rrset.Bare(e.Domain)
	case e.Wave != "":
		return "wave " + e.Wave
	case e.Step != "" || e.Kind == state.Lifted:
		return "old server"
	}
	return "engine"
}

func eventWords(e state.Event) (Tone, string) {
	k := plan.KindOf(e.Step)
	switch e.Kind {
	case state.Begun:
		return Good, fmt.Sprintf("migration begun, plan %.12s", e.Reason)
	case state.Extended:
		if e.Extension != nil {
			return Good, fmt.Sprintf("plan extended after its %d waves, to plan %.12s", e.Extension.Waves, e.Extension.Plan)
		}
		return Good, "plan extended"
	case state.Started:
		return Busy, "started: " + e.Reason
	case state.Stopped:
		return Quiet, "stopped: " + e.Reason
	case state.Decided:
		return decisionWords(e.Decision)
	case state.Control:
		if e.Decision != nil && e.Decision.Verb == state.Take {
			return Busy, "control was taken by " + e.Decision.By
		}
		return Quiet, "control was given up"
	case state.WaveStarted:
		return Busy, "started"
	case state.WaveHeld:
		return Bad, "held, and no later wave starts: " + e.Reason
	case state.WaveLive:
		return Good, "live"
	case state.Intended:
		return Busy, or(stepBegun[k], e.Step) + until(e)
	case state.Observed:
		return findingsWords(e)
	case state.Done:
		return Good, or(stepDone[k], e.Step+" done")
	case state.Failed:
		return Bad, e.Reason
	case state.DiskLow:
		return Bad, "the disk is full, and only rollbacks start: " + e.Reason
	case state.DiskFree:
		return Good, "there is room on the disk again"
	case state.Held:
		return Bad, "held: " + e.Reason + because(e.Err)
	case state.Drifted:
		if k == plan.Confirm {
			return Bad, "closed for good, and not any more: " + e.Reason
		}
		return Bad, "drifted: " + e.Reason
	case state.InDoubt:
		return Wary, "in doubt: " + e.Reason + because(e.Err) + until(e)
	}
	return undoWords(e)
}

func undoWords(e state.Event) (Tone, string) {
	switch e.Kind {
	case state.RollingBack:
		return Wary, "rolling back: " + e.Reason
	case state.Undoing:
		return Wary, "undoing " + e.Step
	case state.Undone:
		return Wary, or(stepUndone[plan.KindOf(e.Step)], e.Step+" undone") + lastCache(e)
	case state.RolledBack:
		return Bad, "rolled back: " + or(e.Reason, "as it was")
	case state.Skipped:
		return Wary, "skipped, and left as it is: " + e.Reason
	case state.Lifted:
		return Wary, "isolation lifted, and proven open"
	case state.Closed:
		return Good, "the migration is over: all is live, isolated and settled"
	}
	return Quiet, string(e.Kind)
}

func lastCache(e state.Event) string {
	if e.Intent == nil || e.Intent.Until.IsZero() {
		return ""
	}
	what := "the gateway"
	if plan.KindOf(e.Step) == plan.WriteCompanion {
		what = "what it was"
	}
	return "; the last cache lets " + what + " go at " + Clock(e.Intent.Until)
}

func decisionWords(d *state.Decision) (Tone, string) {
	if d == nil {
		return Quiet, "decided"
	}
	return Busy, fmt.Sprintf("%s, decided by %s", choiceWords(*d), d.By)
}

// choiceWords are what was decided, without by whom.
func choiceWords(d state.Decision) string {
	choice := ""
	if d.Verb == state.Loaded {
		return "the table " + d.Confirm + " is loaded"
	}
	if d.Drift != "" {
		choice = " --" + string(d.Drift)
	}
	return fmt.Sprintf("%s %s%s", d.Verb, state.ConfirmName(d.Target), choice)
}

func findingsWords(e state.Event) (Tone, string) {
	if len(e.Findings) == 0 {
		return Busy, "still waiting" + until(e)
	}
	worst := e.Findings[0]
	for _, f := range e.Findings {
		if severityTone(f.Severity) > severityTone(worst.Severity) {
			worst = f
		}
	}
	return severityTone(worst.Severity), worst.Check + ": " + worst.Detail + until(e)
}

func severityTone(s plan.Severity) Tone {
	switch s {
	case plan.Pass:
		return Good
	case plan.Fail:
		return Bad
	}
	return Wary
}

func until(e state.Event) string {
	if e.Intent == nil || e.Intent.Until.IsZero() {
		return ""
	}
	return ", until " + Clock(e.Intent.Until)
}

func because(err string) string {
	if err == "" {
		return ""
	}
	return ": " + err
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Words are one event in words, without its time and whom it is about.
func (p Printer) Words(e state.Event) string {
	tone, words := eventWords(e)
	return p.paint(tone, p.Symbol(tone)) + " " + Harmless(words)
}

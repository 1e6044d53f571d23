package report

import (
	"fmt"
	"io"
	"strings"

	"mxcutover/plan"
)

// What a Nagios plugin may say: https://nagios-plugins.org/doc/guidelines.html.
// Old agents cut at 4 KiB.
const (
	nagiosLine = 300  // bytes of the first line's words
	nagiosLong = 3000 // bytes of the lines after it
)

// A NagiosCode is a plugin's exit code.
type NagiosCode int

// The exit codes.
const (
	NagiosOK NagiosCode = iota
	NagiosWarning
	NagiosCritical
	NagiosUnknown
)

func (c NagiosCode) String() string {
	return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[c]
}

// Nagios writes findings as a Nagios plugin does: one line with performance data,
// then the findings that did not pass, bounded. Failed is critical, and goes
// before what could not be checked, which is unknown.
func (v Verification) Nagios(w io.Writer) (NagiosCode, error) {
	code := map[plan.Severity]NagiosCode{plan.Pass: NagiosOK, plan.Warn: NagiosWarning, plan.Fail: NagiosCritical}
	worst, ok := code[v.Judge()]
	if !ok {
		worst = NagiosUnknown
	}
	var b strings.Builder
	t := Count(v.Findings)
	line := v.Headline()
	for _, g := range groups(v.Findings) {
		if g.severity != plan.Pass { // the first of what is worst
			line += "; " + nagiosWords(g)
			break
		}
	}
	fmt.Fprintf(&b, "MXCUTOVER %s - %s | pass=%d;;;0 warn=%d;0;;0 fail=%d;;0;0 unknown=%d;;;0 domains=%d;;;0 time=%.3fs;;;0\n",
		worst, nagiosText(line, nagiosLine), t.Pass, t.Warn, t.Fail, t.Unknown, v.Domains, v.Took.Seconds())
	long, left := 0, 0
	for _, g := range groups(v.Findings) {
		if g.severity == plan.Pass {
			continue
		}
		text := nagiosText(severityWords(normal(g.severity))+": "+nagiosWords(g), nagiosLine) + "\n"
		if long += len(text); long > nagiosLong {
			left++
			continue
		}
		b.WriteString(text)
	}
	if left > 0 {
		fmt.Fprintf(&b, "and %d more; see: mxcutover verify\n", left)
	}
	_, err := io.WriteString(w, b.String())
	return worst, err
}

// NagiosTrouble writes why nothing could be asked at all.
func NagiosTrouble(w io.Writer, why error) (NagiosCode, error) {
	first, _, _ := strings.Cut(why.Error(), "\n")
	_, err := fmt.Fprintf(w, "MXCUTOVER %s - %s\n", NagiosUnknown, nagiosText(first, nagiosLine))
	return NagiosUnknown, err
}

func nagiosWords(g group) string {
	return fmt.Sprintf("%s %s: %s", g.check, g.who(3), g.detail)
}

// nagiosText is harmless text on one line. A bar would begin performance data,
// and some front ends show a page of what has angle brackets.
func nagiosText(s string, most int) string {
	s = strings.NewReplacer("|", "/", "<", "(", ">", ")").Replace(Harmless(s))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

func normal(s plan.Severity) plan.Severity { return severities[severityOrder(s)] }

package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// A Verification is one round of checks over a migration's domains, as every
// format of verify prints it.
type Verification struct {
	Title     string // "Verification", "Preflight"
	Migration string
	At        time.Time // when it ended
	Took      time.Duration
	Domains   int                 // that were asked about
	Left      map[state.Phase]int // not asked about, by their states
	Findings  []Found             // as Gather leaves them
	NotAsked  map[string]string   // check -> for want of what: a setting, or something to ask
	Brief     bool                // on a terminal, what passed is only counted
}

// A Found is a finding and the domain about which it was asked; "" = it is the
// same for several, as that of a gateway's address, or belongs to none.
type Found struct {
	plan.Finding
	Domain string `json:"domain,omitempty"` // bare
}

// Of are a domain's findings.
func Of(domain string, found []plan.Finding) []Found {
	out := make([]Found, len(found))
	for i, f := range found {
		f.Target = rrset.Bare(f.Target)
		out[i] = Found{f, rrset.Bare(domain)}
	}
	return out
}

// Gather sorts findings, the bad ones first, and leaves out what is told twice.
// That something passed which many domains share stands once; whatever did not
// pass stands for each domain.
func Gather(found []Found) []Found {
	seen := make(map[Found]int, len(found))
	out := make([]Found, 0, len(found))
	for _, f := range found {
		k := Found{plan.Finding{Check: f.Check, Target: f.Target, Severity: f.Severity, Detail: f.Detail, Vantage: f.Vantage}, f.Domain}
		if f.Severity == plan.Pass {
			k.Domain = ""
		}
		i, again := seen[k]
		switch {
		case !again:
			seen[k] = len(out)
			out = append(out, f)
		case out[i].Domain != f.Domain:
			out[i].Domain = ""
		}
	}
	slices.SortStableFunc(out, func(a, b Found) int {
		return cmp.Or(cmp.Compare(severityOrder(a.Severity), severityOrder(b.Severity)), strings.Compare(a.Check, b.Check))
	})
	return out
}

// subject is whom a finding is about, and where that was asked, if it is not the
// same.
func (f Found) subject() (who, at string) {
	if f.Domain == "" || f.Domain == f.Target {
		return f.Target, ""
	}
	if view, ok := strings.CutPrefix(f.Target, f.Domain+" ("); ok { // the domain in a view of the DNS
		return f.Domain, strings.TrimSuffix(view, ")")
	}
	return f.Domain, f.Target
}

// label names both.
func (f Found) label() string {
	who, at := f.subject()
	if at == "" {
		return who
	}
	return who + " at " + at
}

// Judge is the verdict of all findings together.
func (v Verification) Judge() plan.Severity {
	plain := make([]plan.Finding, len(v.Findings))
	for i, f := range v.Findings {
		plain[i] = f.Finding
	}
	return plan.Judge(plain)
}

// severities are in the order in which they are told. A word that is none of
// them counts as unknown.
var severities = []plan.Severity{plan.Fail, plan.Unknown, plan.Warn, plan.Pass}

func severityOrder(s plan.Severity) int {
	if i := slices.Index(severities, s); i >= 0 {
		return i
	}
	return 1
}

// severityWords head the findings of a severity.
func severityWords(s plan.Severity) string {
	return map[plan.Severity]string{
		plan.Fail: "failed", plan.Unknown: "could not be checked", plan.Warn: "warned", plan.Pass: "passed",
	}[s]
}

// Tally counts findings by severity.
type Tally struct {
	Pass    int `json:"pass"`
	Warn    int `json:"warn"`
	Fail    int `json:"fail"`
	Unknown int `json:"unknown"`
}

// Total is how many findings were counted.
func (t Tally) Total() int { return t.Pass + t.Warn + t.Fail + t.Unknown }

// Of is how many findings have a severity.
func (t Tally) Of(s plan.Severity) int {
	switch s {
	case plan.Pass:
		return t.Pass
	case plan.Warn:
		return t.Warn
	case plan.Fail:
		return t.Fail
	}
	return t.Unknown
}

func (t *Tally) add(s plan.Severity) {
	switch s {
	case plan.Pass:
		t.Pass++
	case plan.Warn:
		t.Warn++
	case plan.Fail:
		t.Fail++
	default:
		t.Unknown++
	}
}

// String is the line that counts findings.
func (t Tally) String() string {
	return fmt.Sprintf("%d passed, %d warned, %d failed, %d could not be checked", t.Pass, t.Warn, t.Fail, t.Unknown)
}

// Count counts findings.
func Count(found []Found) (t Tally) {
	for _, f := range found {
		t.add(f.Severity)
	}
	return t
}

// Headline says the outcome in one sentence.
func (v Verification) Headline() string {
	t := Count(v.Findings)
	if t.Total() == 0 {
		return "nothing was checked"
	}
	line := fmt.Sprintf("%s of %s findings passed", number(t.Pass), number(t.Total()))
	if t.Pass == t.Total() {
		line = fmt.Sprintf("all %s findings passed", number(t.Total()))
	}
	if v.Domains > 0 {
		line += " over " + Counted(v.Domains, "domain")
	}
	for _, s := range severities[:3] {
		if n := t.Of(s); n > 0 {
			line += fmt.Sprintf("; %s %s", number(n), severityWords(s))
		}
	}
	return line
}

// leftWords says which domains were not asked about; "" if all were.
func (v Verification) leftWords() string {
	var parts []string
	n := 0
	for _, s := range slices.Sorted(maps.Keys(v.Left)) {
		n += v.Left[s]
		parts = append(parts, number(v.Left[s])+" "+stateWord(s))
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%s not verified, since they are not moved: %s", Counted(n, "domain"), strings.Join(parts, ", "))
}

// stateWord is a state's name; a newer release may have states of its own.
func stateWord(p state.Phase) string {
	if p == "" || len(p) > 32 || strings.ContainsFunc(string(p), func(r rune) bool { return (r < 'a' || r > 'z') && r != '-' }) {
		return "in a state that this release does not know"
	}
	return string(p)
}

// notAsked are the checks that were not asked, in the order of their names.
func (v Verification) notAsked() (out []Lack) {
	for _, id := range slices.Sorted(maps.Keys(v.NotAsked)) {
		out = append(out, Lack{Check: id, Lacks: v.NotAsked[id]})
	}
	return out
}

// A Lack is a check that was not asked, and for want of what: of a setting, or of
// something to ask.
type Lack struct {
	Check string `json:"check"`
	Lacks string `json:"lacks"`
}

// A group is findings that say the same of several targets.
type group struct {
	groupKey
	targets []string
}

type groupKey struct {
	severity                   plan.Severity
	check, detail, vantage, at string
}

// groups puts together what says the same, in the order of gathered findings.
func groups(found []Found) (out []group) {
	place := map[groupKey]int{}
	for _, f := range found {
		who, at := f.subject()
		k := groupKey{f.Severity, f.Check, f.Detail, f.Vantage, at}
		i, ok := place[k]
		if !ok {
			i = len(out)
			place[k] = i
			out = append(out, group{groupKey: k})
		}
		out[i].targets = append(out[i].targets, who)
	}
	return out
}

// who names a few of a group's targets, and where they were asked about.
func (g group) who(most int) string {
	line := targetWords(g.targets, most)
	if g.at != "" {
		line += " at " + Harmless(g.at)
	}
	return line
}

// targetWords names a few targets and counts the rest.
func targetWords(targets []string, most int) string {
	n := min(len(targets), most)
	words := make([]string, n)
	for i := range n {
		words[i] = Harmless(targets[i])
	}
	line := strings.Join(words, ", ")
	if rest := len(targets) - n; rest > 0 {
		line += fmt.Sprintf(" and %s more", number(rest))
	}
	return line
}

// number writes a count with commas between thousands.
func number(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Counted is a number and its noun: 1 domain, 2,000 domains.
func Counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(n) + " " + noun + "s"
}

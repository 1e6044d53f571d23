package report

import (
	"bufio"
	"crypto/sha256"
	_ "embed" // the page's parts
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"

	"mxcutover/plan"
)

// The page is one file that loads nothing: its only style and its only script
// stand in it, and its policy allows these two, by their hashes, and nothing
// else. Text goes into it through Harmless and html/template.
var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
)

// Bounds of one page, in rows. Ten thousand domains make about 2 MB.
const (
	mostBadRows    = 3000  // findings that did not pass
	mostPassedRows = 1000  // findings that did
	mostDomainRows = 20000 // domains
	foldedFrom     = 30    // rows from which a table is folded
	longFrom       = 500   // rows from which a folded table is not printed on paper
)

// page is what the template shows. Everything in it is harmless text.
type page struct {
	Policy, Title, Headline string
	CSS                     template.CSS
	JS                      template.JS
	Standing                []string
	Shares                  []share
	Sections                []section
	Story                   bool
	Needs                   []needView
	Charts                  []*chart
	Sheets                  []sheetView
	Load                    []string
	Hourly                  sheetView
	Observed                *sheetView
	Verified                verifiedView
	Checks, Findings        sheetView
	Lacks                   []Lack
	Severities              []severityView
	Domains                 []sheetView
	Timeline                sheetView
	Footer                  string
}

type (
	section      struct{ ID, Title string }
	needView     struct{ Class, Symbol, What, Why, Targets, Command string }
	verifiedView struct{ Title, Headline, At, Left string }
	severityView struct {
		Name, Words, N string
		On             bool
	}
	sheetView struct {
		ID, Title, Caption, Count, Empty, Note string
		Columns                                string // class: how many columns from the second on are numbers
		Folded, Long                           bool
		Head                                   []string
		Rows                                   []rowView
	}
	rowView struct {
		Class string
		Cells []string
	}
)

// HTML writes findings as one page.
func (v Verification) HTML(w io.Writer) error {
	p := newPage(strings.TrimSpace(v.Title+" "+v.Migration), v.Headline())
	p.Standing = harmless("checked " + stamp(v.At))
	p.verified(v)
	p.Sections = []section{{"verification", v.Title}}
	return p.write(w)
}

// HTML writes the story as one page.
func (s *Story) HTML(w io.Writer) error {
	p := newPage("Migration "+s.Migration, s.Headline())
	p.Story = true
	p.Standing = harmless(s.Standing()...)
	p.Shares = s.shares()
	for _, n := range s.Needs() {
		targets := targetWords(n.Targets, mostNamed)
		if left := n.Count - len(n.Targets); left > 0 {
			targets += fmt.Sprintf(" and %s more", number(left))
		}
		p.Needs = append(p.Needs, needView{toneClass(n.tone), Printer{}.Symbol(n.tone), Harmless(n.What), Harmless(n.Why), targets, Harmless(n.Command)})
	}
	for _, c := range []*chart{s.progressChart(), s.latencyChart("wave", "Time to arrive, by wave"), s.latencyChart("day", "Time to arrive, by day"), s.loadChart()} {
		if c != nil {
			p.Charts = append(p.Charts, c)
		}
	}
	for _, t := range []sheet{
		s.waveSheet(),
		s.momentSheet("troubles", "What went wrong, and what became of it", "Nothing.", aTrouble),
		s.decisionSheet(), s.holdSheet(), s.latencySheet("all", "wave", "day"),
	} {
		p.Sheets = append(p.Sheets, view(t))
	}
	p.Sheets[0].Folded = false
	for _, l := range s.loadWords() {
		p.Load = append(p.Load, Harmless(l.String()))
	}
	p.Hourly = view(s.loadSheet())
	if t := s.observedSheet(); len(t.Rows) > 0 {
		v := view(t)
		p.Observed = &v
	}
	p.verified(s.verification())
	p.Domains = s.domainViews()
	p.Timeline = view(s.momentSheet("timeline", "Timeline", "Nothing happened yet.", aDecision, aTrouble, aMilestone))
	p.sections()
	return p.write(w)
}

func newPage(title, headline string) *page {
	return &page{
		Title: Harmless(title), Headline: Harmless(headline), CSS: template.CSS(pageCSS), JS: template.JS(pageJS), // both are ours
		Policy: policy(pageCSS, pageJS), Footer: "Made by mxcutover report. This page loads nothing and sends nothing; times are UTC.",
	}
}

// policy allows one style and one script, and nothing else.
func policy(css, js string) string {
	hash := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; style-src " + hash(css) + "; script-src " + hash(js) + "; base-uri 'none'; form-action 'none'"
}

func (p *page) sections() {
	p.Sections = []section{{"needs", "What needs a person"}}
	if len(p.Charts) > 0 {
		p.Sections = append(p.Sections, section{"charts", "Progress"})
	}
	for _, t := range p.Sheets {
		title, _, _ := strings.Cut(t.Title, ",")
		p.Sections = append(p.Sections, section{t.ID, title})
	}
	p.Sections = append(p.Sections, section{"load", "Load of the old server"}, section{"verification", "Findings"}, section{"domains", "Domains"}, section{"timeline", "Timeline"})
}

func (p *page) verified(v Verification) {
	p.Verified = verifiedView{Title: Harmless(v.Title), Headline: Harmless(v.Headline()), Left: Harmless(v.leftWords())}
	if !v.At.IsZero() {
		p.Verified.At = "As of " + stamp(v.At)
	}
	for _, l := range v.notAsked() {
		p.Lacks = append(p.Lacks, Lack{Check: Harmless(l.Check), Lacks: Harmless(l.Lacks)})
	}
	t := Count(v.Findings)
	for _, s := range severities {
		p.Severities = append(p.Severities, severityView{Name: string(s), Words: severityWords(s), N: number(t.Of(s)), On: s != plan.Pass || t.Pass == t.Total()})
	}
	c := checkSheet(v)
	c.Empty = "Nothing was checked."
	if ids := mendable(v.Findings); len(ids) > 0 {
		c.Note = "What these ask, and how to mend what they find: mxcutover checks " + strings.Join(ids, " ")
	}
	p.Checks = view(c)
	p.Checks.Folded = false
	p.Findings = view(boundedFindings(v.Findings))
	p.Findings.Folded = false
}

// boundedFindings lists what did not pass, and of the rest some.
func boundedFindings(found []Found) sheet {
	t := findingSheet(found)
	kept, bad, passed := t.Rows[:0:0], 0, 0
	for _, r := range t.Rows {
		n, most := &bad, mostBadRows
		if r.Class == string(plan.Pass) {
			n, most = &passed, mostPassedRows
		}
		if *n++; *n <= most {
			r.Class = "v-" + r.Class
			kept = append(kept, r)
		}
	}
	if left := len(t.Rows) - len(kept); left > 0 {
		t.Note = fmt.Sprintf("%s more are not listed on this page, %s of them passed; each of them: mxcutover verify -o json", number(left), number(max(passed-mostPassedRows, 0)))
	}
	t.Rows = kept
	return t
}

// domainViews are the domains: in one table, or if they are many in one for each
// wave, folded.
func (s *Story) domainViews() (out []sheetView) {
	t := s.domainSheet(false)
	left := 0
	if left = len(t.Rows) - mostDomainRows; left > 0 {
		t.Rows = t.Rows[:mostDomainRows]
	}
	if len(t.Rows) < foldedFrom {
		return []sheetView{view(t)}
	}
	from := 0
	for i := range t.Rows {
		if i+1 == len(t.Rows) || s.Domains[i].Wave != s.Domains[i+1].Wave {
			part := t
			part.Title, part.Rows = "Wave "+s.Domains[i].Wave, t.Rows[from:i+1]
			v := view(part)
			v.Folded = true
			if w := s.Status.Wave(s.Domains[i].Wave); w != nil {
				v.Count = fmt.Sprintf("%d of %d live, %d held, %d failed", w.Live, w.Total, w.Held, w.Failed)
			}
			out = append(out, v)
			from = i + 1
		}
	}
	if left > 0 {
		out[len(out)-1].Note = fmt.Sprintf("%s more domains are not listed on this page; each of them: mxcutover report -o json", number(left))
	}
	return out
}

// view makes a sheet's words harmless.
func view(t sheet) sheetView {
	v := sheetView{
		ID: t.ID, Title: t.Title, Caption: Harmless(t.Title), Empty: or(t.Empty, "Nothing."), Note: Harmless(t.Note), Head: t.Head, Count: Counted(len(t.Rows), "row"),
		Folded: len(t.Rows) >= foldedFrom, Long: len(t.Rows) >= longFrom,
	}
	if t.Numbers > 0 {
		v.Columns = fmt.Sprintf("n%d", t.Numbers)
	}
	for _, r := range t.Rows {
		row := rowView{Class: toneClass(r.Tone), Cells: harmless(r.Cells...)}
		if strings.HasPrefix(r.Class, "v-") {
			row.Class += " " + r.Class
		}
		v.Rows = append(v.Rows, row)
	}
	return v
}

func toneClass(t Tone) string { return [...]string{"quiet", "busy", "good", "wary", "bad"}[t] }

func harmless(words ...string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = Harmless(w)
	}
	return out
}

func (p *page) write(w io.Writer) error {
	t, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("the page's template: %w", err)
	}
	b := bufio.NewWriter(w)
	if err := t.Execute(b, p); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return b.Flush()
}

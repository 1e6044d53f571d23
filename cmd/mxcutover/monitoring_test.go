package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"mxcutover/docs"
	"mxcutover/plan"
	"mxcutover/state"
)

const monitoring = repository + "/packaging/monitoring"

// rules are the alert rules as Prometheus reads them.
type rules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert       string
			Expr        string
			For         string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
}

func readRules(t *testing.T) (r rules) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(monitoring, "mxcutover.rules.yml"))
	if err == nil {
		err = yaml.UnmarshalWithOptions(text, &r, yaml.Strict())
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// expressions are all of the rules and of the dashboard, by where they stand.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			out["alert "+r.Alert] = r.Expr
		}
	}
	text, err := os.ReadFile(filepath.Join(monitoring, "mxcutover.dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		UID, Title string
		Templating struct {
			List []struct{ Name, Type string }
		}
		Annotations struct {
			List []struct{ Name, Expr string }
		}
		Panels []struct {
			ID      int
			Title   string
			Type    string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr, RefID string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || d.Title == "" || len(d.Panels) < 10 || len(d.Templating.List) != 2 {
		t.Errorf("the dashboard: %q %q, %d panels, %d variables", d.UID, d.Title, len(d.Panels), len(d.Templating.List))
	}
	ids := map[int]bool{}
	for i, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.X+p.GridPos.W > 24 || len(p.Targets) == 0 {
			t.Errorf("panel %d, %q: %+v", p.ID, p.Title, p.GridPos)
		}
		ids[p.ID] = true
		for _, o := range d.Panels[:i] {
			if a, b := o.GridPos, p.GridPos; a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panels %q and %q lie one upon the other", o.Title, p.Title)
			}
		}
		for _, x := range p.Targets {
			out["panel "+p.Title+" "+x.RefID] = x.Expr
		}
	}
	for _, a := range d.Annotations.List {
		out["annotation "+a.Name] = a.Expr
	}
	return out
}

var (
	seriesName = regexp.MustCompile(`\bmxcutover_[a-z_]+`)
	matcher    = regexp.MustCompile(`([a-z]+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"`)
)

// exported are the series that the program writes, by the code that does.
func exported(t *testing.T) []string {
	t.Helper()
	code, err := os.ReadFile(filepath.Join(repository, "report", "metrics.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`"mxcutover_[a-z_]+"`).FindAllString(string(code), -1)
	for i, n := range names {
		names[i] = strings.Trim(n, `"`)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TestMonitoringNamesWhatThereIs: each series that dashboard and rules ask for is
// written, each that is written is on one of them and in docs/monitoring.md, and what
// they ask of labels can be.
func TestMonitoringNamesWhatThereIs(t *testing.T) {
	t.Parallel()
	have := exported(t)
	if len(have) < 15 {
		t.Fatalf("only %q", have)
	}
	used := map[string]bool{}
	phases := allPhases(t)
	for where, expr := range expressions(t) {
		for _, name := range seriesName.FindAllString(expr, -1) {
			used[name] = true
			if !slices.Contains(have, name) {
				t.Errorf("%s asks for %s, which nothing writes", where, name)
			}
		}
		for _, m := range matcher.FindAllStringSubmatch(expr, -1) {
			label, op, value := m[1], m[2], strings.ReplaceAll(m[3], `\\`, `\`)
			var of []string
			switch label {
			case "state":
				of = phases
			case "check":
				of = docs.Checks()
			case "severity":
				of = []string{string(plan.Pass), string(plan.Warn), string(plan.Fail), string(plan.Unknown)}
			case "migration", "job":
				continue
			default:
				t.Errorf("%s: the label %s is not ours", where, label)
				continue
			}
			parts := []string{value}
			if strings.HasSuffix(op, "~") {
				parts = strings.Split(value, "|")
			}
			for _, part := range parts {
				if !strings.HasSuffix(op, "~") {
					part = regexp.QuoteMeta(part)
				}
				if re, err := regexp.Compile("^(?:" + part + ")$"); err != nil || !slices.ContainsFunc(of, re.MatchString) {
					t.Errorf("%s: no %s is ever %s (%v)", where, label, part, err)
				}
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(repository, "docs", "monitoring.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range have {
		if !used[name] {
			t.Errorf("%s is written, and neither dashboard nor rules show it", name)
		}
		if !strings.Contains(string(text), "`"+name) && !strings.Contains(string(text), ", `..."+strings.TrimPrefix(name, "mxcutover_verify")) {
			t.Errorf("docs/monitoring.md does not tell what %s is", name)
		}
	}
	for _, name := range seriesName.FindAllString(string(text), -1) {
		if !slices.Contains(have, strings.TrimSuffix(name, "_")) && !strings.HasSuffix(name, "_") {
			t.Errorf("docs/monitoring.md tells of %s, which nothing writes", name)
		}
	}
}

// TestAlertsTellWhatToDo: each alert says how urgent it is, of what migration, and a
// command that there is; docs/monitoring.md has each.
func TestAlertsTellWhatToDo(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(repository, "docs", "monitoring.md"))
	if err != nil {
		t.Fatal(err)
	}
	tested, err := os.ReadFile(filepath.Join(monitoring, "mxcutover.rules.test.yml"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			n++
			summary, description := r.Annotations["summary"], r.Annotations["description"]
			if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) || summary == "" || description == "" {
				t.Errorf("%s: %q", r.Alert, r.Labels)
			}
			if !strings.Contains(summary, "$labels.migration") && !strings.Contains(summary, "$labels.instance") {
				t.Errorf("%s does not say which migration it is about", r.Alert)
			}
			if !strings.Contains(string(text), "`"+r.Alert+"`") {
				t.Errorf("docs/monitoring.md does not tell of %s", r.Alert)
			}
			if !strings.Contains(string(tested), r.Alert) {
				t.Errorf("mxcutover.rules.test.yml does not try %s", r.Alert)
			}
			for _, m := range regexp.MustCompile(`mxcutover ([a-z][^.;:,]*(?:\.[^ ][^.;:,]*)*)`).FindAllStringSubmatch(description, -1) {
				command := regexp.MustCompile(`\{\{[^}]*\}\}`).ReplaceAllString(m[1], "ID")
				words := strings.Fields(command)
				for len(words) > 0 && parses(strings.Join(words, " ")) != nil {
					words = words[:len(words)-1] // the sentence goes on behind the command
				}
				if len(words) == 0 {
					t.Errorf("%s: there is no command mxcutover %s", r.Alert, command)
				}
			}
		}
	}
	if n < 15 {
		t.Errorf("only %d alerts", n)
	}
}

// allPhases are all states of domains, waves and isolation, by the code that names them.
func allPhases(t *testing.T) []string {
	t.Helper()
	code, err := os.ReadFile(filepath.Join(repository, "state", "status.go"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^\t[A-Za-z]+ +Phase = "([a-z-]+)"`).FindAllStringSubmatch(string(code), -1) {
		out = append(out, m[1])
	}
	if len(out) < 25 || !slices.Contains(out, string(state.IsolationLifted)) {
		t.Fatalf("only the states %q were found", out)
	}
	return out
}

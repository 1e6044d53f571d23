package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"mxcutover/plan"
)

// The shapes of JUnit's XML, as CI servers read it.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Skipped  int          `xml:"skipped,attr"`
		Time     string       `xml:"time,attr"` // seconds
		At       string       `xml:"timestamp,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string      `xml:"classname,attr"`
		Name    string      `xml:"name,attr"`
		Failure *junitWords `xml:"failure"`
		Skipped *junitWords `xml:"skipped"`
		Out     string      `xml:"system-out,omitempty"`
	}
	junitWords struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes findings for a CI server: a suite a check, a case a target. Failed
// is a failure; what could not be checked, and each check that was not asked, is
// skipped, with words: neither passed nor failed.
func (v Verification) JUnit(w io.Writer) error {
	all := junitSuites{
		Name: Harmless(strings.TrimSpace("mxcutover " + v.Migration)), Time: fmt.Sprintf("%.3f", v.Took.Seconds()),
		At: v.At.UTC().Format("2006-01-02T15:04:05"),
	}
	at := map[string]int{}
	suite := func(check string) *junitSuite {
		i, ok := at[check]
		if !ok {
			i = len(all.Suites)
			at[check] = i
			all.Suites = append(all.Suites, junitSuite{Name: Harmless(check)})
		}
		return &all.Suites[i]
	}
	for _, f := range v.Findings {
		suite(f.Check).add(junitOf(f))
	}
	for _, l := range v.notAsked() {
		words := "not asked, for want of " + Harmless(l.Lacks)
		suite(l.Check).add(junitCase{Class: "mxcutover." + Harmless(l.Check), Name: "not asked", Skipped: &junitWords{Message: words}})
	}
	for i := range all.Suites {
		s := &all.Suites[i]
		all.Tests, all.Failures, all.Skipped = all.Tests+s.Tests, all.Failures+s.Failures, all.Skipped+s.Skipped
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *junitSuite) add(c junitCase) {
	s.Tests++
	if c.Failure != nil {
		s.Failures++
	}
	if c.Skipped != nil {
		s.Skipped++
	}
	s.Cases = append(s.Cases, c)
}

func junitOf(f Found) junitCase {
	c := junitCase{Class: "mxcutover." + Harmless(f.Check), Name: Harmless(f.label())}
	if f.Vantage != "" {
		c.Name += " from " + Harmless(f.Vantage)
	}
	detail := Harmless(f.Detail)
	words := &junitWords{Message: detail, Text: Harmless(f.Evidence)}
	if f.RFC != "" {
		words.Text = strings.TrimSpace(words.Text + "\n" + Harmless(f.RFC))
	}
	switch f.Severity {
	case plan.Pass:
	case plan.Warn:
		c.Out = "warning: " + detail
	case plan.Fail:
		c.Failure = words
	default:
		words.Message = "could not be checked: " + strings.TrimPrefix(detail, "could not check: ")
		c.Skipped = words
	}
	return c
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mxcutover/docs"
	"mxcutover/verify"
)

func newChecks(s *streams) *cobra.Command {
	c := &cobra.Command{
		Use: "checks [ID...]", Short: "list the checks, or explain some of them", Args: cobra.ArbitraryArgs,
		Long: `checks lists what preflight, run and verify ask, and when: before anything is
changed, during a cutover, or after it. With an ID it shows that check's page:
what is asked, why it matters in a cutover, and how to mend what it finds. It
needs no configuration.`,
		Example: "  mxcutover checks\n  mxcutover checks gw.relay\n  mxcutover checks -o json | jq -r '.checks[].id'",
		ValidArgsFunction: func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
			var out []string
			for _, id := range docs.Checks() {
				if strings.HasPrefix(id, begun) {
					out = append(out, id)
				}
			}
			return out, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return explainChecks(s.out, args)
			}
			return listChecks(s)
		},
	}
	s.addOutput(c)
	return c
}

// explainChecks shows pages as they are written: a terminal reads Markdown well.
func explainChecks(w io.Writer, ids []string) error {
	for i, id := range ids {
		page, ok := docs.Check(id)
		if !ok {
			return usagef("no check is called %.40q; see: mxcutover checks", id)
		}
		if i > 0 {
			fmt.Fprintln(w)
		}
		if _, err := io.WriteString(w, strings.ReplaceAll(page, "**", "")); err != nil {
			return err
		}
	}
	return nil
}

// checkRow is a check as the list shows it.
type checkRow struct {
	ID    string   `json:"id"`
	Title string   `json:"title"`
	RFC   string   `json:"rfc,omitempty"`
	When  []string `json:"when"` // "before", "during", "after"; none: not of a single domain
}

func listChecks(s *streams) error {
	var rows []checkRow
	for _, k := range verify.Checks() {
		r := checkRow{ID: k.ID, Title: k.Title, RFC: k.RFC, When: []string{}}
		for _, w := range k.When {
			r.When = append(r.When, string(w))
		}
		rows = append(rows, r)
	}
	if s.json() {
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		return e.Encode(struct {
			V      int        `json:"v"`
			Checks []checkRow `json:"checks"`
		}{1, rows})
	}
	width := 0
	for _, r := range rows {
		width = max(width, len(r.ID))
	}
	for _, r := range rows {
		if _, err := fmt.Fprintf(s.out, "%-*s  %s  %s\n", width, r.ID, times(r.When), r.Title); err != nil {
			return err
		}
	}
	return nil
}

// times are three columns: b, d and a, for before, during and after.
func times(when []string) string {
	out := ""
	for _, w := range []verify.When{verify.Before, verify.During, verify.After} {
		if slices.Contains(when, string(w)) {
			out += string(w[0])
		} else {
			out += "-"
		}
	}
	return out
}

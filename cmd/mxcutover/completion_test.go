package main

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestCompletion: a flag with a closed set of values completes it, one that takes a file
// completes files, and one that takes anything else is known here to do so.
func TestCompletion(t *testing.T) {
	t.Parallel()
	files := []string{"config", "journal", "out", "plan", "names", "diff", "from@rollback", "addresses", "logs", "resume@parity", "domains", "textfile", "log@init"}
	free := []string{
		"wave", "domain", "confirm@rollback", "confirm@retry", "confirm@done", "since", "until@traffic", "until@report", "explain", "metrics", "zone", "migration", "resolver", "gateway",
		"old", "old-address", "from@init", "recipient", "setting", "time-zone",
	}
	root := newRoot(&streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	closed := 0
	var look func(*cobra.Command)
	look = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			look(sub)
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !strings.HasPrefix(f.Value.Type(), "string") {
				return
			}
			is := func(list []string) bool {
				return slices.Contains(list, f.Name) || slices.Contains(list, f.Name+"@"+c.Name())
			}
			_, completes := c.GetFlagCompletionFunc(f.Name)
			if completes {
				closed++
			}
			if completes == (is(files) || is(free)) {
				t.Errorf("%s --%s: completes %v; a closed set completes with completeWith, others are files or free here", c.CommandPath(), f.Name, completes)
			}
		})
	}
	look(root)
	if closed < 15 {
		t.Errorf("only %d flags complete", closed)
	}
}

// TestCompletionAnswers asks as a shell does.
func TestCompletionAnswers(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"run --progress ":            "plain json none",
		"verify -o ":                 "table json junit markdown html",
		"init --provider rf":         "rfc2136",
		"traffic --format ex":        "exchange exim",
		"watch --until li":           "live",
		"isolate confirm --confirm ": "isolate",
		"providers list po":          "powerdns",
		"checks gw.rel":              "gw.relay",
	} {
		var out bytes.Buffer
		args := append([]string{"__complete"}, strings.Split(line, " ")...)
		if code := run(t.Context(), args, strings.NewReader(""), &out, io.Discard); code != codeDone {
			t.Errorf("%s: exit code %d", line, code)
		}
		for word := range strings.FieldsSeq(want) {
			if !slices.Contains(strings.Split(out.String(), "\n"), word) {
				t.Errorf("%s: %q lacks %q", line, out.String(), word)
			}
		}
	}
}

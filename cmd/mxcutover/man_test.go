package main

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

var manDir = flag.String("man.dir", "", "write the manual pages into this folder, which is there; their date is $SOURCE_DATE_EPOCH")

var roff = strings.NewReplacer(`\fB`, "", `\fP`, "", `\fI`, "", `\fR`, "", `\&`, "", `\-`, "-", `\\`, `\`)

// TestManPages makes a manual page for every command; make man keeps them. None of a
// help's words is lost on the way, as what looks like markup would be. The pages are
// made by a test so that the program needs none of what makes them.
func TestManPages(t *testing.T) {
	t.Parallel()
	dir := *manDir
	if dir == "" {
		dir = t.TempDir()
	}
	root := newRoot(&streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	root.DisableAutoGenTag = true
	if err := doc.GenManTree(root, &doc.GenManHeader{Title: "MXCUTOVER", Section: "1", Source: "mxcutover " + version, Manual: "mxcutover"}, dir); err != nil {
		t.Fatal(err)
	}
	pages := 0
	var look func(*cobra.Command)
	look = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() && !sub.IsAdditionalHelpTopicCommand() {
				look(sub)
			}
		}
		pages++
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			return
		}
		page := strings.Join(strings.Fields(roff.Replace(string(b))), " ")
		if c.Parent() != nil && c.Parent().Name() == "completion" {
			return // cobra's own words
		}
		for word := range strings.FieldsSeq(c.Long + " " + c.Short + " " + c.Example + " " + flagWords(c)) {
			if !strings.Contains(page, word) {
				t.Errorf("%s: %q of the help is not in it", name, word)
			}
		}
	}
	look(root)
	if pages < 40 {
		t.Errorf("only %d pages", pages)
	}
}

func flagWords(c *cobra.Command) (out string) {
	c.LocalFlags().VisitAll(func(f *pflag.Flag) { out += " --" + f.Name + " " + f.Usage })
	return out
}

package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var (
	codeSpan     = regexp.MustCompile("(`+)([^`]|[^`][\\s\\S]*?[^`])(`+)")
	substitution = regexp.MustCompile(`\$\([^()]*\)`)
	optional     = regexp.MustCompile(`\[([A-Z][A-Za-z]*)\]`)
)

// spans are the code spans of a page's prose, each on one line.
func (p page) spans() (out []string) {
	for _, paragraph := range strings.Split(p.prose, "\n\n") {
		for _, m := range codeSpan.FindAllStringSubmatch(paragraph, -1) {
			if m[1] == m[3] {
				out = append(out, strings.Join(strings.Fields(m[2]), " "))
			}
		}
	}
	return out
}

// commandsIn are the commands of a code span, without the program's name: what follows
// it, or the whole, if that begins as one of its commands does with a flag or a command
// below it (`plan --extend`), and is short for it. A single word may be anything.
func commandsIn(span string) (out []string, short bool) {
	words := strings.Fields(span)
	for i, w := range words {
		if w != "mxcutover" || i+1 == len(words) || words[i+1] == w || words[i+1] == "..." || i > 0 && strings.HasPrefix(words[i-1], "-") {
			continue // the last word, or a user's name
		}
		end := i + 1
		for end < len(words) && words[end] != "&&" && words[end] != ";" && words[end] != "mxcutover" {
			end++
		}
		out = append(out, strings.Join(words[i+1:end], " "))
	}
	if out != nil || len(words) < 2 {
		return out, false
	}
	for _, c := range quietRoot().Commands() {
		if c.Name() != words[0] {
			continue
		}
		if sub, _, err := c.Find(words[1:]); strings.HasPrefix(words[1], "-") || err == nil && sub != c {
			return []string{span}, true
		}
	}
	return nil, true
}

func quietRoot() *cobra.Command {
	root := newRoot(&streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// parses holds a command, as documentation writes it, to the program's own tree of
// commands: names, flags and their values, numbers of arguments. `A | --b` stands for
// two commands, and so does [FILE].
func parses(command string) error {
	var errs error
	for _, line := range alternatives(command) {
		args, err := shellWords(line)
		if err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
		if err := parsesArgs(args); err != nil {
			errs = errors.Join(errs, fmt.Errorf("mxcutover %s: %w", line, err))
		}
	}
	return errs
}

// alternatives are the commands that one text stands for.
func alternatives(command string) []string {
	command = substitution.ReplaceAllString(command, "X")
	pieces := strings.Split(command, " | ")
	head, _, _ := strings.Cut(pieces[0], " --")
	out := pieces[:1]
	for _, p := range pieces[1:] {
		if !strings.HasPrefix(p, "--") {
			break // a pipe
		}
		out = append(out, head+" "+p)
	}
	var all []string
	for _, one := range out {
		for _, end := range []string{" && ", "; ", " 2>", " >", " <", ")"} {
			one, _, _ = strings.Cut(one, end)
		}
		if m := optional.FindString(one); m != "" {
			all = append(all, strings.ReplaceAll(one, m, ""))
		}
		one = optional.ReplaceAllString(one, "$1")
		if words := strings.Fields(one); len(words) > 0 && strings.Contains(words[len(words)-1], "|") {
			last := words[len(words)-1]
			for w := range strings.SplitSeq(last, "|") {
				all = append(all, strings.TrimSuffix(one, last)+w)
			}
			continue
		}
		all = append(all, one)
	}
	return all
}

// shellWords splits as a shell would, as far as documentation needs it: quotes, a
// comment, and a backslash before the end of a line.
func shellWords(s string) (out []string, err error) {
	var word strings.Builder
	var quote rune
	started := false
	flush := func() {
		if started {
			out = append(out, word.String())
		}
		word.Reset()
		started = false
	}
	for _, r := range strings.ReplaceAll(s, "\\\n", " ") {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, started = r, true
		case r == ' ' || r == '\n' || r == '\t':
			flush()
		case r == '#' && !started:
			return out, nil
		default:
			word.WriteRune(r)
			started = true
		}
	}
	if quote != 0 {
		return nil, errors.New("a quote is not closed")
	}
	flush()
	return out, nil
}

// parsesArgs is what the program does with a command line before it does anything.
func parsesArgs(args []string) error {
	root := quietRoot()
	c, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if err := c.ParseFlags(rest); errors.Is(err, pflag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if c == root {
		if rest := c.Flags().Args(); len(rest) > 0 {
			return fmt.Errorf("no command %q", rest[0])
		}
		return nil
	}
	if c.Annotations[onlyHelp] != "" {
		return errors.New("this is no command by itself")
	}
	if err := errors.Join(c.ValidateArgs(c.Flags().Args()), c.ValidateRequiredFlags(), c.ValidateFlagGroups()); err != nil {
		return err
	}
	if f := c.Flags().Lookup("output"); f != nil && f.Changed && f.Value.String() != "FORMAT" && !strings.Contains(f.Usage, f.Value.String()) {
		return fmt.Errorf("there is no format %s; %s", f.Value, f.Usage)
	}
	return nil
}

// TestDocsInline parses each command in the prose of all pages, and each example of
// --help and the manual.
func TestDocsInline(t *testing.T) {
	t.Parallel()
	full, short := 0, 0
	for _, p := range readPages(t) {
		for _, span := range p.spans() {
			commands, abbreviated := commandsIn(span)
			for _, c := range commands {
				if abbreviated {
					short++
				} else {
					full++
				}
				err := parses(c)
				if err != nil && abbreviated {
					err = parses(c + " 1") // `run --metrics`, `state restore`
				}
				if err != nil {
					t.Errorf("%s: `%s`: %v", p.path, span, err)
				}
			}
		}
	}
	if full < 100 || short < 20 {
		t.Errorf("only %d commands, and %d in short, were found", full, short)
	}
	examples := 0
	var look func(*cobra.Command)
	look = func(c *cobra.Command) {
		for line := range strings.SplitSeq(strings.ReplaceAll(c.Example, "\\\n", " "), "\n") {
			if _, after, ok := strings.Cut(line, "mxcutover "); ok && !strings.HasPrefix(c.CommandPath(), "mxcutover completion") {
				examples++
				line, _, _ := strings.Cut(after, "   ")
				if err := parses(line); err != nil {
					t.Errorf("%s --help: %v", c.CommandPath(), err)
				}
			}
		}
		for _, sub := range c.Commands() {
			look(sub)
		}
	}
	look(quietRoot())
	if examples < 50 {
		t.Errorf("only %d examples were found", examples)
	}
}

// TestInlineCommandsCanFail: what is wrong is found.
func TestInlineCommandsCanFail(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"nonsense", "plan --nonsense", "status extra", "isolate", "approve --wave", "verify -o xml", "rollback --domain NAME | --wave NAME | --nothing", "backup", "version now",
		"state restore", "traffic --since 'x", "config nonsense", "retry --domain x --adopt --force", "completion bash|klingon",
	} {
		if parses(bad) == nil {
			t.Errorf("mxcutover %s is taken", bad)
		}
	}
	for _, good := range []string{
		"state check [FILE]", "run 2>&1 | head", "backup /backup/$(date +%F).db", "rollback --domain NAME | --wave NAME | --all --confirm NAME", "completion bash|zsh|fish",
		"verify --nagios --domain choir.example --check \"probe.*\"", "traffic LOG...", "-c /etc/mxcutover/x.yaml plan show", "verify   # by severity",
	} {
		if err := parses(good); err != nil {
			t.Error(err)
		}
	}
	for span, want := range map[string]int{
		"plan --extend": 1, "isolate lift": 1, "report": 0, "plan.canaries": 0, "hold on": 0, "mxcutover plan && mxcutover plan show": 2, "systemd-run --unit mxcutover mxcutover run": 1,
	} {
		if got, _ := commandsIn(span); len(got) != want {
			t.Errorf("%s: %q", span, got)
		}
	}
}

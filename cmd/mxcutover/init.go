package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"mxcutover/config"
	"mxcutover/providers"
	"mxcutover/report"
	"mxcutover/secret"
)

// A draft is what is known of a configuration that is being written, by the flags that
// say it.
type draft map[string][]string

func (d draft) first(flag string) string {
	if len(d[flag]) == 0 {
		return ""
	}
	return d[flag][0]
}

func newInit(s *streams) *cobra.Command {
	var out string
	said := map[string]*[]string{}
	c := &cobra.Command{
		Use: "init", Short: "write a configuration file, by asking or from flags",
		Long: `init writes a configuration file with comments. On a terminal it asks for what no
flag says, and offers what it finds: the zone's MX as the old server, addresses by
DNS, resolvers, logs of a mail server that runs here, the time zone. Without a
terminal it takes what it finds, and says so; what is missing it names.

It never overwrites a file, asks only the resolvers, and changes nothing else. No
secret goes into the file: only where it is, and init says how to put it there.`,
		Example: `  mxcutover init
  mxcutover init --out /etc/mxcutover/gateway-2026.yaml
  mxcutover init --zone example.edu,example.org --gateway gw1.example.edu,gw2.example.edu \
    --provider rfc2136 --setting server=192.0.2.53:53 --setting key_name=mxcutover \
    --from mxprobe@probe.example.edu`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := draft{}
			for flag, list := range said {
				if len(*list) > 0 {
					d[flag] = *list
				}
			}
			return runInit(cmd.Context(), s, d, out)
		},
	}
	f := c.Flags()
	for _, q := range questions() {
		list := &[]string{}
		said[q.flag] = list
		f.StringSliceVar(list, q.flag, nil, q.usage)
	}
	settings := &[]string{}
	said["setting"] = settings
	f.StringArrayVar(settings, "setting", nil, "KEY=VALUE of the provider's settings, as YAML; see: mxcutover providers list KIND")
	f.StringVar(&out, "out", "mxcutover.yaml", "the file to write, which must not be there")
	completeWith(c, "provider", kindNames)
	return c
}

func kindNames() []string {
	var out []string
	for _, k := range providers.Kinds() {
		out = append(out, k.Kind)
	}
	return out
}

func runInit(ctx context.Context, s *streams, d draft, out string) error {
	if _, err := os.Lstat(out); !errors.Is(err, os.ErrNotExist) {
		if err != nil {
			return err
		}
		return notOverwritten(out)
	}
	i := initiation{s: s, draft: d, find: &finder{}, out: out, terminal: isTerminal(s.in)}
	defer i.find.Close()
	if i.terminal {
		i.ask = newAsker(s.in, s.err)
		s.say("Enter takes what stands in brackets; Ctrl-C ends, and nothing is written.")
	}
	if err := i.gather(ctx); err != nil {
		return err
	}
	text := i.text()
	cfg, err := config.Parse(out, []byte(text))
	if err != nil {
		return fmt.Errorf("nothing was written, since this would be wrong in the file:\n%w", err)
	}
	refs, err := i.references(cfg)
	if err != nil {
		return fmt.Errorf("nothing was written, since this would be wrong in the file:\n%w", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := writeNew(out, text); err != nil {
		return err
	}
	i.next(refs)
	return nil
}

func notOverwritten(out string) error {
	ext := filepath.Ext(out)
	other := strings.TrimSuffix(out, ext) + "-new" + ext
	return refusef("%s is there, and is not overwritten; write another file with:\n  mxcutover init --out %s", out, report.Quote(other))
}

// writeNew writes a file whole, and only where there is none.
func writeNew(out, text string) error {
	beside := filepath.Join(filepath.Dir(out), fmt.Sprintf(".%s.%d", filepath.Base(out), os.Getpid()))
	f, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o644)
	if err != nil {
		return fmt.Errorf("write %s: %w", out, err)
	}
	defer os.Remove(beside)
	_, err = io.WriteString(f, text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", out, err)
	}
	err = os.Link(beside, out) // unlike a rename, it replaces nothing
	if errors.Is(err, os.ErrExist) {
		return notOverwritten(out)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", out, err)
	}
	return nil
}

// An initiation is one run of init.
type initiation struct {
	draft
	s        *streams
	find     *finder
	ask      *asker // nil without a terminal
	terminal bool
	out      string
	missing  []string // what no flag says and nothing tells, as flags
	settled  []string // flags whose values are right, beside each other
}

// gather fills the draft: from flags, from what is found, and by asking.
func (i *initiation) gather(ctx context.Context) error {
	for _, q := range questions() {
		if err := i.answer(ctx, q); err != nil {
			return err
		}
		if i.draft[q.flag] != nil {
			i.settled = append(i.settled, q.flag)
		}
		if q.flag == "provider" && i.first("provider") != "" {
			if err := i.settings(ctx); err != nil {
				return err
			}
		}
	}
	if len(i.missing) > 0 {
		return usagef("there is no terminal to ask on; say what is missing:\n  %s\nsee: mxcutover init --help", strings.Join(i.missing, "\n  "))
	}
	return nil
}

// answer settles one question.
func (i *initiation) answer(ctx context.Context, q question) error {
	if said := i.draft[q.flag]; said != nil {
		if err := i.wrong(q, said); err != nil {
			return usagef("--%s %s: %w", q.flag, strings.Join(said, ","), err)
		}
		return nil
	}
	var found []string
	var why error
	if q.find != nil {
		found, why = q.find(ctx, i)
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(found) > 0 && i.wrong(q, found) != nil {
			found = nil
		}
	}
	switch {
	case q.quiet, !i.terminal && len(found) > 0:
		if i.draft[q.flag] = found; len(found) > 0 {
			i.s.say("--%s %s: %s", q.flag, report.Harmless(strings.Join(found, ",")), q.source)
		}
	case !i.terminal && !q.optional:
		words := "--" + q.flag + " " + q.usage
		if why != nil {
			words += " (" + report.Harmless(why.Error()) + ")"
		}
		i.missing = append(i.missing, words)
	case i.terminal:
		if why != nil {
			i.s.say("  %s", report.Harmless(why.Error()))
		}
		got, err := i.ask.list(ctx, q.text, found, q.optional, func(v []string) error { return i.wrong(q, v) })
		if err != nil {
			return err
		}
		i.draft[q.flag] = got
	}
	return nil
}

// wrong tells what the configuration would say of an answer: the file is made with it,
// with what is known already, and with examples in place of what is not.
func (i *initiation) wrong(q question, values []string) error {
	if !q.many && len(values) > 1 {
		return errors.New("one was expected")
	}
	trial := initiation{draft: draft{}, out: i.out}
	maps.Copy(trial.draft, exampleDraft)
	for _, flag := range i.settled {
		trial.draft[flag] = i.draft[flag]
	}
	trial.draft[q.flag] = values
	_, err := config.Parse("answer", []byte(trial.text()))
	var faults config.Faults
	if q.flag == "provider" && !slices.Contains(kindNames(), values[0]) {
		return fmt.Errorf("no such kind; these are: %s", strings.Join(kindNames(), ", "))
	}
	if !errors.As(err, &faults) {
		return err
	}
	told := faults[0].Message
	if faults[0].Cure != "" {
		told += "; " + faults[0].Cure
	}
	return errors.New(told)
}

// references decodes the settings that were written, and tells which secrets they want.
func (i *initiation) references(cfg *config.Config) (refs []secret.Ref, err error) {
	for _, p := range cfg.Providers {
		var wrong error
		stop := errors.New("stop")
		if _, err := providers.Open(p.Kind, func(into any) error {
			wrong = p.Settings.Decode(into)
			refs = append(refs, secret.In(into)...)
			return stop
		}); !errors.Is(err, stop) {
			return nil, err
		}
		if wrong != nil {
			return nil, wrong
		}
	}
	return refs, nil
}

// next says what is left to do by hand, and then the command to type.
func (i *initiation) next(refs []secret.Ref) {
	i.s.say("%s is written; look it over.", i.out)
	for _, r := range refs {
		if _, err := os.Lstat(r.File); r.File == "" || err == nil {
			continue
		}
		i.s.say("Put the secret where it says (%s), its owner's alone:\n  install -m 600 /dev/null %s && ${EDITOR:-vi} %s", r, report.Quote(r.File), report.Quote(r.File))
	}
	named := ""
	if abs, _ := filepath.Abs(i.out); abs != "/etc/mxcutover/mxcutover.yaml" && filepath.Clean(i.out) != "mxcutover.yaml" {
		named = " --config " + report.Quote(i.out)
	}
	i.s.say("Then prove that the zones can be read and written, which changes nothing:\n  mxcutover providers check%s", named)
}

// thisYear is in the migration's name, unless somebody says another.
func thisYear(context.Context, *initiation) ([]string, error) {
	return []string{"gateway-" + time.Now().Format("2006")}, nil
}

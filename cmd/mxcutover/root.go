package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"mxcutover/config"
	"mxcutover/report"
)

// streams are where a command reads and writes, and the flags of all commands.
type streams struct {
	in         io.Reader
	out, err   io.Writer
	configPath string
	ascii      bool
	journal    string // another journal than the configuration's
	output     string
}

const longHelp = `mxcutover moves the public mail of many domains from an old mail server to a
new gateway by changing MX records: in waves, little-used domains first. It
proves every step before the next one, can undo every step for as long as
anybody may want it, and ends by firewalling the old server off.

Without a command it opens the screen of a migration (on a terminal), or prints
its status.`

const rootExample = `  mxcutover demo                      see a whole migration in an embedded world
  mxcutover init                      write a configuration, by asking
  mxcutover inventory                 which names receive mail, and where it leads
  mxcutover plan && mxcutover plan show
  mxcutover preflight                 check everything, change nothing
  mxcutover run                       walk the plan; stops at each gate
  mxcutover approve --wave wave-2     let the next wave start
  mxcutover rollback --wave pilot --confirm pilot`

func newRoot(s *streams) *cobra.Command {
	root := &cobra.Command{
		Use: "mxcutover", Short: "move the public mail of many domains to a new gateway, safely",
		Long: longHelp, Example: rootExample,
		SilenceUsage: true, SilenceErrors: true, Version: version,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBare(cmd.Context(), s) },
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	f := root.PersistentFlags()
	f.StringVarP(&s.configPath, "config", "c", "", "the configuration file (default $MXCUTOVER_CONFIG, ./mxcutover.yaml, /etc/mxcutover/mxcutover.yaml)")
	f.BoolVar(&s.ascii, "ascii", false, "no symbols beyond ASCII")
	root.SetFlagErrorFunc(flagFault)
	root.AddCommand(
		newDemo(s), newInit(s), newInventory(s), newTraffic(s), newPlan(s), newPreflight(s), newParity(s), newRun(s), newStatus(s), newWatch(s), newEvents(s),
		newApprove(s), newHold(s), newResume(s), newRetry(s), newRollback(s), newIsolate(s), newVerify(s), newChecks(s), newConfig(s), newReport(s), newBackup(s), newState(s), newProviders(s), newVersion(s),
	)
	root.InitDefaultCompletionCmd()
	wrapArgs(root)
	wrapHelp(root)
	return root
}

// load reads the configuration file that was named, or the first that is there.
func (s *streams) load() (*config.Config, error) {
	if path := cmp.Or(s.configPath, os.Getenv("MXCUTOVER_CONFIG"), defaultConfig()); path != "" {
		cfg, err := config.Load(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil, usagef("%w; it is named by --config or $MXCUTOVER_CONFIG, and written by:\n  mxcutover init --out %s", err, report.Quote(path))
		}
		return cfg, err
	}
	return nil, usagef("no configuration: neither ./mxcutover.yaml nor /etc/mxcutover/mxcutover.yaml is there; name one with --config, or look around first with:\n  mxcutover demo")
}

// defaultConfig is the configuration file that is taken if none is named; "" = none is
// there.
func defaultConfig() string {
	for _, path := range []string{"mxcutover.yaml", "/etc/mxcutover/mxcutover.yaml"} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) { // one that cannot be looked at says so when it is read
			return path
		}
	}
	return ""
}

// loadNamed is load, with the journal that was named by --journal.
func (s *streams) loadNamed() (*config.Config, error) {
	cfg, err := s.load()
	if err != nil {
		return nil, err
	}
	return named(cfg, s.journal), nil
}

// addJournal adds the flag --journal to a command that works on the journal of a
// rollback from the snapshots alone too.
func (s *streams) addJournal(c *cobra.Command) {
	c.Flags().StringVar(&s.journal, "journal", "", "the journal of a rollback --from, instead of the migration's")
}

// addOutput adds the flag -o to a command that has data to show.
func (s *streams) addOutput(c *cobra.Command) { s.addFormats(c, "table", "json") }

// addFormats adds the flag -o with the formats that a command has; the first is
// what it shows unasked.
func (s *streams) addFormats(c *cobra.Command, formats ...string) {
	last := len(formats) - 1
	words := strings.Join(formats[:last], ", ") + " or " + formats[last]
	c.Flags().StringVarP(&s.output, "output", "o", formats[0], words)
	completeWith(c, "output", func() []string { return formats })
	run := c.RunE
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if !cmd.Flags().Changed("output") {
			s.output = formats[0] // the commands share one variable
		}
		if !slices.Contains(formats, s.output) {
			return usagef("-o %s: expected %s", s.output, words)
		}
		return run(cmd, args)
	}
}

// completeWith lets a shell complete a flag with one of some words.
func completeWith(c *cobra.Command, flag string, words func() []string) {
	complete := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words(), cobra.ShellCompDirectiveNoFileComp
	}
	if err := c.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err) // there is no such flag
	}
}

// printer writes words for the given stream: colour only on a terminal.
func (s *streams) printer(w io.Writer) report.Printer {
	return report.Printer{ASCII: s.plain(w), Color: isTerminal(w) && os.Getenv("NO_COLOR") == "", Width: columns(w)}
}

// plain tells whether a stream gets no symbols beyond ASCII: nobody asked for them
// where a terminal's locale has none (POSIX: LC_ALL, LC_CTYPE, LANG, the first that
// is set).
func (s *streams) plain(w any) bool {
	if s.ascii || !isTerminal(w) {
		return s.ascii
	}
	locale := strings.ToLower(cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG")))
	return !strings.Contains(locale, "utf-8") && !strings.Contains(locale, "utf8")
}

// columns is a terminal's width; 0 = it is none, or does not tell.
func columns(w any) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return n
}

func (s *streams) json() bool { return s.output == "json" }

func (s *streams) say(format string, args ...any) {
	fmt.Fprintf(s.err, format+"\n", args...)
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func newVersion(s *streams) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "print the version",
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(s.out, "mxcutover", version)
			return err
		},
	}
}

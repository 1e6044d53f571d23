package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mxcutover/report"
)

// onlyHelp marks a command that has commands below it, and does nothing by itself.
const onlyHelp = "only help"

// wrapArgs lets each command answer arguments that it does not take with the exit code of
// usage and the cure. A command that only has others below it shows its help where none is
// named; a misspelt one is an error, and no success to a script.
func wrapArgs(c *cobra.Command) {
	for _, sub := range c.Commands() {
		wrapArgs(sub)
	}
	args := c.Args
	if !c.Runnable() {
		c.RunE, args = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }, nil
		if c.Annotations == nil {
			c.Annotations = map[string]string{}
		}
		c.Annotations[onlyHelp] = "yes"
	}
	c.Args = func(cmd *cobra.Command, a []string) error {
		if args == nil {
			return noArgs(cmd, a)
		}
		if err := args(cmd, a); err != nil {
			return usagef("expected: %s; here are %d arguments\nsee: %s --help", cmd.UseLine(), len(a), cmd.CommandPath())
		}
		return nil
	}
}

func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	is := "takes no arguments, and here is"
	if c.HasAvailableSubCommands() {
		is = "has no command"
	}
	c.SuggestionsMinimumDistance = 2
	meant := ""
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		meant = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usagef("%s %s %q%s\nsee: %s --help", c.CommandPath(), is, args[0], meant, c.CommandPath())
}

// wrapHelp lets "help NAME" say that there is no such command.
func wrapHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() != "help" {
			continue
		}
		c.Args = func(_ *cobra.Command, args []string) error {
			of, rest, err := root.Find(args)
			if err != nil {
				return err
			}
			return noArgs(of, rest)
		}
	}
}

// flagFault is a fault in a flag, with its cure.
func flagFault(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var wrong *pflag.InvalidValueError
	cure := ""
	switch {
	case errors.As(err, &unknown):
		cure = nearFlag(c, unknown.GetSpecifiedName())
	case errors.As(err, &wrong) && wrong.GetFlag().Value.Type() == "duration":
		err = fmt.Errorf("--%s %s: expected a number with its unit, as in 90s, 30m or 24h", wrong.GetFlag().Name, report.Quote(wrong.GetValue()))
	}
	return usagef("%w%s\nsee: %s --help", err, cure, c.CommandPath())
}

// nearFlag is the flag that was probably meant. Commands know how near words are.
func nearFlag(c *cobra.Command, name string) string {
	words := &cobra.Command{SuggestionsMinimumDistance: 2}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		words.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	near := words.SuggestionsFor(name)
	if len(name) < 2 || len(near) == 0 {
		return ""
	}
	return "; did you mean --" + strings.Join(near, " or --") + "?"
}

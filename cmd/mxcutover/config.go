package main

import (
	"io"

	"github.com/spf13/cobra"

	"mxcutover/docs"
)

func newConfig(s *streams) *cobra.Command {
	c := &cobra.Command{
		Use: "config", Short: "what the configuration file may hold",
		Long: `The configuration file is YAML: docs/config.example.yaml has every key, with its
default and what it means. Every command reads and checks all of the file first,
and tells all faults with their places.`,
		Example: "  mxcutover init --help\n  mxcutover config schema --out mxcutover.schema.json",
	}
	var out string
	schema := &cobra.Command{
		Use: "schema", Short: "print the file's JSON schema, for editors",
		Long: `schema prints the JSON schema of the configuration file (draft 7), with which an
editor completes keys, shows what they mean, and marks what is wrong while one
types. Editors with yaml-language-server find it by the file's first line:

  # yaml-language-server: $schema=mxcutover.schema.json

What stands in relation to other keys, or must be looked up, only the program sees.`,
		Example: "  mxcutover config schema --out mxcutover.schema.json\n  mxcutover config schema | jq .properties.waves",
		RunE: func(*cobra.Command, []string) error {
			return s.put(out, func(w io.Writer) error {
				_, err := w.Write(docs.Schema())
				return err
			})
		},
	}
	schema.Flags().StringVar(&out, "out", "", "write to this file instead of standard output, whole or not at all")
	c.AddCommand(schema)
	return c
}

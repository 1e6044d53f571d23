package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"mxcutover/providers"
)

func newProviders(s *streams) *cobra.Command {
	return &cobra.Command{
		Use: "providers", Short: "list the kinds of DNS providers, their settings and modes",
		RunE: func(*cobra.Command, []string) error {
			for _, k := range providers.Kinds() {
				fmt.Fprintf(s.out, "%s: %s; mode %s\n%s\n\n", k.Kind, k.Title, k.Mode, k.Settings)
			}
			return nil
		},
	}
}

package main

import (
	"context"

	"github.com/spf13/cobra"

	"mxcutover/report"
)

func newInventory(s *streams) *cobra.Command {
	c := &cobra.Command{
		Use: "inventory", Short: "list every name that receives mail, and where it leads",
		Long: `inventory reads the zones of all providers and lists every name that receives
mail: MX at any preference, implicit MX (an address of the old server and no MX),
wildcards, hosts below the apex. Where a name leads is judged by addresses, not
by names alone. It changes nothing.`,
		Example: "  mxcutover inventory\n  mxcutover inventory -o json | jq '.domains[] | select(.points_to == \"both\")'",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runInventory(cmd.Context(), s) },
	}
	s.addOutput(c)
	return c
}

func runInventory(ctx context.Context, s *streams) error {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	site, err := openSite(cfg)
	if err != nil {
		return err
	}
	defer site.checker.Close()
	inv, err := site.inventory(ctx)
	if err != nil {
		return err
	}
	if s.json() {
		return report.InventoryJSON(s.out, inv)
	}
	return s.printer(s.out).Inventory(s.out, inv)
}

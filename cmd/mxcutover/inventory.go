package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rrset"
)

// inventoryOptions are the flags of inventory.
type inventoryOptions struct {
	names   string // file of names to be asked for by DNS alone; "" = the zones are read
	explain string
	diff    bool
	last    string // the inventory to compare with
	out     string
	owners  bool
}

func newInventory(s *streams) *cobra.Command {
	var o inventoryOptions
	c := &cobra.Command{
		Use: "inventory [FILE]", Short: "list every name that receives mail, and where it leads",
		Long: `inventory reads the zones of all providers and lists every name that receives
mail: MX at any preference, implicit MX (an address of the old server and no MX),
wildcards, hosts below the apex; names of domains.names and names that had mail
(traffic) but stand in no zone of ours are asked for by DNS. Where a name leads is
judged by addresses, not by names alone. It says of each whether the plan moves it,
and why not. It changes nothing.

--diff compares with a saved inventory: FILE, or the one that was saved with the
plan (plan.inventory.json). What the migration itself wrote is told apart. It exits
with 2 when anything else was added, removed or changed, for cron.`,
		Example: `  mxcutover inventory
  mxcutover inventory --explain www.example.org
  mxcutover inventory -o json | jq '.domains[] | select(.points_to == "both")'
  mxcutover inventory -o csv > inventory.csv
  mxcutover inventory --owners > letters.csv
  mxcutover inventory --diff
  mxcutover inventory --diff last.json --out last.json
  mxcutover inventory --names domains.txt`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && !o.diff {
				return usagef("%s: a file goes with --diff", args[0])
			}
			o.last = append(args, inventoryOf(defaultPlan))[0]
			return runInventory(cmd.Context(), s, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.names, "names", "", "look at the names in this file, one a line, by DNS alone; no zone is read")
	f.StringVar(&o.explain, "explain", "", "tell all about one name, and why it is in the plan or not")
	f.BoolVar(&o.diff, "diff", false, "tell what is new, gone or changed since the inventory in FILE; exit with 2 if anything is")
	f.StringVar(&o.out, "out", "", "save the inventory, as JSON, for a later --diff")
	f.BoolVar(&o.owners, "owners", false, "as CSV: what others must change, whose zones are not ours or in a view that does not move, with the records they have and need")
	c.MarkFlagsMutuallyExclusive("explain", "diff", "owners")
	s.addFormats(c, "table", "json", "csv")
	return c
}

// inventoryOf is where the inventory of a plan file is saved.
func inventoryOf(planFile string) string {
	return strings.TrimSuffix(planFile, ".jsonl") + ".inventory.json"
}

func runInventory(ctx context.Context, s *streams, o inventoryOptions) error {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	var last plan.Inventory
	if o.diff { // before --out may write the same file
		if last, err = readInventory(o.last); err != nil {
			return err
		}
	}
	site, err := openSite(cfg)
	if err != nil {
		return err
	}
	defer site.checker.Close()
	zones, inv, err := site.survey(ctx, s, o.names)
	if err != nil {
		return err
	}
	begun, err := s.begunPlan(ctx, site)
	if err != nil {
		return err
	}
	if o.explain == "" {
		forgetRecords(zones)
	}
	draft, err := site.foresee(inv, zones, begun)
	if err != nil {
		s.say("no plan can be made of it: %s", report.Harmless(err.Error()))
	}
	verdicts := draft.Verdicts()
	if o.out != "" {
		if err := saveInventory(o.out, inv, verdicts); err != nil {
			return err
		}
	}
	switch {
	case o.explain != "":
		return s.explain(o.explain, zones, inv, draft)
	case o.diff:
		return s.differences(plan.Diff(last, inv, begun))
	case o.owners:
		return s.owners(site, inv)
	case s.json():
		return report.InventoryJSON(s.out, inv, verdicts)
	case s.output == "csv":
		return report.InventoryCSV(s.out, inv, verdicts)
	}
	return s.printer(s.out).Inventory(s.out, inv, verdicts)
}

// forgetRecords lets the records of zones go whose names alone are still asked for.
func forgetRecords(zones []plan.Zone) {
	for i := range zones {
		zones[i].Sets = nil
	}
}

// begunPlan is the plan of the migration that was begun; the zero plan if none was.
func (s *streams) begunPlan(ctx context.Context, site *site) (plan.Plan, error) {
	v, err := view(ctx, site.cfg)
	switch {
	case notBegun(err):
		return plan.Plan{}, nil
	case err != nil && ctx.Err() == nil: // also a journal that is damaged: to look is never refused
		s.say("the migration cannot be looked at, so what it wrote is not told apart: %s", report.HarmlessLines(err.Error()))
		return plan.Plan{}, nil
	case err != nil:
		return plan.Plan{}, err
	}
	return v.plan, v.close()
}

// foresee tells what a plan would say of each name, without companions. Names that
// are in the plan that was begun are in that.
func (s *site) foresee(inv plan.Inventory, zones []plan.Zone, begun plan.Plan) (*plan.Draft, error) {
	set := s.settings(time.Now())
	if set.Zones = zones; len(zones) == 0 { // they were not read, and are listed
		set.Zones = s.zones("")
	}
	d, err := plan.Foresee(begun, inv, set)
	if errors.Is(err, plan.ErrNothingNew) {
		err = nil
	}
	return d, err
}

func (s *streams) explain(text string, zones []plan.Zone, inv plan.Inventory, d *plan.Draft) error {
	name, err := rrset.CanonicalName(text)
	if err != nil {
		return usagef("--explain: %w", err)
	}
	fmt.Fprintln(s.out, report.Harmless(rrset.Bare(name)))
	for _, l := range plan.Explain(name, zones, inv, d) {
		fmt.Fprintln(s.out, "  "+report.Harmless(l))
	}
	return nil
}

func (s *streams) differences(found []plan.Difference) error {
	var err error
	if s.json() {
		err = report.DifferencesJSON(s.out, found)
	} else {
		err = s.printer(s.out).Differences(s.out, found)
	}
	if err != nil {
		return err
	}
	for _, d := range found {
		if d.Kind != plan.Ours {
			return exitCode(codeChanges)
		}
	}
	return nil
}

// owners writes what others must change: names whose zones are not ours, or are
// changed by hand, and what other views lead to the old server.
func (s *streams) owners(site *site, inv plan.Inventory) error {
	var theirs []plan.Domain
	for _, d := range inv.Domains {
		byHand := d.Zone == "" || d.View != "" || site.cfg.Providers[d.Provider].Kind == "manual"
		if d.PointsTo.Old() && d.Alias == "" && byHand {
			theirs = append(theirs, d)
		}
		for _, e := range d.Elsewhere {
			if e.ToOld() && e.Zone != "" {
				theirs = append(theirs, e.In(d))
			}
		}
	}
	set := site.settings(time.Time{})
	return report.OwnersCSV(s.out, theirs, set.Wanted)
}

func saveInventory(file string, inv plan.Inventory, verdicts map[string]plan.Verdict) error {
	return writeWhole(file, false, func(w io.Writer) error { return report.InventoryJSON(w, inv, verdicts) })
}

func readInventory(file string) (plan.Inventory, error) {
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return plan.Inventory{}, fmt.Errorf("no inventory at %s; save one with:\n  mxcutover inventory --out %s", file, report.Quote(file))
	}
	if err != nil {
		return plan.Inventory{}, fmt.Errorf("inventory: %w", err)
	}
	defer f.Close()
	inv, err := report.ReadInventory(f)
	if err != nil {
		return plan.Inventory{}, fmt.Errorf("%s: %w", file, err)
	}
	return inv, nil
}

package report

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// InventoryCSV writes the inventory for spreadsheets.
func InventoryCSV(w io.Writer, inv plan.Inventory, verdicts map[string]plan.Verdict) error {
	several := len(inv.Views) > 1
	var differs map[string][]string
	if several {
		differs = disparityCells(inv)
	}
	return writeCSV(w, func(yield func([]string) bool) {
		head := []string{"domain", "zone", "provider", "leads to", "mx", "ttl", "messages", "plan", "why"}
		if several {
			head = append(head, "view", "in other views", "differs")
		}
		if !yield(head) {
			return
		}
		for i := range inv.Domains {
			d := &inv.Domains[i]
			moves, why := judged(d, verdicts)
			row := []string{
				rrset.Bare(d.Name), bareZone(*d), d.Provider, string(d.PointsTo), strings.Join(d.MX.Data, "; "), strconv.Itoa(int(d.MX.TTL)),
				strconv.FormatUint(d.Messages, 10), moves, why,
			}
			if several {
				row = append(row, viewCells(*d, differs)...)
			}
			if !yield(row) {
				return
			}
		}
		if several {
			for _, row := range hostRows(inv, differs) {
				if !yield(row) {
					return
				}
			}
		}
	})
}

func bareZone(d plan.Domain) string {
	if d.Zone == "" {
		return ""
	}
	return rrset.Bare(d.Zone)
}

// OwnersCSV writes, for spreadsheets and letters, what others must change: each
// record as it is and as it must become, in the form of a zone file. need tells the
// records that a domain is to have.
func OwnersCSV(w io.Writer, domains []plan.Domain, need func(plan.Domain) rrset.Set) error {
	rows := [][]string{{"domain", "zone", "asked", "messages", "has", "needs", "why"}}
	for _, d := range domains {
		rows = append(rows, []string{
			rrset.Bare(d.Name), bareZone(d), d.Provider, strconv.FormatUint(d.Messages, 10),
			zoneLines(d, d.MX), zoneLines(d, need(d)), cmp.Or(d.Blocked, d.Why),
		})
	}
	return writeCSV(w, slices.Values(rows))
}

// zoneLines are a RRset as a zone file has it, with "; " between records. Without a
// TTL where that comes from a resolver, which counts it down.
func zoneLines(d plan.Domain, s rrset.Set) string {
	var lines []string
	for _, r := range s.Data {
		ttl := fmt.Sprintf(" %d", s.TTL)
		if d.Source != plan.FromZone {
			ttl = ""
		}
		lines = append(lines, fmt.Sprintf("%s%s IN %s %s", s.Name, ttl, s.Type, r))
	}
	if len(lines) == 0 {
		return "no MX"
	}
	return strings.Join(lines, "; ")
}

// writeCSV writes rows (RFC 4180). What a spreadsheet would take for a formula gets
// an apostrophe before it, since names and records are others' to choose.
func writeCSV(w io.Writer, rows iter.Seq[[]string]) error {
	c := csv.NewWriter(w)
	c.UseCRLF = true
	var cells []string
	for r := range rows {
		cells = cells[:0]
		for _, cell := range r {
			cells = append(cells, inert(Harmless(cell)))
		}
		if err := c.Write(cells); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// inert is a cell that no spreadsheet takes for a formula, whatever it trims before
// it looks. A name that begins with a wildcard's star is none.
func inert(cell string) string {
	t := strings.TrimLeft(cell, " \t\r\n\"'")
	if t != "" && strings.ContainsRune("=+-@|%＝＋－＠", []rune(t)[0]) {
		return "'" + cell
	}
	return cell
}

package report

import (
	"bytes"
	"encoding/csv"
	"reflect"
	"strings"
	"testing"

	"mxcutover/plan"
	"mxcutover/rrset"
)

func TestInventoryIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	inv, p := sample(t)
	inv.Domains = append(inv.Domains, plan.Domain{Name: "foreign.example.", MX: rrset.Set{Name: "foreign.example.", Type: "MX"}, PointsTo: plan.ToUnknown, Source: plan.FromMail, Blocked: "why"})
	var b bytes.Buffer
	if err := InventoryJSON(&b, inv, p.Verdicts()); err != nil {
		t.Fatal(err)
	}
	got, err := ReadInventory(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if d := plan.Diff(inv, got, plan.Plan{}); len(d) != 0 || len(got.Domains) != len(inv.Domains) {
		t.Errorf("read back it differs: %v", d)
	}
	for _, bad := range []string{"", "x", `{"v":2,"domains":[]}`, `{"domains":[]}`, `{"v":1,"domains":[{"domain":"a..b"}]}`, `{"v":1,"domains":[{"domain":"a.b","mx":[{"host":"a b"}]}]}`} {
		if _, err := ReadInventory(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func FuzzReadInventory(f *testing.F) {
	f.Add([]byte(`{"v":1,"domains":[{"domain":"a.b","zone":"b","mx":[{"preference":1,"host":"c.d"}],"ttl":5}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		inv, err := ReadInventory(bytes.NewReader(data))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := InventoryJSON(&b, inv, nil); err != nil {
			t.Fatal(err)
		}
		again, err := ReadInventory(&b)
		if err != nil || !reflect.DeepEqual(len(again.Domains), len(inv.Domains)) {
			t.Fatalf("written and read again: %v", err)
		}
	})
}

// TestNoCellIsAFormula: names and records are others' to choose, and a spreadsheet
// obeys what begins like a formula.
func TestNoCellIsAFormula(t *testing.T) {
	t.Parallel()
	for _, evil := range []string{"=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r\n=1", "\"=1", "|cmd", "＝1", "''=x"} {
		inv := plan.Inventory{Domains: []plan.Domain{{Name: evil + ".example.", Zone: "example.", Provider: evil, Why: evil, MX: rrset.Set{Type: "MX", Name: evil, Data: []string{evil}}}}}
		var b, c bytes.Buffer
		if err := InventoryCSV(&b, inv, nil); err != nil {
			t.Fatal(err)
		}
		if err := OwnersCSV(&c, inv.Domains, func(d plan.Domain) rrset.Set { return d.MX }); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{b.String(), c.String()} {
			rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			for _, cell := range rows[1] {
				if s := strings.TrimLeft(cell, " \t\r\n\""); s != "" && strings.ContainsAny(s[:1], "=+-@|") || strings.HasPrefix(s, "＝") {
					t.Errorf("%q makes the cell %q", evil, cell)
				}
			}
		}
	}
	if got := inert("*.example.org"); got != "*.example.org" {
		t.Errorf("a wildcard is %q", got)
	}
}

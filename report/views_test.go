package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// viewed is a sample inventory of two views, with hostile words in it.
func viewed(t *testing.T) (plan.Inventory, plan.Plan) {
	inv, p := sample(t)
	mx, err := rrset.New("choir.example.", "MX", 60, "10 gw1.example.")
	if err != nil {
		t.Fatal(err)
	}
	inv.Views = []string{"outside", "inside"}
	inv.Domains[0].Elsewhere = []plan.Elsewhere{{View: "inside", Zone: "choir.example.", Provider: "within", MX: mx, PointsTo: plan.ToNew, Why: "evil \x1b[2J"}}
	inv.Domains[1].Elsewhere = []plan.Elsewhere{{View: "inside", MX: rrset.Set{Name: "host.example.", Type: "MX"}, PointsTo: plan.ToImplicit}}
	inv.Domains = append(inv.Domains, plan.Domain{Name: "lan.example.", Zone: "lan.example.", Provider: "within", View: "inside", MX: rrset.Set{Name: "lan.example.", Type: "MX"}, PointsTo: plan.ToImplicit, Blocked: "there"})
	inv.Disparities = []plan.Disparity{
		{Name: "choir.example.", View: "inside", Kind: plan.DiffersInMX, Here: inv.Domains[0].MX.Data, There: mx.Data, Why: "evil \x1b[2J"},
		{Name: "host.example.", View: "inside", Kind: plan.DiffersInTTL, Minor: true, Here: []string{"TTL 60"}, There: []string{"TTL 5"}, Why: "ttl"},
		{Name: "lan.example.", View: "inside", Kind: plan.InOneOnly, There: []string{"=cmd"}, Why: "only"},
		{Name: "mx.example.", View: "inside", Kind: plan.DiffersInAddress, Here: []string{"A 192.0.2.1"}, There: []string{"A 10.0.0.1"}, Why: "address"},
	}
	return inv, p
}

func TestViewsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	inv, p := viewed(t)
	var b bytes.Buffer
	if err := InventoryJSON(&b, inv, p.Verdicts()); err != nil {
		t.Fatal(err)
	}
	got, err := ReadInventory(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if d := plan.Diff(inv, got, plan.Plan{}); len(d) != 0 {
		t.Errorf("read back it differs: %+v", d)
	}
	e := got.Domains[0].Elsewhere
	if len(e) != 1 || e[0].Zone != "choir.example." || e[0].Provider != "within" || !e[0].MX.Equal(inv.Domains[0].Elsewhere[0].MX) {
		t.Errorf("%+v", e)
	}
	var told struct {
		Views       []string
		Differences []struct {
			Name, View, What string
			Here, There      []string
		}
	}
	if err := json.Unmarshal(b.Bytes(), &told); err != nil {
		t.Fatal(err)
	}
	if len(told.Differences) != 4 || !slices.Equal(told.Views, inv.Views) || told.Differences[2].Here == nil || told.Differences[3].There[0] != "A 10.0.0.1" {
		t.Errorf("%+v", told)
	}
	if _, err := ReadInventory(strings.NewReader(`{"v":1,"domains":[{"domain":"a.b","views":[{"zone":"a..b"}]}]}`)); err == nil {
		t.Error("a zone that is none was read")
	}
}

func TestViewsInATable(t *testing.T) {
	t.Parallel()
	inv, p := viewed(t)
	var b bytes.Buffer
	if err := (Printer{}).Inventory(&b, inv, p.Verdicts()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"old; inside: new", "implicit; inside: implicit", "inside: implicit", "beside inside: 4 differences, 1 of them minor",
		"in view inside 2 names lead to the old server", "DIFFERS IN", "nothing",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Error("a terminal is told what foreign text says")
	}
	if minor, major := strings.Index(b.String(), "ttl (minor)"), strings.LastIndex(b.String(), "A 10.0.0.1"); minor < major {
		t.Error("what is minor comes before what matters")
	}
	one, _ := sample(t)
	b.Reset()
	if err := (Printer{}).Inventory(&b, one, nil); err != nil || strings.Contains(b.String(), "view") {
		t.Errorf("of one view is told: %v\n%s", err, b.String())
	}
}

func TestViewsInCSV(t *testing.T) {
	t.Parallel()
	inv, p := viewed(t)
	var b bytes.Buffer
	if err := InventoryCSV(&b, inv, p.Verdicts()); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	last := func(name string) string {
		i := slices.IndexFunc(rows, func(r []string) bool { return r[0] == name })
		if i < 0 {
			return ""
		}
		return strings.Join(rows[i][9:], ", ")
	}
	for name, want := range map[string]string{
		"domain": "view, in other views, differs", "choir.example": ", inside: new, inside mx: 10 gw1.example.",
		"lan.example": "inside, , inside only: =cmd", "mx.example": ", , inside address: A 10.0.0.1", "null.example": ", , ",
	} {
		if got := last(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

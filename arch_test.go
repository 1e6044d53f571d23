// Package mxcutover_test holds the architecture to its import table.
package mxcutover_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "mxcutover"

// mayImport says which of the project's folders each folder may import. cmd may
// import all. See docs/architecture.md.
var mayImport = map[string][]string{
	"docs":                  {},
	"secret":                {},
	"sshhost":               {"secret"},
	"rrset":                 {},
	"plan":                  {"rrset"},
	"traffic":               {},
	"traffic/logfile":       {"traffic"},
	"firewall":              {"plan"},
	"config":                {"plan", "rrset", "secret"},
	"providers":             {"rrset", "secret"},
	"providers/conformance": {"config", "providers", "rrset"},
	"verify/resolve":        {"rrset"},
	"verify":                {"plan", "rrset", "traffic", "traffic/logfile", "verify/resolve"},
	"state":                 {"plan", "rrset"},
	"state/bolt":            {"state"},
	"state/storetest":       {"state"},
	"report":                {"plan", "rrset", "state", "traffic"},
	"rollout":               {"firewall", "plan", "providers", "rrset", "state", "traffic", "verify"},
	"control":               {"plan", "report", "state"},
	"tui":                   {"plan", "report", "rrset", "state"},
	"lab":                   {"firewall", "plan"},
	"lab/site":              {},
}

type goPackage struct {
	ImportPath string
	Standard   bool
	Imports    []string
}

func list(t *testing.T, args ...string) []goPackage {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Standard,Imports"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func TestImportTable(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./...") {
		folder := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if folder == "" || strings.HasPrefix(folder, "cmd/") {
			continue
		}
		allowed, known := mayImport[folder]
		if !known {
			t.Errorf("%s: no folder of the import table; give it a line there and in docs/architecture.md, or another place", folder)
			continue
		}
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, module+"/"); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s, which the import table does not allow", folder, ours)
			}
		}
	}
}

// TestPlanDoesNoIO looks at what plan, traffic and the packages they are made of import
// themselves; see docs/decisions/plan-without-io.md for why not at fmt's imports.
func TestPlanDoesNoIO(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "-deps", "./plan", "./traffic") {
		if p.Standard {
			continue
		}
		for _, i := range p.Imports {
			switch i {
			case "os", "net", "os/exec", "net/http", "syscall", "math/rand", "math/rand/v2", "crypto/rand":
				t.Errorf("%s, which plan or traffic is made of, imports %s", p.ImportPath, i)
			}
		}
	}
}

// TestTUIDoesNoIO looks at what the screen imports itself: it reaches the world only by
// what it is given.
func TestTUIDoesNoIO(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./tui") {
		for _, i := range p.Imports {
			switch i {
			case "os", "net", "os/exec", "os/signal", "net/http", "syscall", "bufio":
				t.Errorf("tui imports %s", i)
			}
		}
	}
}

func TestTUIKnowsNoEngine(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "-deps", "./tui") {
		for _, bad := range []string{module + "/rollout", module + "/providers", "go.etcd.io/bbolt", "github.com/miekg/dns"} {
			if p.ImportPath == bad {
				t.Errorf("tui reaches %s", bad)
			}
		}
	}
}
